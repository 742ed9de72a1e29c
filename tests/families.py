"""A small network of each family, found in the registry: a new family is tested by existing."""

from __future__ import annotations

import dataclasses
from functools import cache
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
from resnet_variants.registry import build_on

CLASSES = 10

each_family = pytest.mark.parametrize("family", list_families())


@cache
def representative(family: str) -> str:
    """The family's smallest network once thinned: small maps first, then few parameters."""
    return min(list_models(family=family), key=_cost)


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
    model: Network = build(small_config(family, **changes))
    initialise(model, seed=0)
    return model


def _cost(name: str) -> tuple[int, int]:
    model = build_on(thin(model_config(name)), device="meta")
    return -model.min_size, sum(each.numel() for each in model.parameters())
