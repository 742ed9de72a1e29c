"""Networks from parts. A builder knows the papers, never a checkpoint or a file.

It may use ``blocks``, ``config`` and ``network``. Begin with ``resnet.py``, a configuration, and
``residual.py``, the function that builds what it describes.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ..blocks.layers import TooLargeError, bounded_size
from ..config import BUILDERS, NetworkConfig, config_from_dict, register_builder
from ..network import Network
from .inception import BNInceptionConfig, InceptionResNetConfig
from .ran import RANConfig
from .regnet import (
    AnyNetConfig,
    RegNetConfig,
    fit_groups,
    linear_width,
    quantised_width,
    regnet_widths,
)
from .resnet import ResNetConfig
from .shufflenet import ShuffleNetV1Config, ShuffleNetV2Config

__all__ = [
    "AnyNetConfig",
    "BNInceptionConfig",
    "InceptionResNetConfig",
    "NetworkConfig",
    "RANConfig",
    "RegNetConfig",
    "ResNetConfig",
    "ShuffleNetV1Config",
    "ShuffleNetV2Config",
    "build",
    "build_on",
    "config_from_dict",
    "fit_groups",
    "linear_width",
    "quantised_width",
    "register_builder",
    "regnet_widths",
]


def build(config: NetworkConfig) -> Any:
    """The network that a configuration of any family describes."""
    if not isinstance(config, NetworkConfig):
        raise TypeError(f"Expected a NetworkConfig, not {type(config).__name__}: {config!r}.")
    make = BUILDERS[config.builder][1]

    def count() -> None:
        with torch.device("meta"), bounded_size():
            make(config)

    try:
        with bounded_size(count):
            network = make(config)
    except TooLargeError as error:
        raise ValueError(f"{_largest(config)}: {error}") from None
    assert isinstance(network, Network)
    return network


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, (tuple, Mapping)):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _numbers(each)


def _largest(config: NetworkConfig) -> str:
    """The field that is the most times what it usually is, and its value."""

    def times(name: str) -> float:
        value, usual = getattr(config, name), getattr(type(config), name, None)
        longer = 0
        if isinstance(value, tuple) and isinstance(usual, tuple):
            longer = len(value) - len(usual)  # a further stage is twice as wide
        return max(sum(_numbers(value)) / max(sum(_numbers(usual)), 1), 2.0**longer)

    name = max((each.name for each in dataclasses.fields(config)), key=times)
    return f"{name}={getattr(config, name)!r}"


def build_on(
    config: NetworkConfig,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Network:
    """Build a network directly on a device (``"meta"`` too) and in a type."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype must be a floating-point type of torch, not {dtype!r}.")
    try:
        place = contextlib.nullcontext() if device is None else torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device must be one of torch's, not {device!r}: {error}") from None
    with place:
        model: Network = build(config)
    return model.to(dtype) if dtype is not None else model
