"""Each gate of the collections is its paper's formula, said again in numpy; timm's and
pytorchcv's modules give the same; the papers' networks have the papers' parameters."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_variants import profile
from resnet_variants.blocks.gates import ATTENTION

from .gate_formulas import FORMULAS


def random_weights(module: nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.5)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 32, 7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "args", "formula"),
    FORMULAS,
    ids=["-".join([name, *map(str, args.values())]) for name, args, _ in FORMULAS],
)
def test_formula(name: str, args: dict[str, Any], formula: Any, x: Tensor) -> None:
    gate = ATTENTION[name](32, **args).double().train()
    random_weights(gate)
    weights = {key: each.detach().numpy() for key, each in gate.named_parameters()}
    expected = torch.from_numpy(formula(x.numpy(), weights))
    torch.testing.assert_close(gate(x), expected, rtol=1e-9, atol=1e-9)


def test_every_collected_gate_has_a_formula() -> None:
    earlier = ("se", "eca", "ssa", "salient", "group_salient")  # test_attention.py
    own = {name for name in ATTENTION if not name.startswith(earlier)}
    assert own == {name for name, _, _ in FORMULAS}


@pytest.mark.parametrize("side", [(14, 14), (5, 9), (1, 1), (60, 57)])
def test_fca_pools_other_maps_as_its_authors_do(side: tuple[int, int]) -> None:
    gate = ATTENTION["fca"](32, size=14).double()
    x = torch.randn(2, 32, *side, dtype=torch.float64)
    pooled = torch.nn.functional.adaptive_avg_pool2d(x, 14)
    y = gate.spectrum(pooled)  # type: ignore[operator]
    torch.testing.assert_close(gate.spectrum(x), y)  # type: ignore[operator]
    torch.testing.assert_close(y[:, :2], x.new_tensor(14.0) * pooled.mean((2, 3))[:, :2])


@pytest.mark.parametrize("name", ["gc", "gct"])
def test_starts_as_the_identity(name: str, x: Tensor) -> None:
    torch.testing.assert_close(ATTENTION[name](32).double()(x), x)


# Parameters in millions, as the tables of papers and repositories print them.
PAPERS = {
    "cbam_resnet50": 28.09,
    "cbam_resnet101": 49.33,
    "bam_resnet50": 25.92,
    "bam_resnet101": 44.91,
    "triplet_resnet50": 25.56,
    "simam_resnet18": 11.69,
    "simam_resnet34": 21.80,
    "simam_resnet50": 25.56,
    "simam_resnet101": 44.55,
    "sge_resnet50": 25.56,
    "sge_resnet101": 44.55,
    "sa_resnet50": 25.56,
    "sa_resnet101": 44.55,
    "srm_resnet50": 25.62,
    "fcaresnet50": 28.07,
    "gcnet_resnet50": 28.11,
    "ge_theta_minus_resnet50": 25.56,
}


@pytest.mark.parametrize("name", PAPERS)
def test_parameters_are_those_of_the_papers(name: str) -> None:
    assert round(profile(name).params / 1e6, 2) == PAPERS[name]


def test_timm_has_the_same_cbam(x: Tensor) -> None:
    timm = import_module("timm.layers.cbam")
    ours = ATTENTION["cbam"](32, bias=False).double().eval()
    theirs = timm.CbamModule(32).double().eval()
    random_weights(ours)
    state = {
        "channel.fc1.weight": ours.channel.fc1.weight[..., None, None],  # type: ignore[union-attr]
        "channel.fc2.weight": ours.channel.fc2.weight[..., None, None],  # type: ignore[union-attr]
        # timm puts the mean first
        "spatial.conv.conv.weight": ours.spatial.conv.weight.flip(1),  # type: ignore[operator, union-attr]
        "spatial.conv.bn.weight": ours.spatial.norm.weight,  # type: ignore[union-attr]
        "spatial.conv.bn.bias": ours.spatial.norm.bias,  # type: ignore[union-attr]
    }
    theirs.load_state_dict(state, strict=False)
    torch.testing.assert_close(theirs(x), ours(x))


@pytest.mark.parametrize("name", ["gc", "gc_scale"])
def test_timm_has_the_same_global_context(name: str, x: Tensor) -> None:
    timm = import_module("timm.layers.global_context")
    adds = name == "gc"
    theirs = timm.GlobalContext(32, rd_channels=2, fuse_add=adds, fuse_scale=not adds).double()
    getattr(theirs, "mlp_add" if adds else "mlp_scale").norm.eps = 1e-5  # mmcv's, not timm's 1e-6
    ours = ATTENTION[name](32).double()
    random_weights(ours)
    mlp = "mlp_add" if adds else "mlp_scale"
    state = {}
    for key, each in ours.context.state_dict().items():  # type: ignore[union-attr]
        if key.startswith("conv"):
            state[key.replace("conv", "conv_attn")] = each
        else:
            state[f"{mlp}.{key}"] = (
                each[..., None, None] if key in ("fc1.weight", "fc2.weight") else each
            )
    theirs.load_state_dict(state)
    torch.testing.assert_close(theirs(x), ours(x))


@pytest.mark.parametrize("extent", [None, 2, 4])
def test_timm_has_the_same_gather_excite(extent: int | None, x: Tensor) -> None:
    """Without parameters: with them timm's raises a TypeError."""
    timm = import_module("timm.layers.gather_excite")
    theirs = timm.GatherExcite(32, extent=extent or 0, use_mlp=False)
    torch.testing.assert_close(theirs(x), ATTENTION["ge"](32, extent=extent)(x))


def test_timm_has_the_same_coordinate_attention(x: Tensor) -> None:
    timm = import_module("timm.layers.coord_attn")
    theirs = timm.CoordAttn(32, rd_channels=8, bias=True, act_layer=nn.Hardswish).double()
    ours = ATTENTION["coordinate"](32).double()
    random_weights(ours)
    with torch.no_grad():
        for a, b in zip(theirs.parameters(), ours.parameters(), strict=True):
            a.copy_(b)
    torch.testing.assert_close(theirs(x), ours(x))
