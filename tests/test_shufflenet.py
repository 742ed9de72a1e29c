"""ShuffleNets: the shuffle, the units, the authors' and the papers' forms, counts. Long because
all of it is over the same forms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_variants import build, create_model, initialise, list_models, profile
from resnet_variants.blocks.gates import ATTENTION
from resnet_variants.blocks.residual import ResidualUnit
from resnet_variants.blocks.shuffle import ChannelShuffle, Join, ShuffleUnit, Split
from resnet_variants.builders.shufflenet import ShuffleNetV1Config, ShuffleNetV2Config
from resnet_variants.export import export_program
from resnet_variants.network import Network

LAYOUTS = [torch.contiguous_format, torch.channels_last]
SMALL: dict[str, Any] = dict(layers=(2, 1, 2), num_classes=5)
V1 = ShuffleNetV1Config(widths=(60, 120, 240), stem_width=12, **SMALL)
V2 = ShuffleNetV2Config(widths=(32, 64, 128), head_width=64, **SMALL)
PAPER: dict[str, Any] = dict(shuffle_at="before", shuffle_order="paper")
MEGVII: dict[str, Any] = dict(downsample="keep", shuffle_at="start")
FORMS = {
    "v1": V1,
    "v1 paper": V1.replace(**PAPER),
    "v1 pool behind": V1.replace(pool_first=False),
    "v2": V2,
    "v2 megvii": V2.replace(**MEGVII),
    "v2 keep": V2.replace(downsample="keep"),
    "v2 residual": V2.replace(residual=True),
    "v2 megvii residual": V2.replace(residual=True, attention="se", **MEGVII),
}
QUICK = ("v1 paper", "v2 keep", "v2 megvii residual")  # to export
each_form = pytest.mark.parametrize("form", FORMS)


def made(config: Any, **changes: Any) -> Network:
    """The network in float64, eval mode, with batch statistics that are not trivial."""
    model: Network = build(config.replace(**changes)).double().eval()
    initialise(model, seed=0)
    torch.manual_seed(0)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.normal_(0, 0.1)
            norm.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            norm.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return model


def image(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def norm(x: Tensor, layer: nn.Module) -> Tensor:
    """A ConvNormAct by hand, without its activation."""
    conv, bn = layer.conv, layer.norm  # type: ignore[attr-defined]
    x = F.conv2d(x, conv.weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)
    return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)


# The shuffle ------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("groups", [1, 2, 3, 4, 12])
def test_shuffle_permutes_as_the_paper_says(groups: int, layout: torch.memory_format) -> None:
    x = image(2, 12, 3, 5).contiguous(memory_format=layout)
    paper, released = ChannelShuffle(groups), ChannelShuffle(groups, "released")
    y = paper(x)
    for j in range(groups):
        for i in range(12 // groups):
            assert torch.equal(y[:, i * groups + j], x[:, j * (12 // groups) + i])
    assert torch.equal(y, torch.channel_shuffle(x, groups))
    assert torch.equal(released(y), x)
    assert torch.equal(paper(released(x)), x)
    assert y.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("alternate", [False, True])
def test_join_undoes_split(alternate: bool, layout: torch.memory_format) -> None:
    x = image(2, 12, 3, 5).contiguous(memory_format=layout)
    maps = Split(alternate=alternate)(x)
    assert [part.shape[1] for part in maps] == [6, 6]
    assert torch.equal(maps[0], x[:, 0::2] if alternate else x[:, :6])
    assert torch.equal(Join(alternate=alternate)(maps), x)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [(6, 6), (4, 8)])
def test_alternating_is_concatenation_and_shuffle(
    channels: tuple[int, int], layout: torch.memory_format
) -> None:
    x = image(2, sum(channels), 3, 5).contiguous(memory_format=layout)
    kept, branch = x.split(channels, 1)
    branch = branch.contiguous(memory_format=layout)
    y = Join(alternate=True)((kept, branch))
    assert torch.equal(y, torch.channel_shuffle(x, 2))
    assert y.is_contiguous(memory_format=layout)


def test_shuffle_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="12 channels do not divide into 5 groups"):
        ChannelShuffle(5)(image(1, 12, 2, 2))
    with pytest.raises(ValueError, match="Did you mean 'released'"):
        ChannelShuffle(3, "releasd")
    with pytest.raises(ValueError, match="groups"):
        ChannelShuffle(0)


# The units --------------------------------------------------------------------------------------


@pytest.mark.parametrize("paper", [False, True])
def test_v1_units_by_hand(paper: bool) -> None:
    model = made(V1, **(PAPER if paper else {}))
    striding, residual = model.stages[1][0], model.stages[0][1]

    def branch(x: Tensor, unit: ShuffleUnit) -> Tensor:
        x = F.relu(norm(x, unit.conv1))
        if paper:
            x = norm(torch.channel_shuffle(x, 3), unit.conv2)
        else:
            x = norm(x, unit.conv2)
            x = torch.channel_shuffle(x, x.shape[1] // 3)
        return norm(x, unit.conv3)

    x = image(2, 60, 9, 7).abs()
    torch.testing.assert_close(residual(x), F.relu(x + branch(x, residual)))
    pooled = F.avg_pool2d(x, 3, 2, padding=1)
    expected = torch.cat((pooled, F.relu(branch(x, striding))), 1)
    assert expected.shape == (2, 120, 5, 4)
    torch.testing.assert_close(striding(x), expected)
    assert model.stages[0][0].conv1.conv.groups == 1, "the first convolution is not grouped"
    assert striding.conv1.conv.groups == striding.conv3.conv.groups == 3


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("attention", [None, "se"])
@pytest.mark.parametrize("megvii", [False, True])
def test_v2_units_by_hand(megvii: bool, attention: str | None, residual: bool) -> None:
    model = made(V2, residual=residual, attention=attention, **(MEGVII if megvii else {}))
    striding, unit = model.stages[1][0], model.stages[0][1]

    def branch(x: Tensor, unit: ShuffleUnit, add: bool) -> Tensor:
        y = norm(norm(F.relu(norm(x, unit.conv1)), unit.conv2), unit.conv3)
        if attention:
            se = unit.attention
            hidden = F.relu(F.linear(y.mean((2, 3)), se.fc1.weight, se.fc1.bias))
            y = y * F.linear(hidden, se.fc2.weight, se.fc2.bias).sigmoid()[:, :, None, None]
        return F.relu(x + y if add else y)

    def joined(kept: Tensor, y: Tensor) -> Tensor:
        y = torch.cat((kept, y), 1)
        return y if megvii else torch.channel_shuffle(y, 2)

    x = image(2, 32, 9, 7)
    kept, taken = (x[:, 0::2], x[:, 1::2]) if megvii else x.chunk(2, 1)
    torch.testing.assert_close(unit(x), joined(kept, branch(taken, unit, residual)))
    projected = F.relu(norm(norm(x, striding.projection[0]), striding.projection[1]))
    assert projected.shape[1] == 32  # of 64: the input's channels, and also a half
    torch.testing.assert_close(striding(x), joined(projected, branch(x, striding, False)))
    assert model.stages[0][0].projection[1].conv.out_channels == (24 if megvii else 16)


@pytest.mark.parametrize("order", ["released", "paper"])
def test_where_v1_shuffles_is_a_permutation_of_the_depthwise_filters(order: str) -> None:
    after = made(V1, shuffle_at="after", shuffle_order=order)
    before = made(V1, shuffle_at="before", shuffle_order=order)
    x = image(2, 3, 64, 64)
    before.load_state_dict(after.state_dict())
    assert not torch.allclose(after(x), before(x))
    for stage in before.stages:
        for unit in stage:
            depthwise = [unit.conv2.conv.weight, *unit.conv2.norm.state_dict().values()]
            for tensor in depthwise:
                if tensor.ndim:
                    column = tensor.detach().reshape(1, len(tensor), -1, 1)
                    tensor.data.copy_(unit.shuffle_before(column).reshape(tensor.shape))
    torch.testing.assert_close(before(x), after(x))


def test_forms_share_weights_and_not_outputs() -> None:
    x, seen = image(1, 3, 64, 64), []
    for changes in ({}, PAPER, dict(shuffle_order="paper"), dict(pool_first=False)):
        seen.append(made(V1, **changes)(x))
    for changes in ({}, dict(shuffle_at="start"), dict(residual=True)):
        seen.append(made(V2, **changes)(x))
    for i, first in enumerate(seen):
        assert not any(torch.allclose(first, other) for other in seen[:i])
    assert made(V1).state_dict().keys() == made(V1, **PAPER).state_dict().keys()


@pytest.mark.parametrize("form", ["v1", "v2", "v2 megvii residual"])
@pytest.mark.parametrize("attention", [None, *ATTENTION])
def test_every_gate_trains_every_parameter(form: str, attention: str | None) -> None:
    # what these two divide the channels by does not divide 48 or 24
    args = {"se_gc": {"groups": 4}, "group_salient": {"channels_per_map": 4}}.get(attention or "")
    config = FORMS[form].replace(attention=attention, attention_args=args or {})
    model = build(config.replace(layers=(2, 1, 1)))
    initialise(model, seed=0)
    model(image(2, 3, 64, 64).float()).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    gates = [unit.attention for unit in model.modules() if isinstance(unit, ShuffleUnit)]
    assert all((gate is None) == (attention is None) for gate in gates)


# Networks ---------------------------------------------------------------------------------------


@each_form
def test_any_size_any_channels_both_layouts(form: str) -> None:
    model = made(FORMS[form], in_chans=5)
    for height, width in ((32, 32), (33, 47), (97, 64), (224, 160)):
        x = image(1, 5, height, width)
        logits, features = model(x), model.forward_intermediates(x)[1]
        assert logits.shape == (1, 5)
        for level, map_ in zip(model.feature_info, features, strict=True):
            r = level.reduction
            assert map_.shape == (1, level.channels, -(-height // r), -(-width // r))
        channels_last = x.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(model(channels_last), logits)
    assert model.feature_info.reduction() == [2, 4, 8, 16, 32]


@each_form
def test_cifar_stem(form: str) -> None:
    model = made(FORMS[form], stem="cifar")
    assert model.feature_info.reduction() == [1, 2, 4, 8]
    assert model(image(1, 3, 32, 32)).shape == model(image(1, 3, 9, 8)).shape == (1, 5)


@pytest.mark.parametrize(("form", "stride"), [("v1", 16), ("v2", 16), ("v2", 8), ("v2 megvii", 8)])
def test_dilation_computes_the_same_at_more_places(form: str, stride: int) -> None:
    plain, dense = made(FORMS[form]), made(FORMS[form], output_stride=stride)
    dense.load_state_dict(plain.state_dict())
    x = image(1, 3, 128, 96)
    few, many = plain.forward_features(x), dense.forward_features(x)
    step = 32 // stride
    assert many.shape[2:] == (128 // stride, 96 // stride)
    torch.testing.assert_close(many[:, :, ::step, ::step], few)


@pytest.mark.parametrize("config", [V1, V2.replace(residual=True)], ids=["v1", "v2"])
def test_drop_path_drops_residual_branches(config: Any) -> None:
    model = made(config, drop_path_rate=0.5, layers=(4, 1, 1))
    units = [unit for unit in model.modules() if isinstance(unit, ShuffleUnit)]
    rates = [getattr(unit.drop_path, "rate", 0) for unit in units]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0, 0]), "where there is no addition: none"
    unit = units[3]
    x = image(4000, unit.conv1.conv.in_channels * (2 if unit.split else 1), 1, 1).abs()
    kept, taken = unit.split(x) if unit.split else (x[:, :0], x)
    branch = unit.branch(taken)
    unit.drop_path.train()
    torch.manual_seed(0)
    y = unit(x)
    without, scaled = F.relu(taken), F.relu(taken + branch / 0.7)
    if unit.split:
        without, scaled = (Join(alternate=True)((kept, z)) for z in (without, scaled))
    dropped = torch.isclose(y, without).flatten(1).all(1)
    assert dropped.float().mean() == pytest.approx(0.3, abs=0.03)
    torch.testing.assert_close(y[~dropped], scaled[~dropped])


def test_zero_init_last_leaves_branches_without_addition_alone() -> None:
    for config in (V1, V2, V2.replace(residual=True)):
        for unit in build(config.replace(zero_init_last=True)).modules():
            if isinstance(unit, ResidualUnit):
                assert unit.last_norm().weight.any() != unit.residual  # type: ignore[attr-defined]


def test_round_trip_of_configurations() -> None:
    from resnet_variants import config_from_dict

    for config in FORMS.values():
        assert config_from_dict(config.to_dict()) == config


# Counts -----------------------------------------------------------------------------------------

# name: parameters, 10^9 MACs; those of the authors' code without a classifier's bias + 1000
PUBLISHED = {
    "shufflenet_v1_g8_x1_5": (4_269_952, 0.2902),
    "shufflenet_v1_g4_x1_0": (1_968_344, 0.1343),
    "shufflenet_v1_g1_x0_75": (975_214, 0.0825),
    "shufflenet_v1_g1_x0_5": (534_484, 0.0385),
    "shufflenet_v1_g1_x0_25": (209_746, 0.0110),
    "shufflenet_v1_g3_x0_75": (1_238_266, 0.0797),
    "shufflenet_v1_g3_x0_25": (305_902, 0.0110),
    "shufflenet_v2_x1_5": (3_503_624, 0.2958),
    "shufflenet_v2_x0_5_megvii": (1_366_792, 0.0405),
    "shufflenet_v2_x1_0_megvii": (2_279_760, 0.1458),
    "shufflenet_v2_x1_5_megvii": (3_507_720, 0.2990),
    "shufflenet_v2_x2_0_megvii": (7_403_600, 0.5908),
    # reconstructions of the paper's table, which gives 2.3 and 12.7 * 10^9
    "shufflenet_v2_50": (16_573_534, 2.304),
    "shufflenet_v2_164": (71_878_896, 12.54),
    "shufflenet_v2_se_164": (102_506_606, 12.57),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_beyond_the_table(name: str) -> None:
    counts, (params, gmacs) = profile(name), PUBLISHED[name]
    assert counts.params == params
    assert counts.macs / 1e9 == pytest.approx(gmacs, rel=1e-3, abs=5e-5)


@pytest.mark.parametrize(("reduction", "more"), [(16, 42_580), (2, 339_532)])
def test_what_se_adds(reduction: int, more: int) -> None:
    args = {"reduction": reduction}
    counts = profile("shufflenet_v2_x1_0", attention="se", attention_args=args)
    assert counts.params == 2_278_604 + more
    residual = profile("shufflenet_v2_se_res_x1_0", attention_args=args)
    assert (residual.params, residual.macs) == (counts.params, counts.macs), "additions are free"


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models("shufflenet*"))
def test_every_entry_on_the_meta_device(name: str) -> None:
    model = create_model(name, device="meta")
    logits = model(torch.empty(2, 3, 64, 64, device="meta"))
    assert logits.shape == (2, model.num_classes)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


# Errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (V1, dict(groups=5, widths=None), r"no widths for groups=5.*\[1, 2, 3, 4, 8\].*widths"),
        (V1, dict(groups=8), "adds 48 channels|multiple of groups=8"),
        (V1, dict(widths=(60, 60, 120)), "positive multiple"),
        (V1, dict(widths=(60, 120)), "widths=.*3 stages"),
        (V1, dict(width=0), r"width must be in \[0.05, 100\], not 0"),
        (V1, dict(shuffle_at="befor"), "Did you mean 'before'"),
        (V1, dict(shuffle_order="papers"), "Did you mean 'paper'"),
        (V2, dict(widths=(32, 63, 128)), "63 does not divide into halves"),
        (V2, dict(downsample="keep", widths=(24, 64, 128)), "use 'halves'"),
        (V2, dict(downsample="half"), "Did you mean 'halves'"),
        (V2, dict(shuffle_at="middle"), "Valid: 'end', 'start'"),
        (V2, dict(drop_path_rate=0.1), "drop_path_rate=0.1.*use residual=True"),
        (V2, dict(attention="ses"), "Did you mean 'se'"),
        (V2, dict(attention_args={"reduction": 2}), "without attention"),
        (V2, dict(first_stride=3), "first_stride"),
        (V2, dict(stem="conv3_pol"), "Did you mean 'conv3_pool'"),
    ],
)
def test_refusals(config: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config.replace(**changes)


# Compilers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [pytest.param(form, marks=[] if form in QUICK else [pytest.mark.slow]) for form in FORMS],
)
def test_export_is_dynamic_and_four_dimensional(form: str) -> None:
    model = build(FORMS[form]).eval()
    exported = export_program(model, image(2, 3, 64, 96).float())
    for node in exported.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, Tensor):
            assert value.ndim <= 4, f"{node} has {value.ndim} dimensions"
    for size in ((3, 3, 97, 64), (5, 3, 33, 47)):
        other = image(*size).float()
        torch.testing.assert_close(exported.module()(other), model(other))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["v1", "v2 megvii residual", "v2 keep"])
def test_compile_without_graph_break(form: str) -> None:
    _compile(FORMS[form], backend="eager")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["v1", "v2"])
def test_inductor(form: str) -> None:
    _compile(FORMS[form], backend="inductor")


def _compile(config: Any, backend: str) -> None:
    torch._dynamo.reset()
    model = build(config.replace(layers=(2, 1, 1))).eval()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=backend)
    with torch.no_grad():
        for size in ((2, 3, 64, 64), (3, 3, 97, 64)):
            x = image(*size).float()
            torch.testing.assert_close(compiled(x), model(x), rtol=1e-3, atol=1e-4)
