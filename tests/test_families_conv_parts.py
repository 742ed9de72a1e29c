"""The parts in the place of the 3x3, alone and in networks, against plain formulations. Long
because five parts share their plain helpers."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_variants import NetworkConfig, build, create_model, initialise, model_config
from resnet_variants.blocks import (
    ConvNormAct,
    ConvSpec,
    PlainConv,
    Res2Conv,
    ResidualUnit,
    SelectiveKernel,
    SelfCalibratedConv,
    SplitAttention,
)
from resnet_variants.blocks.convs import CONVS
from resnet_variants.blocks.layers import GroupNorm, act_factory
from resnet_variants.checkpoints import load_checkpoint
from resnet_variants.export import export_program

from .families import thin
from .golden import fill

RELU = act_factory("relu")
spec = partial(ConvSpec, act=RELU)
PARTS = ["plain", "res2net", "self_calibrated", "split_attention", "selective_kernel", "repvgg"]


def _filled(module: nn.Module) -> nn.Module:
    """Weights and statistics that are far from their initial values, in float64, eval."""
    module.double().eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    module.load_state_dict(fill.state_dict(shapes))
    return module


def _apart(a: Tensor, b: Tensor) -> float:
    return ((a - b).abs().max() / b.std()).item()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (9, 14)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("part", PARTS)
def test_shape(part: str, groups: int, stride: int, size: tuple[int, int]) -> None:
    for first in (True, False):
        for dilation in (1, 2):
            module = CONVS[part](
                spec(16, 16, stride=stride, dilation=dilation, groups=groups, first=first)
            )
            out = module.eval()(torch.randn(2, 16, *size))
            assert out.shape == (2, 16, -(-size[0] // stride), -(-size[1] // stride))


@pytest.mark.parametrize("part", PARTS[1:])
def test_normalisation_and_activation_reach_every_layer(part: str) -> None:
    module = CONVS[part](ConvSpec(64, 64, norm=GroupNorm, act=nn.SiLU))
    kinds = {type(each) for each in module.modules()}
    assert GroupNorm in kinds and nn.SiLU in kinds
    assert not kinds & {nn.BatchNorm2d, nn.ReLU}
    module(torch.randn(1, 64, 8, 8)).sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name


# Split attention and selective kernels ------------------------------------------------------


def _select(module: Any, maps: list[Tensor], groups: int, branches: int) -> Tensor:
    """The released formulation: the sum of the maps, pooled; a softmax; a weighted sum."""
    stacked = torch.stack(maps, 1)
    pooled = stacked.sum(1).mean((2, 3), keepdim=True)
    logits = module.fc2(module.act(module.norm(module.fc1(pooled))))
    logits = logits.reshape(len(pooled), groups, branches, -1).transpose(1, 2)
    weights = logits.softmax(1) if branches > 1 else logits.sigmoid()
    return (stacked * weights.reshape(*stacked.shape[:3], 1, 1)).sum(1)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("radix", [1, 2, 3, 4])
def test_split_attention_is_the_released_formulation(radix: int, groups: int) -> None:
    module = _filled(SplitAttention(spec(48, 24, groups=groups), radix=radix))
    x = torch.randn(2, 48, 9, 7, dtype=torch.float64)
    maps = ConvNormAct.forward(module, x).chunk(radix, 1)
    expected = _select(module.selection, list(maps), groups, radix)
    assert _apart(module(x), expected) < 1e-12


def test_radix_0_is_a_plain_convolution() -> None:
    split = SplitAttention(spec(8, 8, groups=2), radix=0)
    plain = PlainConv(spec(8, 8, groups=2))
    plain.load_state_dict(split.state_dict())
    x = torch.randn(2, 8, 6, 6)
    assert torch.equal(split(x), plain(x))


def test_resnest_without_radix_is_resnet_d() -> None:
    model = create_model("resnest50", device="meta", conv_args={"radix": 0})
    assert sum(each.numel() for each in model.parameters()) == 25576264


@pytest.mark.parametrize("branches", [2, 3])
def test_selective_kernel_is_the_released_formulation(branches: int) -> None:
    module = _filled(SelectiveKernel(spec(16, 64, groups=4, stride=2), branches=branches))
    x = torch.randn(2, 16, 9, 7, dtype=torch.float64)
    maps = [conv(x) for conv in module.convs]
    assert [conv.conv.dilation[0] for conv in module.convs] == list(range(1, branches + 1))
    assert _apart(module(x), _select(module.selection, maps, 1, branches)) < 1e-12


def test_selective_kernel_widths() -> None:
    def hidden(width: int, **args: int) -> int:
        return SelectiveKernel(spec(width, width, groups=32), **args).selection.fc1.out_channels

    assert [hidden(width) for width in (128, 512, 1024)] == [32, 32, 64]
    assert hidden(256, min_width=16) == 16
    assert hidden(256, reduction=4) == 64


def test_pooled_features_are_refused_where_they_have_no_variance() -> None:
    with pytest.raises(ValueError, match="instancenorm.*groupnorm"):
        create_model("resnest26", norm_layer="instancenorm")
    model = create_model("resnest26", num_classes=4)
    with pytest.raises(ValueError, match="one image"):
        model(torch.randn(1, 3, 64, 64))
    model = create_model("resnest26", num_classes=4, norm_layer="groupnorm")
    assert model(torch.randn(1, 3, 64, 64)).isfinite().all()


# Res2Net ------------------------------------------------------------------------------------


def _res2(module: Any, x: Tensor) -> Tensor:
    splits = x.split(x.shape[1] // module.scale, 1)
    outs: list[Tensor] = []
    for i, conv in enumerate(module.convs):
        outs.append(conv(splits[i] if module.first or i == 0 else splits[i] + outs[i - 1]))
    last = splits[-1]
    if module.first:
        stride = module.convs[0].conv.stride[0]
        last = F.pad(last, (1, 1, 1, 1)).unfold(2, 3, stride).unfold(3, 3, stride).mean((4, 5))
    return torch.cat([*outs, last], 1)


@pytest.mark.parametrize(("first", "stride"), [(True, 2), (True, 1), (False, 1)])
@pytest.mark.parametrize("scale", [2, 4])
def test_res2net_hierarchy(scale: int, first: bool, stride: int) -> None:
    module = _filled(Res2Conv(spec(24, 24, first=first, stride=stride, groups=2), scale=scale))
    x = torch.randn(2, 24, 9, 8, dtype=torch.float64)
    assert _apart(module(x), _res2(module, x)) < 1e-12


def test_res2net_of_the_paper_is_the_released_one_reordered() -> None:
    """The paper leaves the first split unfiltered, the released code the last."""
    released = _filled(Res2Conv(spec(16, 16)))
    paper = Res2Conv(spec(16, 16), unfiltered="first").double().eval()
    paper.load_state_dict(released.state_dict())
    x = torch.randn(2, 16, 6, 6, dtype=torch.float64)
    assert torch.equal(paper(x.roll(4, 1)), released(x).roll(4, 1))


def test_res2net_of_scale_1_is_resnet() -> None:
    model = create_model("resnet50", device="meta", conv="res2net", conv_args={"scale": 1})
    plain = create_model("resnet50", device="meta")
    assert [each.shape for each in model.parameters()] == [
        each.shape for each in plain.parameters()
    ]


# Self-calibrated convolutions ---------------------------------------------------------------


def _calibrated(module: Any, x: Tensor) -> Tensor:
    """The authors' code, which needs maps of at least 4x4."""
    a, b = x.chunk(2, 1)
    gate = b + F.interpolate(module.k2(F.avg_pool2d(b, 4, 4)), b.shape[2:])
    return torch.cat([module.k1(a), module.k4(module.k3(b) * gate.sigmoid())], 1)


@pytest.mark.parametrize("size", [(4, 4), (7, 7), (9, 14), (16, 5)])
def test_self_calibration_is_the_authors(size: tuple[int, int]) -> None:
    module = _filled(SelfCalibratedConv(spec(8, 8, stride=2)))
    x = torch.randn(2, 8, *size, dtype=torch.float64)
    assert _apart(module(x), _calibrated(module, x)) < 1e-12


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (2, 7)])
def test_self_calibration_of_small_maps_averages_them_whole(size: tuple[int, int]) -> None:
    module: Any = _filled(SelfCalibratedConv(spec(8, 8)))
    x = torch.randn(2, 4, *size, dtype=torch.float64)
    square = (min(size[0], 4), min(size[1], 4))
    pooled = F.adaptive_avg_pool2d(x[:, :, : square[0], : square[1]], 1)
    assert _apart(module.surroundings(x), module.k2(pooled).expand_as(x)) < 1e-12


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (4, 4), (7, 7), (13, 8), (32, 33)])
def test_self_calibration_is_the_same_when_exported(size: tuple[int, int]) -> None:
    module: Any = _filled(SelfCalibratedConv(spec(8, 8)))
    x = torch.randn(2, 4, *size, dtype=torch.float64)
    assert _apart(module._surroundings_of_any_size(x), module.surroundings(x)) < 1e-12


def test_self_calibration_exports_across_sizes() -> None:
    """One graph for maps with one square and with more of them."""
    module = SelfCalibratedConv(spec(8, 8)).eval()
    graph = export_program(module, torch.randn(2, 8, 6, 6)).module()
    for size in ((2, 3), (4, 4), (7, 13), (32, 20)):
        x = torch.randn(3, 8, *size)
        torch.testing.assert_close(graph(x), module(x))


# In networks --------------------------------------------------------------------------------

COMBINATIONS: list[dict[str, Any]] = [
    dict(conv="res2net", base_width=26, attention="eca", stem="deep"),
    dict(conv="split_attention", attention="ssa", shortcut="avg", stride_with="avg_after"),
    dict(conv="selective_kernel", groups=32, base_width=4, attention="se", attention_at="pre"),
    dict(conv="self_calibrated", attention="salient", attention_at="inner", shortcut="max"),
    dict(conv="self_calibrated", groups=2, stem="conv3", stride_with="avg_before"),
    dict(conv="res2net", conv_args=({"scale": 2}, {"scale": 8}), stem="tiered", stride_in="conv1"),
    dict(conv="split_attention", conv_args={"radix": 4}, stem="cifar", shortcut="pad"),
]


@pytest.mark.parametrize("changes", COMBINATIONS, ids=lambda each: each["conv"])
def test_parts_combine(changes: dict[str, Any]) -> None:
    model = create_model("resnet50", layers=(2, 1), num_classes=4, drop_path_rate=0.2, **changes)
    model(torch.randn(2, 3, 33, 40)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(conv="res2net", conv_args={"scale": 0}), r"scale of .* in \[1, .*, not 0"),
        (dict(conv="res2net", conv_args={"scales": 4}), "'scales'.*'scale'"),
        (dict(conv="res2net", reduce_first=2), "res2net.*reduce_first"),
        (dict(conv="res2net", conv_args={"unfiltered": "lst"}), "'lst'.*'last'"),
        (dict(conv="self_calibrated", reduce_first=2), "self_calibrated.*reduce_first"),
        (dict(conv="self_calibrated", conv_args={"pooling": 0}), "pooling.*0"),
        (dict(conv="split_attention", conv_args={"radix": 3}), "64 channels.*radix=3"),
        (dict(conv="split_attention", conv_args={"radix": -1}), "radix.*-1"),
        (dict(conv="selective_kernel", conv_args={"branches": 1}), "2 or more.*1"),
        (dict(conv="repvgg", conv_args={"branches": 0}), r"branches of .*repvgg.*\[1, .*, not 0"),
        (dict(conv="res2net", conv_args=({"scale": 4},)), "1 values for 4 stages"),
        (dict(conv="splat"), "'splat'.*'split_attention'"),
    ],
)
def test_refusals(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_model("resnet50", device="meta", **changes)


@pytest.mark.parametrize(
    "name", ["resnest26", "resnest50_fast_2s2x40d", "res2net50_26w_4s", "scnet50", "sknet26"]
)
def test_drop_path_drops_the_residual_branch_alone(name: str) -> None:
    """A dropped sample leaves a unit as its shortcut did; the others' branch is scaled up."""
    model = create_model(name, num_classes=2, layers=(2, 1, 1, 1), drop_path_rate=0.5)
    units = [unit for unit in model.modules() if isinstance(unit, ResidualUnit)]
    rates = [getattr(unit.drop_path, "rate", 0.0) for unit in units]
    assert rates == pytest.approx([0.5 * i / 4 for i in range(5)])
    unit = units[1].eval()
    x = torch.randn(64, 256, 3, 3).relu()
    with torch.no_grad():
        branch = unit.branch(x)
        assert torch.equal(unit(x), (x + branch).relu())
        unit.drop_path.train()
        unit.drop_path.rate = 0.5
        out = unit(x)
    dropped = torch.stack([torch.equal(out[i], x[i]) * torch.ones(()) for i in range(64)]).bool()
    assert 16 <= dropped.sum() <= 48
    torch.testing.assert_close(out[~dropped], (x + 2 * branch)[~dropped].relu())


# Dilation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("name", ["resnest14", "resnest26", "resnest50_fast_4s2x40d"])
def test_dilated_resnest_is_the_authors(name: str, stride: int) -> None:
    """timm's network with the two differences from the authors' dilated one put right: they keep
    the average pooling where dilation took its stride, and do not pool in the shortcut then."""
    there = "resnest50d_4s2x40d" if "fast" in name else f"{name}d"
    peer = timm.create_model(there, output_stride=stride).double().eval()
    for i, layer in enumerate((peer.layer2, peer.layer3, peer.layer4), 1):
        if 4 * 2**i > stride:
            pool = nn.AvgPool2d(3, 1, padding=1)
            if "fast" in name:
                layer[0].avd_first = pool
            else:
                layer[0].avd_last = pool
            layer[0].downsample[0] = nn.Identity()
    shapes = {key: tuple(tensor.shape) for key, tensor in peer.state_dict().items()}
    weights = fill.state_dict(shapes)
    peer.load_state_dict(weights)
    model = create_model(name, output_stride=stride, dtype=torch.float64).eval()
    load_checkpoint(model, weights)
    image = fill.image((1, 3, 65, 96))
    with torch.inference_mode():
        assert _apart(model(image), peer(image)) < 1e-9


@pytest.mark.parametrize(
    ("name", "stride"),
    [
        ("resnet50", 8),
        ("regnetx_002", 8),
        ("regnetx_002", 16),
        ("res2next50", 16),  # at 8 its first units' pooling is not dilated, as timm's is not
    ],
)
def test_dilation_only_fills_in_between(name: str, stride: int) -> None:
    """Without strides the maps are finer; every s-th position is what it was."""
    config = thin(model_config(name))
    strided, dilated = (_features(config.replace(output_stride=each)) for each in (32, stride))
    step = 32 // stride
    assert _apart(dilated[:, :, ::step, ::step], strided) < 1e-12


def _features(config: NetworkConfig) -> Tensor:
    model = build(config).double().eval()
    initialise(model, seed=0)
    with torch.inference_mode():
        return model.forward_features(fill.image((1, 3, 96, 64)))


def test_dilated_scnet_is_the_authors() -> None:
    """Their dilated network strides nowhere in the last stages, dilates all four of a unit's
    convolutions, the first unit's as the stage before, and keeps its average pooling."""
    model = create_model("scnet50_v1d", device="meta", output_stride=8)
    for stage, (first, others) in enumerate([(1, 1), (1, 1), (1, 2), (2, 4)]):
        units = list(model.stages[stage])
        for i, unit in enumerate(units):
            convs = [conv.conv for conv in (unit.conv2.k1, unit.conv2.k2, unit.conv2.k3)]
            for conv in [*convs, unit.conv2.k4.conv]:
                assert conv.dilation == conv.padding == ((others if i else first),) * 2
                assert conv.stride == (1, 1)
        pool = units[0].pool_after
        if stage == 0:
            assert isinstance(pool, nn.Identity)
        else:
            assert isinstance(pool, nn.AvgPool2d) and pool.stride == (2 if stage == 1 else 1)
        if stage > 1:
            assert isinstance(units[0].shortcut.pool, nn.Identity)


@pytest.mark.parametrize("part", PARTS)
def test_autocast_and_half_precision(part: str) -> None:
    module = CONVS[part](spec(64, 64)).eval()
    x = torch.randn(2, 64, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(module(x)).all()
    assert module.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


def test_user_norm_of_a_part() -> None:
    """A normalisation with arguments reaches the pooled features too."""
    norm = partial(nn.BatchNorm2d, eps=1e-3)
    module = SplitAttention(ConvSpec(64, 64, norm=norm, act=RELU))
    assert {each.eps for each in module.modules() if isinstance(each, nn.BatchNorm2d)} == {1e-3}
