"""What a network is packed into for a GPU, on a CPU: the same outputs, by each form."""

from __future__ import annotations

import copy
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from torch import nn

from resnet_variants import create_model
from resnet_variants.blocks.attention import SEVar1, SEVar2
from resnet_variants.deploy import float32_as, pack
from resnet_variants.deploy.forms import FORMS, Geometry, Use, Weights
from resnet_variants.deploy.gated import InputGate, gate_of_input
from resnet_variants.deploy.gpu import GpuConv
from resnet_variants.deploy.pack import _fold
from resnet_variants.deploy.units import ShuffledStage, _ordered

from . import kernels_interpreted
from .families import each_kind
from .test_deploy import _close, _ready, _with_statistics

LAST = torch.channels_last


@each_kind
@pytest.mark.parametrize("last", [True, False], ids=["channels_last", "NCHW"])
def test_networks_packed_for_a_gpu_agree(family: str, last: bool) -> None:
    model = _ready(family)
    packed = pack(
        model, torch.randn(1, 3, 64, 64), channels_last=last, measure=False, target="cuda"
    )
    with torch.inference_mode():
        for shape in ((1, 3, 64, 64), (3, 3, 48, 71)):
            images = torch.randn(shape)
            assert _close(packed(images), model(images))


GEOMETRIES = {
    "1x1": dict(in_channels=24, out_channels=32, kernel_size=1),
    "1x1 stride 2": dict(in_channels=24, out_channels=32, kernel_size=1, stride=2, bias=False),
    "3x3": dict(in_channels=8, out_channels=16, kernel_size=3, stride=2, padding=1),
    "3 groups": dict(in_channels=72, out_channels=72, kernel_size=3, padding=1, groups=3),
    "32 groups": dict(in_channels=128, out_channels=64, kernel_size=3, padding=1, groups=32),
    "depthwise": dict(in_channels=16, out_channels=16, kernel_size=3, padding=1, groups=16),
}


each_geometry = pytest.mark.parametrize("geometry", GEOMETRIES)


@each_geometry
def test_forms_agree(geometry: str) -> None:
    _check_forms(geometry, "cpu", torch.float32, 1e-4)


@pytest.mark.gpu
@each_geometry
@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 1e-4), (torch.float16, 1e-2), (torch.bfloat16, 5e-2)]
)
def test_forms_agree_on_a_gpu(geometry: str, dtype: torch.dtype, bound: float) -> None:
    with float32_as("ieee"):
        _check_forms(geometry, "cuda", dtype, bound)


@pytest.mark.gpu
def test_kernels_on_a_gpu() -> None:
    kernels_interpreted.main()


def _check_forms(geometry: str, device: str, dtype: torch.dtype, bound: float) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(**GEOMETRIES[geometry]).to(device, dtype)  # type: ignore[arg-type]
    like = dict(device=device, dtype=dtype)
    x = torch.randn(2, conv.in_channels, 9, 7, **like).contiguous(memory_format=LAST)
    entry = torch.rand(2, conv.in_channels, 1, 1, **like)
    tried = set()
    with torch.inference_mode():
        exact = copy.deepcopy(conv).double()
        plain, entered = exact(x.double()), exact(x.double() * entry)
        gate = torch.rand(2, conv.out_channels, 1, 1, **like)
        other = torch.randn(plain.shape, **like).contiguous(memory_format=LAST)
        for use, expected in (
            (Use(x), plain),
            (Use(x, act="relu"), plain.relu()),
            (Use(x, act="swish"), nn.functional.silu(plain)),
            (Use(x, other=other, act="relu"), (plain + other).relu()),
            (Use(x, gate=gate, other=other, scale=0.5), 0.5 * gate * plain + other),
            (Use(x, entry=entry, other=other, act="relu"), (entered + other).relu()),
        ):
            for name, form in FORMS.items():
                if form.takes(Geometry.of(conv), use):
                    weights = Weights(conv.weight, conv.bias, *Geometry.of(conv)[3:])
                    torch.full_like(other, math.nan)  # freed: no form reads what memory held
                    try:
                        found = form.run(form.prepare(weights), use)
                    except Exception as error:
                        # What a library or a card has not is not chosen, either.
                        lacks = "unable to find an engine|out of resource"
                        assert device == "cuda" and re.search(lacks, str(error)), name
                        continue
                    off = (found - expected).abs().max() / expected.abs().max()
                    assert off < bound, f"{name}: {off:.1e}"
                    tried.add(name)
    assert "plain" in tried
    assert device == "cuda" or {"fused", "plain"} < tried or geometry == "3x3"


@pytest.mark.parametrize("gate", ["se", "se_var1", "se_var3", "eca", "eca_ns", "ssa", "salient"])
def test_gates_of_a_convolutions_input(gate: str) -> None:
    """No gate behind a 1x1 convolution reads its output any more, and all agree."""
    torch.manual_seed(0)
    sizes = dict(widths=(16, 16, 32, 32), stem_width=16)
    model = _with_statistics(create_model("resnet26", attention=gate, **sizes).eval())
    images = torch.randn(2, 3, 64, 64)
    packed = pack(model, images, measure=False, target="cuda")
    assert sum(isinstance(each, InputGate) for each in packed.modules()) == 8
    with torch.inference_mode():
        assert _close(packed(images), model(images))


def test_what_is_packed_lies_where_its_network_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device that is not the CPU, even what a part makes of nothing that lies there."""
    model = create_model("shufflenet_v2_x0_5").eval().requires_grad_(False).to("meta")
    for unit in model.modules():
        _fold(unit)
    x = torch.empty(2, 24, 8, 8, device="meta")
    for stage in map(ShuffledStage, model.stages):
        x = stage(x)
        assert {each.device.type for each in (*stage.parameters(), *stage.buffers())} == {"meta"}
    monkeypatch.setattr(torch, "allclose", lambda *args, **given: True)
    weight = torch.empty(8, 4, device="meta")
    for gate in (SEVar1(8), SEVar2(8).to("meta")):
        of_input = gate_of_input(gate, weight, None)
        assert of_input(torch.empty(2, 4, 3, 3, device="meta")).shape == (2, 8, 1, 1)


def test_channels_stay_last_in_another_order() -> None:
    """On a device, where the next convolution reads them so."""
    x = torch.empty(2, 8, 3, 4, device="meta").contiguous(memory_format=LAST)
    order = torch.empty(8, dtype=torch.long, device="meta")
    assert _ordered(x, order).stride() == x.stride()
    assert _ordered(x.contiguous(), order).is_contiguous()


def test_each_convolution_takes_the_fastest_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """By times that are given, and without forms that fail."""
    import resnet_variants.deploy.gpu as gpu

    conv = nn.Conv2d(64, 64, 3, padding=1, groups=8)
    x = torch.randn(1, 64, 8, 8).contiguous(memory_format=LAST)

    def times(measure: bool = True, **seconds: float | None) -> str:
        of = {FORMS[name.replace("_", " ")].run: time for name, time in seconds.items()}

        def measured(call, device):
            run = call.__closure__[0].cell_contents
            if of.get(run, 9.0) is None:
                raise RuntimeError("no such kernel")
            return of.get(run, 9.0)

        monkeypatch.setattr(gpu, "seconds", measured)
        monkeypatch.setattr(gpu, "_KNOWN", {})
        made = GpuConv(conv, "relu", measure=measure)
        with torch.inference_mode():
            assert _close(made(x), conv(x).relu())
        return made.form

    assert times(NCHW=1.0) == "NCHW"
    assert Use(x).key() != Use(x.to("meta")).key()  # another device may be of another kind
    assert times(NCHW=8.99) == "fused"  # not clearly
    assert times(fused=None, NCHW=None, plain=2.0) == "plain"
    assert times(measure=False, NCHW=1.0) == "fused"
    assert times(measure=False, NCHW=1.0, fused=None) == "plain"


@pytest.mark.parametrize("last", [True, False], ids=["channels_last", "NCHW"])
def test_grids_stay_within_cudas_bounds(last: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On maps of 8192 x 8192, which are not made here."""
    pytest.importorskip("triton")
    from resnet_variants.deploy import kernels

    grids: list[tuple[int, ...]] = []

    class Noted:
        def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
            grids.append(grid)
            return lambda *args, **given: None

    for name in ("_finish", "_pointwise", "_window"):
        monkeypatch.setattr(kernels, name, Noted())
    x = torch.empty(1, 16, 8192, 8192, device="meta")
    x = x.contiguous(memory_format=LAST) if last else x
    kernels.finish(x, act="relu")
    kernels.pointwise(x, torch.empty(64, 16, device="meta"))
    kernels.max_pool(x, 3, stride=2, padding=1, ceil_mode=False)
    assert len(grids) == 3
    for first, *others in grids:
        assert first < 2**31 and max(others, default=1) < 2**16


@pytest.mark.skipif(
    torch.__version__ < "2.12" and numpy.__version__ >= "2.4",
    reason="the interpreter of triton before 3.7 makes numbers of arrays, which numpy refuses",
)
def test_kernels_give_what_they_state() -> None:
    """Triton's interpreter runs the GPU's kernels on a CPU."""
    root = Path(__file__).parent.parent
    subprocess.run(
        [sys.executable, "-m", "tests.kernels_interpreted"],
        cwd=root,
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(root)},
        check=True,
    )
