"""What every gate can do: gradients on small and odd maps, half precision, the meta device, export,
int8, deployment, one pass of compilation."""

from __future__ import annotations

import inspect
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from resnet_variants import Network, create_model, optimize_for_inference
from resnet_variants.blocks.gates import ATTENTION
from resnet_variants.export import export_model, export_program
from resnet_variants.quantize import quantize

from .test_quantize import crops, trained


@pytest.mark.parametrize("name", list(ATTENTION))
@pytest.mark.parametrize("side", [(1, 1), (5, 3)])
def test_gradients_on_small_and_odd_maps(name: str, side: tuple[int, int]) -> None:
    torch.manual_seed(0)
    gate = ATTENTION[name](32)
    assert gate(torch.empty(0, 32, *side)).shape == (0, 32, *side)
    for order in (torch.contiguous_format, torch.channels_last):
        gate.zero_grad()
        x = torch.randn(2, 32, *side).contiguous(memory_format=order).requires_grad_()
        gate(x).square().sum().backward()
        grads = {key: p.grad for key, p in gate.named_parameters()} | {"x": x.grad}
        assert all(grad is not None and grad.isfinite().all() for grad in grads.values()), grads


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", list(ATTENTION))
def test_half_precision_is_finite(name: str, dtype: torch.dtype) -> None:
    gate = ATTENTION[name](64).to(dtype).eval()
    x = 20 * torch.randn(1, 64, 28, 28, generator=torch.Generator().manual_seed(0)).to(dtype)
    with torch.no_grad():
        assert gate(x).isfinite().all()


@pytest.mark.parametrize("name", list(ATTENTION))
def test_traceable_and_on_meta(name: str) -> None:
    gate = ATTENTION[name](32).eval()
    traced = torch.fx.symbolic_trace(gate)
    x = torch.randn(2, 32, 6, 5)
    torch.testing.assert_close(traced(x), gate(x))
    assert gate.to("meta")(x.to("meta")).shape == x.shape


@pytest.mark.parametrize("name", list(ATTENTION))
@torch.no_grad()
def test_the_same_channels_last(name: str) -> None:
    gate = ATTENTION[name](32).double().eval()
    x = torch.randn(2, 32, 6, 9, dtype=torch.float64)
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(gate(last), gate(x))


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("cbam", {"order": "spatial_chanel"}, "spatial_channel"),
        ("cbam", {"reduction": 0}, "at least 1, not 0"),
        ("bam", {"combine": "add"}, "product"),
        ("ge", {"kind": "theta"}, "give extent 2, 4, 8"),
        ("ge", {"extent": 3}, "not 3"),
        ("fca", {"frequencies": 33}, "from 1 to 32, not 33"),
        ("ela", {"kernel_size": 4}, "odd"),
        ("nam", {"norm_layer": nn.Identity}, "has none"),
    ],
)
def test_wrong_arguments(name: str, args: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ATTENTION[name](32, **args)


def _network(gate: str) -> Network:
    model = create_model(
        "resnet18", attention=gate, layers=(1, 1, 1, 1), widths=(32, 32, 64, 64), num_classes=10
    )
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ATTENTION))
@torch.no_grad()
def test_exported_for_all_sizes_and_compiled_without_a_break(name: str) -> None:
    torch.compiler.reset()
    model = _network(name)
    program = export_program(model, torch.randn(2, 3, 96, 128))
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for size in ((3, 3, 65, 97), (1, 3, 160, 40)):
        x = torch.randn(*size)
        torch.testing.assert_close(program.module()(x), model(x), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ATTENTION))
@torch.no_grad()
def test_deployed_form_gives_the_same(name: str) -> None:
    model, x = _network(name), torch.randn(2, 3, 65, 97)
    expected = model(x)
    deployed = optimize_for_inference(model, x, backend="torch", rounds=1)
    torch.testing.assert_close(deployed(x), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ATTENTION))
def test_onnx_of_any_size(name: str, tmp_path: Path) -> None:
    done = export_model(_network(name), tmp_path / "network.onnx")
    assert all(each.error <= 1e-4 for each in done.differences)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ATTENTION))
def test_int8(name: str, tmp_path: Path) -> None:
    done = quantize(trained(_network(name)), crops(), tmp_path / "int8.onnx")
    assert done.sqnr > 10 and done.agreement >= 0.8


def test_the_median_gate_costs_under_40_lines() -> None:
    """Its class with docstring and registration; a row of the zoo is one line more."""
    lines = {name: len(inspect.getsource(ATTENTION[name]).splitlines()) for name in ATTENTION}
    assert statistics.median(lines.values()) + 1 < 40, lines
