"""Every ResNet variant from one typed configuration: ``create_model("resnet50d")``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .blocks import register_attention, register_conv
from .builders import build, config_from_dict
from .config import NetworkConfig, register_builder
from .network import Network, initialise
from .registry import (
    create_model,
    is_model,
    list_families,
    list_models,
    model_config,
    model_info,
    register_model,
)

__version__ = "0.1.0"

# Capabilities on top, imported when they are first used.
_LAZY = {
    "profile": "profiling",
}

if TYPE_CHECKING:
    from .profiling import profile

__all__ = [
    "Network",
    "NetworkConfig",
    "build",
    "config_from_dict",
    "create_model",
    "initialise",
    "is_model",
    "list_families",
    "list_models",
    "model_config",
    "model_info",
    "profile",
    "register_attention",
    "register_builder",
    "register_conv",
    "register_model",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
