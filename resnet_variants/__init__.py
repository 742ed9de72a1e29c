"""Every ResNet variant from one typed configuration: ``create_model("resnet50d")``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .blocks import register_attention, register_conv
from .builders import build, config_from_dict
from .config import NetworkConfig, register_builder
from .factory import create_model, list_models, model_info
from .network import Network, initialise
from .registry import (
    is_model,
    list_families,
    model_config,
    register_model,
)

__version__ = "0.1.0"

# Capabilities on top, imported when they are first used.
_LAZY = {
    "export_state_dict": "checkpoints",
    "from_pretrained": "checkpoints.hub",
    "list_weights": "checkpoints",
    "load": "checkpoints",
    "load_checkpoint": "checkpoints",
    "load_deployed": "deploy",
    "optimize_for_inference": "deploy",
    "profile": "profiling",
    "push_to_hub": "checkpoints.hub",
    "save": "checkpoints",
    "transforms_for": "checkpoints.preprocessing",
    "weights_info": "checkpoints",
}

if TYPE_CHECKING:
    from .checkpoints import (
        export_state_dict,
        list_weights,
        load,
        load_checkpoint,
        save,
        weights_info,
    )
    from .checkpoints.hub import from_pretrained, push_to_hub
    from .checkpoints.preprocessing import transforms_for
    from .deploy import load_deployed, optimize_for_inference
    from .profiling import profile

__all__ = [
    "Network",
    "NetworkConfig",
    "build",
    "config_from_dict",
    "create_model",
    "export_state_dict",
    "from_pretrained",
    "initialise",
    "is_model",
    "list_families",
    "list_models",
    "list_weights",
    "load",
    "load_checkpoint",
    "load_deployed",
    "model_config",
    "model_info",
    "optimize_for_inference",
    "profile",
    "push_to_hub",
    "register_attention",
    "register_builder",
    "register_conv",
    "register_model",
    "save",
    "transforms_for",
    "weights_info",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
