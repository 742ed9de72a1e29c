"""``import resnet_variants.torchvision_plugin``: the networks that torchvision lacks, by
``torchvision.models.get_model``. Names that torchvision has stay torchvision's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torchvision.models import list_models as torchvision_models
from torchvision.models._api import register_model

from .factory import create_model
from .network import Network
from .registry import list_models


def _builder(name: str) -> Callable[..., Network]:
    def build(*, weights: str | None = None, progress: bool = True, **arguments: Any) -> Network:
        return create_model(name, pretrained=_tag(weights), **arguments)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"{name} of resnet_variants; ``weights`` is a tag, or ``DEFAULT``."
    return build


def _tag(weights: str | None) -> bool | str:
    if weights is None or isinstance(weights, str):
        return {None: False, "DEFAULT": True}.get(weights, weights or False)
    raise TypeError(f"weights must be a tag or 'DEFAULT', not {weights!r}.")


def register() -> list[str]:
    """Make the networks that torchvision lacks known to it; gives their names. Done by the
    import."""
    names = [name for name in list_models() if name not in torchvision_models()]
    for name in names:
        register_model(name)(_builder(name))
    return names


REGISTERED = register()
