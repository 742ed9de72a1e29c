"""Arguments: nonsense is refused with the field's name, what is built runs and comes back from
JSON as itself."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from resnet_variants import build, config_from_dict, create_model, list_families, load, save
from resnet_variants.blocks.convs import CONVS
from resnet_variants.blocks.gates import ATTENTION
from resnet_variants.blocks.layers import NORMS
from resnet_variants.choices import quoted
from resnet_variants.fields import arguments_of
from tests.families import small_config

from .fuzzing import SEEDS, Case, check

FAMILIES = ("ResNet", "RegNetY", "ShuffleNetV1", "ShuffleNetV2", "RAN", "BN-Inception",
            "Inception-ResNet", "SK-Net", "Res2Net", "CIFAR ResNet")  # fmt: skip
THIN = dict(layers=(1, 1, 1))


def _net(name: str = "resnet20_cifar", **args: Any) -> Any:
    if name == "resnet20_cifar":
        args = THIN | args
    return create_model(name, **args)


@pytest.mark.parametrize(("name", "args"), [
    ("zero_init_last", dict(zero_init_last="False")),
    ("features_only", dict(features_only="no")),
    ("pool_first", dict(name="shufflenet_v1_g3_x1_0", pool_first="x")),
    ("eps", dict(norm_args={"eps": -1.0})),
    ("momentum", dict(norm_args={"momentum": "x"})),
    ("momentum", dict(norm_args={"momentum": 2})),
    ("affine", dict(norm_layer="frozen_batchnorm", norm_args={"affine": False})),
    ("num_groups", dict(norm_layer="groupnorm", norm_args={"num_groups": 0})),
    ("norm_args", dict(norm_args=3)),
    ("attention_args", dict(attention="se", attention_args=3)),
    ("attention_args", dict(attention_args="x")),
    ("hidden", dict(attention="se", attention_args={"hidden": 2.0})),
    ("widths", dict(widths=5)),
    ("widths", dict(widths=(10**9,) * 3, device="meta")),
    ("widths", dict(widths=(10**6,) * 3)),
    ("widths", dict(widths=(30_000,) * 3)),
    ("layers", dict(name="resnet50", layers=(1,) * 5000)),
    ("layers=(", dict(name="resnet50", layers=(1,) * 24)),
    ("layers=(", dict(name="resnet50", layers=(1,) * 24, num_classes=100_000)),
    ("num_classes=", dict(name="resnet50", num_classes=10**7)),
    ("modules", dict(name="ran56", modules=3)),
    ("widths", dict(name="ran56", widths=None)),
    ("p", dict(name="ran56", p=10**30)),
    ("width", dict(name="shufflenet_v1_g3_x1_0", width="1")),
    ("w_a", dict(name="regnetx_002", w_a="1")),
    ("w_a", dict(name="regnetx_002", w_a=float("nan"))),
    ("depth", dict(name="regnetx_002", depth=10**18)),
    ("se_ratio", dict(name="regnety_002", se_ratio="")),
    ("layers", dict(name="inception_resnet_v2_cifar", layers=(1,))),
    ("scales", dict(name="inception_resnet_v2_cifar", layers=(1, 1, 1), scales=(0.1,))),
    ("scales", dict(name="inception_resnet_v2_cifar", scales=("a", "b", "c"))),
    ("reduce_first", dict(name="resnet50", reduce_first=1000)),
    ("reduce_first", dict(name="resnext50_32x4d", reduce_first=8)),
    ("reduce_first", dict(name="resnet50", groups=4, reduce_first=7)),
    ("shortcut_kernel", dict(name="resnet50", shortcut_kernel=2)),
    ("base_width", dict(name="resnet50", widths=(8, 8, 8, 8), base_width=4)),
    ("widths", dict(name="resnet50", widths=(8, 16, 32, 64), base_width=4)),
    ("layers", dict(name="resnet20_cifar", layers=(1, 1))),
    ("layers", dict(name="shufflenet_v1_g3_x1_0", layers=(1, 1), widths=(24, 48, 96))),
    ("depths", dict(name="regnetx_002", w_a=0.0, depths=(1, 1))),
    ("out_indices", dict(out_indices=3.5, features_only=True)),
    ("self", dict(self=1)),
    ("dtype", dict(dtype="float16")),
    ("device", dict(device="nowhere")),
    ("num_classes", dict(num_classes=10**18, device="meta")),
    ("act_layer", dict(act_layer=nn.ReLU())),
    ("act_layer", dict(act_layer=nn.BatchNorm2d)),
    ("norm_layer", dict(norm_layer=int)),
    ("attention", dict(attention=nn.ReLU())),
    ("conv", dict(name="resnet50", conv=nn.Conv2d)),
    ("output_stride", dict(output_stride=np.array([8, 16]))),
    ("zero_init_last", dict(zero_init_last=np.array([1, 2]))),
    ("stem_width", dict(stem_width=-3)),
    ("stem_width", dict(name="shufflenet_v1_g3_x1_0", stem_width=-3)),
    ("stem_width", dict(name="ran56", stem_width=-3)),
    ("checkpoint_path", dict(checkpoint_path="")),
    ("in_chans", dict(in_chans=10**400)),
    ("drop_rate", dict(drop_rate=-(10**5000))),
    ("stem", dict(stem="x" * 10**6)),
    ("act_layer", dict(act_layer=nn.Module)),
    ("conv", dict(name="resnet50", conv=nn.Module)),
    ("conv", dict(name="resnet50", conv=print)),
    ("conv", dict(name="resnet50", conv=nn.Identity)),
    ("attention", dict(attention=nn.Sequential)),
    ("bottleneck_ratio", dict(name="regnetx_002", bottleneck_ratio=5e-324)),
], ids=quoted)  # fmt: skip
def test_nonsense_is_refused_by_name(name: str, args: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)) as refused:
        _net(**args)
    assert name in str(refused.value) and len(str(refused.value)) < 3000
    assert "resnet_variants" in refused.traceback[-1].path.parts


def _whole(make: Any) -> list[str]:
    """The arguments of a part that are whole numbers, but for the channels, which the builder
    gives."""
    of_builder = ("channels", "num_channels", "num_features")
    return [
        name
        for name, hint in arguments_of(make).items()
        if int in (hint, *get_args(hint)) and name not in of_builder
    ]


PARTS = {"attention": ATTENTION, "conv": CONVS, "norm_layer": NORMS}
WHOLE = [
    (kind, part, name)
    for kind, parts in PARTS.items()
    for part in parts
    for name in _whole(parts[part])
]


@pytest.mark.parametrize("value", [0, -1, 1, 2**31])
@pytest.mark.parametrize(("kind", "part", "name"), WHOLE)
def test_whole_numbers_of_parts(kind: str, part: str, name: str, value: int) -> None:
    """Each is refused by its name and with the value, or makes a network that runs."""
    given = {kind: part, f"{kind.removesuffix('_layer')}_args": {name: value}}
    try:
        with torch.device("meta"):
            model = _net("resnet50", layers=(1, 1, 1, 1), **given)
            model(torch.empty(2, 3, 64, 64))
    except ValueError as error:
        assert name in str(error) and (str(value) in str(error) or f"{value:,}" in str(error))
    else:
        assert value == 1 or (name, value) == ("radix", 0)


WIDTHS = [
    (family, field)
    for family in list_families()
    for field in ("widths", "base_width")
    if hasattr(small_config(family), field)
]


@pytest.mark.parametrize("width", [1, 2, 3, 6, 10])
@pytest.mark.parametrize(("family", "field"), WIDTHS)
def test_narrow_stages(family: str, field: str, width: int) -> None:
    """Channels that a part cannot take are refused as the field that gives them."""
    config = small_config(family)
    stages = config.widths or config.layers
    try:
        with torch.device("meta"):
            build(config.replace(**{field: (width,) * len(stages) if field == "widths" else width}))
    except ValueError as error:
        assert field in str(error) and str(width) in str(error)


@pytest.mark.parametrize("args", [
    dict(features_only=True, out_indices=range(2)),
    dict(output_stride=np.int64(32), num_classes=np.int32(7), drop_rate=np.float32(0.5)),
    dict(norm_layer=nn.BatchNorm2d),
    dict(attention="ssa", attention_args={"norm_layer": nn.BatchNorm2d}),
    dict(attention=["se", None, "eca"], attention_args=[{"reduction": 4}, {}, {}]),
    dict(zero_init_last=np.bool_(True), widths=np.array([16, 32, 64])),
], ids=str)  # fmt: skip
def test_what_is_built_comes_back(args: dict[str, Any], tmp_path: Any) -> None:
    model = _net(**args).eval()
    _check_round_trip(model)
    twin = load(save(model, tmp_path / "model.safetensors")).eval()
    assert twin.config == model.config
    image = torch.randn(2, 3, 32, 32)
    a, b = model(image), twin(image)
    assert all(map(torch.equal, a, b)) if isinstance(a, list) else torch.equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "args"), [
    ("layers", dict(layers=(9000,) * 3)),
    ("modules", dict(name="ran56", modules=(8000,) * 3)),
    ("branches", dict(name="resnet50", conv="selective_kernel", conv_args={"branches": 8000})),
], ids=str)  # fmt: skip
def test_depth_without_end_is_refused(name: str, args: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{name}.*layers"):
        _net(device="meta", **args)


def test_a_part_without_a_name_is_refused_when_it_is_written() -> None:
    model = _net(act_layer=lambda: nn.Softplus())
    with pytest.raises(ValueError, match="act_layer=.* has no name"):
        model.config.to_dict()


def _check_round_trip(model: Any) -> None:
    config = model.config
    assert config_from_dict(json.loads(json.dumps(config.to_dict()))) == config


VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 7, 8, 16, 64, 10**9, 10**18, 0.0, 0.5, 1.0, -0.5, 1e300,
    float("nan"), float("inf"), "", "se", "avg", "conv", "cifar", "none", "xyzzy", "ünï", "\0",
    (), (1,), (1, 1), (1, 1, 1), (1, 1, 1, 1), (8, 8, 8), (8, 16, 32, 64), [16, 32, 64], (0, 0, 0),
    (None,), ("se", None, "eca"), ({}, {}, {}), {}, {"reduction": 4}, {"reduction": "x"},
    {"eps": 1e-3}, {"x": 1}, {1: 2}, {"scale": 2}, range(2), b"se", object(), np.int64(4),
    np.float32(0.1), np.array([1, 2]), np.array(3), nn.ReLU(), nn.BatchNorm2d, int, len,
    torch.float16, torch.tensor(1), lambda: nn.ReLU(), lambda c: nn.Identity(), 1j, {1, 2},
]  # fmt: skip


VALID: dict[str, list[Any]] = {
    "num_classes": [0, 1, 5], "in_chans": [1, 4], "global_pool": ["avg", "max", "catavgmax", "gem"],
    "drop_rate": [0.5], "drop_path_rate": [0.0, 0.3], "act_layer": ["silu", nn.GELU, "identity"],
    "norm_layer": ["groupnorm", "frozen_batchnorm", nn.BatchNorm2d], "norm_args": [{"eps": 1e-3}],
    "zero_init_last": [True], "output_stride": [8, 16, 32], "features_only": [True],
    "stem": ["conv7", "deep", "conv3", "cifar", "imagenet"], "stem_width": [None, 16, 32],
    "stem_pool": ["max", "none", "max_ceil"], "shortcut": ["conv", "avg", "max", "pad"],
    "stride_in": ["conv1"], "stride_with": ["avg_after", "avg_before"], "base_width": [32, 128],
    "attention": ["se", "eca", "ssa", ("se", None, "eca", None)],
    "attention_at": ["inner", "pre", "post", "identity", "between"],
    "attention_every": [2, 3, (1, 2, 1), (1, 2, 3, 1)],
    "conv": ["res2net", "repvgg", "plain"], "groups": [2, 4, 8], "width": [0.5, 2.0],
    "mask": ["channel", "spatial"], "learning": ["naive"], "shuffle_at": ["before", "start"],
}  # fmt: skip


def _make(draw: random.Random) -> Case:
    base = small_config(draw.choice(FAMILIES))
    fields = [each.name for each in dataclasses.fields(base)]
    changes = {name: draw.choice(VALUES) for name in draw.sample(fields, draw.choice((1, 1, 2)))}
    if draw.random() < 0.6:  # what should mostly be built
        known = [name for name in fields if name in VALID]
        changes = {n: draw.choice(VALID[n]) for n in draw.sample(known, draw.choice((1, 2, 3)))}
    shown = {name: str(value)[:40] for name, value in changes.items()}

    def act() -> Any:
        config = base.replace(**changes)
        counted = _parameters(config)
        return None if counted > 3e7 else build(config)

    def taken(model: Any) -> str | None:
        if model is None:
            return "(large: counted alone)"
        # A stem for small images leaves a large one large, and its maps take the memory.
        least = 32 if getattr(model.config, "stem", None) == "cifar" else 96
        side = max(least, getattr(model, "min_size", 32))
        training = model.train()(torch.randn(2, model.config.in_chans, side, side))
        first = training[0] if isinstance(training, list) and training else training
        if isinstance(first, torch.Tensor) and first.requires_grad:
            first.float().sum().backward()
        try:
            written = json.loads(json.dumps(model.config.to_dict()))
        except ValueError as error:
            return None if "has no name" in str(error) else f"not written: {error}"
        return None if config_from_dict(written) == model.config else "JSON gives another"

    def refused(error: BaseException) -> str | None:
        named = any(name in str(error) for name in changes) or any(
            part in str(error) for name in changes for part in name.split("_") if len(part) > 3
        )
        return None if named else f"unnamed: {type(error).__name__}: {str(error)[:150]}"

    return Case(f"{base.builder}: {shown}", act, (ValueError, TypeError), taken, refused)


def _parameters(config: Any) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build(config).parameters())


def test_some_configurations() -> None:
    torch.set_num_threads(1)
    check(_make, seed=11, cases=60)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_many_configurations(seed: int) -> None:
    torch.set_num_threads(1)
    check(_make, seed, cases=5000)
