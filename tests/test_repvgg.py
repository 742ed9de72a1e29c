"""Reparameterised units: the papers' branches, and the one convolution that they deploy as."""

from pathlib import Path
from typing import Any

import pytest
import timm.layers
import torch
from timm.models.byobnet import LayerFn, MobileOneBlock, RepVggBlock
from torch import nn

from resnet_variants import Network, create_model
from resnet_variants.blocks import ConvSpec, GroupNorm, RepConv
from resnet_variants.deploy import BACKENDS, pack
from resnet_variants.export import export_model, export_program
from resnet_variants.network.folding import sum_branches, summed
from resnet_variants.quantize import quantize

from .golden import fill


def _filled(module: nn.Module) -> Any:
    """In float64 and eval, with weights and statistics far from their initial values."""
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    module.double().eval().load_state_dict(fill.state_dict(shapes))
    return module


def _apart(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).abs().max() / b.abs().max()).item()


SHAPES = [
    (into, out, stride, group_size)
    for into, out, stride in ((16, 16, 1), (16, 16, 2), (16, 24, 1))
    for group_size in (None, 1, 4)
    if group_size != 1 or into == out  # a depthwise convolution keeps the channels
]


@pytest.mark.parametrize(("into", "out", "stride", "group_size"), SHAPES)
@pytest.mark.parametrize("branches", [1, 4])
def test_timm_has_the_same_units(
    branches: int, into: int, out: int, stride: int, group_size: int | None
) -> None:
    """RepVGG's with one 3x3, MobileOne's with several."""
    layers = LayerFn(conv_norm_act=timm.layers.ConvNormAct, norm_act=timm.layers.BatchNormAct2d)
    args: Any = dict(stride=stride, group_size=group_size, layers=layers)
    many = MobileOneBlock(into, out, num_conv_branches=branches, **args)
    theirs = _filled(RepVggBlock(into, out, **args) if branches == 1 else many)
    groups = 1 if group_size is None else into // group_size
    ours: Any = RepConv(ConvSpec(into, out, stride=stride, groups=groups), branches=branches)
    ours.double().eval()
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    convs = [theirs.conv_kxk] if branches == 1 else [*theirs.conv_kxk]
    convs.append(theirs.conv_1x1 if branches == 1 else theirs.conv_scale)
    for mine, their in zip(ours.branches, convs, strict=True):
        mine.conv.load_state_dict(their.conv.state_dict())
        mine.norm.load_state_dict(their.bn.state_dict())
    assert (ours.identity is None) == (theirs.identity is None)
    if ours.identity is not None:
        ours.identity.load_state_dict(theirs.identity.state_dict())
    x = torch.randn(2, into, 9, 8, dtype=torch.float64)
    assert _apart(ours(x), theirs(x)) < 1e-13
    theirs.reparameterize()
    sum_branches(ours)
    assert _apart(ours.branches[0].conv.weight, theirs.reparam_conv.weight) < 1e-13
    assert _apart(ours.branches[0].conv.bias, theirs.reparam_conv.bias) < 1e-13


@pytest.mark.parametrize("groups", [1, 2, 16])
@pytest.mark.parametrize("branches", [1, 3])
@pytest.mark.parametrize("args", [{}, {"stride": 2}, {"dilation": 2}], ids=str)
@torch.no_grad()
def test_the_branches_are_one_convolution(args: dict[str, int], branches: int, groups: int) -> None:
    spec = ConvSpec(16, 16, groups=groups, act=nn.SiLU, **args)
    unit: Any = _filled(RepConv(spec, branches=branches))
    images = [torch.randn(2, 16, *size, dtype=torch.float64) for size in ((1, 1), (9, 6))]
    expected = [unit(x) for x in images]
    sum_branches(unit)
    [conv] = [each for each in unit.modules() if isinstance(each, nn.Conv2d)]
    assert conv.kernel_size == (3, 3)
    assert not [each for each in unit.modules() if isinstance(each, nn.BatchNorm2d)]
    for x, y in zip(images, expected, strict=True):
        assert _apart(unit(x), y) < 1e-13


def _network(**changes: Any) -> Network:
    args: Any = dict(layers=(2, 1, 1), widths=(8, 16, 16), stem_width=16, num_classes=5) | changes
    model = create_model("resnet50", conv="repvgg", conv_args={"branches": 2}, **args)
    return _filled(model)


@torch.no_grad()
def test_deployed_networks_have_no_branches() -> None:
    model = _network(attention="se")
    images = torch.randn(2, 3, 64, 40, dtype=torch.float64)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for deployed in (summed(model), pack(model, images)):
        assert _apart(deployed(images), model(images)) < 1e-12
        units = [each for each in deployed.modules() if isinstance(each, RepConv)]
        assert units and all(len(unit.branches) == 1 for unit in units)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@torch.no_grad()
def test_normalisation_of_each_image_keeps_the_branches() -> None:
    unit = RepConv(ConvSpec(16, 16, norm=GroupNorm))
    sum_branches(unit)
    assert len(unit.branches) == 2 and unit.identity is not None


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
def test_backends(backend: str) -> None:
    model = _network().float()
    images = torch.randn(2, 3, 64, 64)
    runs = BACKENDS[backend].prepare(model, images, "float32", None)
    other = torch.randn(3, 3, 48, 70)
    with torch.inference_mode():
        for run in runs.values():
            assert _apart(run(other), model(other)) < 1e-4


def test_compiled_whole_and_exported_for_any_size() -> None:
    model = _network().float()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    exported = export_program(model, torch.randn(2, 3, 64, 80))
    images = torch.randn(3, 3, 48, 70)
    with torch.no_grad():
        expected = model(images)
        torch.testing.assert_close(compiled(images), expected)
        torch.testing.assert_close(exported.module()(images), expected)


def test_files_have_no_branches(tmp_path: Path) -> None:
    """What others' runtimes read: exported, and quantised."""
    import onnx

    model, branches = _network().float(), 3 * 4  # two 3x3 and the 1x1, of which one is left
    convs = sum(isinstance(each, nn.Conv2d) for each in model.modules())
    export_model(model, tmp_path / "network.onnx")
    images = torch.randn(4, 3, 64, 64)
    assert quantize(model, images, tmp_path / "int8.onnx").sqnr > 20
    for path in tmp_path.glob("*.onnx"):
        kinds = [node.op_type for node in onnx.load(path).graph.node]
        assert sum("Conv" in kind for kind in kinds) == convs - branches * 2 // 3, path
