"""Where gates go: in which stages, in every n-th unit, and at which place of a unit."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from resnet_variants import Network, build, config_from_dict, create_model, model_config
from resnet_variants.comparison import Trial
from resnet_variants.comparison.trial import parse_axis
from resnet_variants.config import NetworkConfig

from .families import each_family, representative


def _gated(config: NetworkConfig) -> set[tuple[int, int]]:
    """Stage and index of the units that have a gate."""
    with torch.device("meta"):
        model = build(config)
    return {
        (int(name.split(".")[1]), int(name.split(".")[2]))
        for name, module in model.named_modules()
        if name.startswith("stages.")
        and not isinstance(getattr(module, "attention", None), (nn.Identity, type(None)))
    }


@each_family
def test_every_second_unit_and_some_stages(family: str) -> None:
    plain: Any = model_config(representative(family)).replace(attention=None, attention_every=1)
    if getattr(plain, "se_ratio", None) is not None:
        plain = plain.replace(se_ratio=None)
    config = plain.replace(attention="eca")
    everywhere = _gated(config)
    assert {stage for stage, _ in everywhere} <= set(range(plain.stage_count))
    every = config.replace(attention_every=2)
    assert _gated(every) == {(s, b) for s, b in everywhere if b % 2 == 0}
    gates = [None] * plain.stage_count
    gates[1] = "eca"
    some = plain.replace(attention=tuple(gates))
    assert _gated(some) == {(s, b) for s, b in everywhere if s == 1} != set()
    for each in (every, some):
        assert config_from_dict(json.loads(json.dumps(each.to_dict()))) == each


def test_a_place_for_each_stage() -> None:
    places = ("pre", "inner", "between", "identity")
    model = create_model("resnet18", attention="eca", attention_at=places, num_classes=2)
    assert isinstance(model, Network)
    found = [[unit.attention_at for unit in stage] for stage in model.stages]  # type: ignore[union-attr]
    assert found == [["pre"] * 2, ["inner"] * 2, [None, "post"], ["identity"] * 2]
    x = torch.rand(2, 3, 64, 48)
    model.train()(x).square().sum().backward()
    assert all(each.grad is not None for each in model.parameters())
    config = model.config
    assert config_from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_placement_is_an_axis_of_a_trial() -> None:
    axes = dict(map(parse_axis, ["attention_every=1,2", "attention_at=standard,[pre,pre,post]"]))
    rows = Trial(networks=["seresnet20_cifar"], vary=axes).variants()
    assert [(r.config.attention_every, r.config.attention_at) for r in rows] == [  # type: ignore[attr-defined]
        (every, at) for every in (1, 2) for at in ("standard", ("pre", "pre", "post"))
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"attention_every": 0}, r"attention_every must be in \[1, 10,000\], not 0"),
        ({"attention_every": (1, 2)}, r"attention_every=\(1, 2\) has 2 values for 4 stages"),
        ({"attention_at": ("pre", "post")}, r"attention_at=\('pre', 'post'\) has 2 values for 4"),
        ({"attention_at": ("pre", "pre", "pre", "poost")}, "'poost'. Did you mean 'post'"),
        ({"attention_at": ("pre", "pre", "pre", "between")}, "no stage comes behind the last"),
        ({"attention_at": "between", "attention_every": 2}, "one gate behind a stage"),
        ({"attention": None, "attention_every": 2}, "attention_every=2 leaves gates out, but"),
    ],
)
def test_places_that_make_no_sense_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        create_model("seresnet50", **changes)
