"""``import resnet_variants.timm_plugin``: the networks that timm lacks, by ``timm.create_model``.

Names that timm has stay timm's. Arguments are those of ``resnet_variants.create_model``, whose
names are timm's; ``pretrained_cfg`` is set, so that ``timm.data.resolve_model_data_config`` and
``create_transform`` work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm.models

from .checkpoints.catalogue import Weights, list_weights
from .checkpoints.models import weights_of
from .factory import create_model
from .network import Network
from .registry import list_models, model_config


def _pretrained_cfg(name: str, weights: Weights | None) -> dict[str, Any]:
    """What timm wants to know of weights, in its words."""
    if weights is None:
        weights = next(iter(list_weights(name)), None)
    cfg: dict[str, Any] = {
        "architecture": name,
        "num_classes": model_config(name).num_classes,
        "first_conv": "stem.convs.0.conv",
        "classifier": "head.fc",
    }
    if weights is not None:
        cfg |= {
            "url": weights.url,
            "tag": weights.tag,
            "num_classes": weights.classes,
            "input_size": (3, weights.size, weights.size),
            "crop_pct": weights.size / weights.resize,
            "interpolation": weights.interpolation,
            "mean": weights.mean,
            "std": weights.std,
            "license": weights.license,
        }
    return cfg


def _entrypoint(name: str) -> Callable[..., Network]:
    def create(
        pretrained: bool = False,
        pretrained_cfg: Any = None,
        pretrained_cfg_overlay: Any = None,
        cache_dir: str | Path | None = None,
        **arguments: Any,
    ) -> Network:
        given = {"pretrained_cfg_overlay": pretrained_cfg_overlay, "cache_dir": cache_dir}
        if pretrained_cfg is not None and not isinstance(pretrained_cfg, str):
            given["pretrained_cfg"] = pretrained_cfg
        if wrong := [key for key, value in given.items() if value]:
            raise ValueError(
                f"{name} is a network of resnet_variants, which takes no {wrong[0]}: use "
                "pretrained=True, or resnet_variants.create_model(name, checkpoint_path=...)."
            )
        # timm passes the tag of "name.tag" as pretrained_cfg
        model = create_model(name, pretrained=pretrained and (pretrained_cfg or True), **arguments)
        cfg = _pretrained_cfg(name, weights_of(model))
        model.pretrained_cfg = model.default_cfg = cfg  # type: ignore[assignment]
        return model

    create.__name__ = create.__qualname__ = name
    create.__module__ = __name__
    create.__doc__ = f"{name} of resnet_variants."
    return create


default_cfgs: dict[str, dict[str, Any]] = {}  # where timm looks for what is pretrained


def register() -> list[str]:
    """Make the networks that timm lacks known to it; gives their names. Done by the import."""
    names = [name for name in list_models() if not timm.models.is_model(name)]
    for name in names:
        if list_weights(name):
            default_cfgs[name] = _pretrained_cfg(name, None)
        function = _entrypoint(name)
        setattr(sys.modules[__name__], name, function)
        timm.models.register_model(function)
    return names


REGISTERED = register()
