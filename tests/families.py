"""A small network of each family, found in the registry: a new family is tested by existing."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from resnet_variants import (
    Network,
    NetworkConfig,
    build,
    initialise,
    list_families,
    list_models,
    model_config,
)
from resnet_variants.blocks.layers import skip_init

CLASSES = 10

each_family = pytest.mark.parametrize("family", list_families())


def representative(family: str) -> str:
    """The family's first network in the zoo, whose order is by size."""
    return list_models(family=family)[0]


def _of_each_kind() -> list[str]:
    """The first family of each builder and kind of 3x3: what differs most."""
    kinds: dict[object, str] = {}
    for family in list_families():
        config = model_config(representative(family))
        kinds.setdefault((config.builder, getattr(config, "conv", None)), family)
    return list(kinds.values())


def slow_but(*quick: str) -> pytest.MarkDecorator:
    """Every family, all but these under the slow mark."""
    marks = {family: [] if family in quick else [pytest.mark.slow] for family in list_families()}
    assert set(quick) <= marks.keys()
    params = [pytest.param(family, marks=marks[family]) for family in marks]
    return pytest.mark.parametrize("family", params)


# For tests that take seconds: all families with -m slow, one of each kind without.
each_kind = slow_but(*_of_each_kind())


def thin(config: NetworkConfig) -> NetworkConfig:
    """The same units, fewer of them: two in the first stage, one in the others."""
    fewer: dict[str, Any] = {}
    for field in ("layers", "depths"):
        depths = getattr(config, field, None)
        if isinstance(depths, tuple) and all(isinstance(depth, int) for depth in depths):
            fewer[field] = tuple(min(depth, 1 if i else 2) for i, depth in enumerate(depths))
    if config.builder == "ran":  # units of a trunk, and after the last module
        fewer |= {"t": 1, "tail": 1}
    return dataclasses.replace(config, **fewer)


def small_config(family: str, **changes: Any) -> NetworkConfig:
    """The representative's configuration, thinned, for ten classes."""
    return thin(model_config(representative(family))).replace(
        **({"num_classes": CLASSES} | changes)
    )


def small(family: str, **changes: Any) -> Network:
    """The representative of a family, thinned, with the same weights each time."""
    with skip_init():  # what is drawn anew below
        model: Network = build(small_config(family, **changes))
    initialise(model, seed=0)
    return model
