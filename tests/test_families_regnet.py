"""RegNet's line, its quantisation and its groups; AnyNet; the published networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from resnet_variants import build, config_from_dict, create_model, model_config, profile
from resnet_variants.blocks import SE
from resnet_variants.builders import (
    AnyNetConfig,
    RegNetConfig,
    fit_groups,
    linear_width,
    quantised_width,
    regnet_widths,
)

# depths, widths and group widths of pycls' models, and its activations (dev/model_complexity.json)
PYCLS: dict[str, tuple[list[int], list[int], list[int], int]] = {
    "regnetx_002": ([1, 1, 4, 7], [24, 56, 152, 368], [8, 8, 8, 8], 2164056),
    "regnetx_004": ([1, 2, 7, 12], [32, 64, 160, 384], [16, 16, 16, 16], 3143272),
    "regnetx_016": ([2, 4, 10, 2], [72, 168, 408, 912], [24, 24, 24, 24], 7933512),
    "regnetx_080": ([2, 5, 15, 1], [80, 240, 720, 1920], [80, 120, 120, 120], 14059688),
    "regnety_002": ([1, 1, 4, 7], [24, 56, 152, 368], [8, 8, 8, 8], 2168052),
    "regnety_008": ([1, 3, 8, 2], [64, 128, 320, 768], [16, 16, 16, 16], 5249888),
    "regnety_040": ([2, 6, 12, 2], [128, 192, 512, 1088], [64, 64, 64, 64], 12287200),
    "regnety_320": ([2, 5, 12, 1], [232, 696, 1392, 3712], [232, 232, 232, 232], 30261570),
}


@pytest.mark.parametrize("name", PYCLS)
def test_stages_are_those_of_pycls(name: str) -> None:
    depths, widths, group_widths, activations = PYCLS[name]
    shapes = model_config(name).stage_shapes  # type: ignore[attr-defined]
    assert [shape.depth for shape in shapes] == depths
    assert [shape.out for shape in shapes] == widths
    assert [shape.mid // shape.groups for shape in shapes] == group_widths
    assert profile(name).activations == activations


def test_line() -> None:
    assert [linear_width(j, 24, 36.44) for j in range(3)] == [24, 60.44, 96.88]
    # 96.88 = 24 * 2.49 ** 1.53: nearest whole power 2, 148.8, nearest multiple of 8
    assert quantised_width(96.88, 24, 2.49) == 152
    assert regnet_widths(4, 24, 36.44, 2.49) == (24, 56, 152, 152)
    assert regnet_widths(3, 48, 0, 2) == (48, 48, 48)


@pytest.mark.parametrize(
    ("width", "ratio", "group_width", "pycls", "torchvision"),
    [
        (392, 1, 16, (384, 384, 16), (400, 400, 16)),  # 24.5 groups
        (776, 1, 16, (768, 768, 16), (784, 784, 16)),  # 48.5 groups
        (80, 1, 120, (80, 80, 80), (80, 80, 80)),  # no group is wider than the stage
        (192, 1, 56, (168, 168, 56), (224, 224, 56)),  # 3.4 groups; 12 % less is too much
        (64, 0.25, 16, (64, 16, 16), (64, 16, 16)),
        (40, 4, 24, (42, 168, 24), (42, 168, 24)),
    ],
)
def test_groups_fit(
    width: int, ratio: float, group_width: int, pycls: Any, torchvision: Any
) -> None:
    assert fit_groups(width, ratio, group_width) == pycls
    assert fit_groups(width, ratio, group_width, "torchvision") == torchvision


def test_hidden_width_follows_the_units_input() -> None:
    model = create_model("regnety_002", device="meta")
    gates = [unit.attention for unit in model.stages[3]]
    assert all(isinstance(gate, SE) for gate in gates)
    assert [gate.fc1.out_features for gate in gates[:3]] == [38, 92, 92]  # 152 / 4, 368 / 4
    assert {gate.fc1.in_features for gate in gates} == {368}


def test_regnety_is_regnetx_with_a_gate() -> None:
    x, y = (profile(name).params for name in ("regnetx_002", "regnety_002"))
    assert profile("regnetx_002", attention="se").params == y
    assert profile("regnety_002", attention=None).params == x
    assert profile("regnetx_002", attention="se", se_ratio=0.5).params > y
    model = create_model("regnety_002", attention="se", attention_args={"reduction": 8})
    assert model.stages[0][0].attention.fc1.out_features == 3
    assert profile("regnety_002", attention="ssa", attention_at="standard").params > x


def test_a_new_point() -> None:
    model = create_model("regnetx_002", depth=15, num_classes=3, stem="cifar", drop_path_rate=0.1)
    assert sum(len(stage) for stage in model.stages) == 15
    model(torch.randn(2, 3, 32, 32)).sum().backward()


@pytest.mark.parametrize("conv", ["res2net", "self_calibrated", "selective_kernel"])
def test_other_convolutions(conv: str) -> None:
    model = create_model("regnetx_002", conv=conv, attention="eca", shortcut="avg", num_classes=3)
    assert model(torch.randn(2, 3, 64, 48)).shape == (2, 3)


def test_anynet_is_any_regnet() -> None:
    regnet = RegNetConfig(depth=13, w_0=24, w_a=36.44, w_m=2.49, group_width=8, num_classes=10)
    shapes = regnet.stage_shapes
    anynet = AnyNetConfig(
        depths=tuple(shape.depth for shape in shapes),
        widths=tuple(shape.out for shape in shapes),
        group_width=tuple(shape.mid // shape.groups for shape in shapes),
        num_classes=10,
    )
    a, b = build(regnet).eval(), build(anynet).eval()
    b.load_state_dict(a.state_dict())
    image = torch.randn(1, 3, 40, 40)
    with torch.inference_mode():
        assert torch.equal(a(image), b(image))


def test_anynet_is_free_in_every_stage() -> None:
    config = AnyNetConfig(
        depths=(1, 3, 2),
        widths=(32, 16, 64),
        bottleneck_ratio=(1, 2, 0.25),
        group_width=(32, 1, 4),
        num_classes=4,
    )
    model = build(config)
    assert [stage[0].conv2.conv.groups for stage in model.stages] == [1, 32, 4]
    assert [stage[0].conv2.conv.out_channels for stage in model.stages] == [32, 32, 16]
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 4)
    assert config_from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (RegNetConfig, dict(depth=0), "depth.*0"),
        (RegNetConfig, dict(w_0=20), "multiple of 8, not 20"),
        (RegNetConfig, dict(w_a=-1), "w_a.*-1"),
        (RegNetConfig, dict(w_m=1), "w_m.*1"),
        (RegNetConfig, dict(rounding="timm"), "rounding.*'timm'"),
        (RegNetConfig, dict(bottleneck_ratio=1.5), "bottleneck_ratio.*1.5"),
        (RegNetConfig, dict(se_ratio=0.25), "attention=None.*attention='se'"),
        (
            RegNetConfig,
            dict(attention="se", se_ratio=0.25, attention_args={"reduction": 4}),
            "both give",
        ),
        (AnyNetConfig, dict(widths=(32, 64)), r"\(32, 64\) for the 4 stages of depths"),
        (AnyNetConfig, dict(depths=(1, 2, 0, 1)), "depths.*0"),
        (AnyNetConfig, dict(group_width=(8, 8)), r"\(8, 8\) has 2 values for 4 stages"),
        (AnyNetConfig, dict(widths=(90, 192, 432, 1008)), "width of 90.*Near: width 96"),
    ],
)
def test_refusals(make: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)
