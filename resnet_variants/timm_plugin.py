"""``import resnet_variants.timm_plugin``: the networks that timm lacks, by ``timm.create_model``.

Names that timm has stay timm's. Arguments are those of ``resnet_variants.create_model``, whose
names are timm's; ``pretrained_cfg`` is set, so that ``timm.data.resolve_model_data_config`` and
``create_transform`` work.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import timm.models
from timm.models import FeatureGraphNet, FeatureHookNet
from timm.models._features import FeatureGetterNet
from timm.models._hub import load_state_dict_from_hf, load_state_dict_from_path
from timm.models._pretrained import DefaultCfg, PretrainedCfg
from torch import nn

from .checkpoints.catalogue import Weights, list_weights
from .checkpoints.models import weights_of
from .checkpoints.told import what_is_told
from .choices import check_choice
from .factory import create_model
from .network import Network
from .registry import image_size, list_models, model_config

FEATURES = ("list", "dict", "getter", "hook", "fx")
"""``feature_cls``: what timm can wrap a network in, to have its feature levels"""


def _pretrained_cfg(name: str, weights: Weights | None) -> PretrainedCfg:
    """What timm wants to know of a network and its weights, in its words."""
    side = image_size(name) if weights is None else weights.size
    cfg: dict[str, Any] = {
        "architecture": name,
        "num_classes": model_config(name).num_classes,
        "input_size": (3, side, side),
        "pool_size": (-(-side // 32),) * 2,
        "first_conv": "stem.convs.0.conv",
        "classifier": "head.fc",
    }
    if weights is not None:
        cfg |= {
            "url": weights.url,
            "tag": weights.tag,
            "num_classes": weights.classes,
            "crop_pct": weights.size / weights.resize,
            "interpolation": weights.interpolation,
            "mean": weights.mean,
            "std": weights.std,
            "license": weights.license,
        }
    return PretrainedCfg(**cfg)


def _cfg_of(model: Network, name: str) -> dict[str, Any]:
    """The same of a network that was made: its own sizes and names of layers."""
    cfg: dict[str, Any] = _pretrained_cfg(name, weights_of(model)).to_dict()
    cfg["pool_size"] = (model.feature_info[-1].size(cfg["input_size"][1]),) * 2
    cfg["first_conv"] = next(n for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    return cfg


def _wrapped(model: Network, feature_cls: Any, out_indices: Any) -> nn.Module:
    """The network in one of timm's wrappers that gives its feature levels."""
    kind = getattr(feature_cls, "__name__", str(feature_cls)).lower()
    kind = {"featuregraphnet": "fx"}.get(kind, kind.removeprefix("feature").removesuffix("net"))
    check_choice("feature_cls", kind, FEATURES)
    levels = len(model.feature_info)
    indices = out_indices if out_indices is not None else tuple(range(levels))
    if kind == "fx":
        return FeatureGraphNet(model, indices)
    if kind == "getter":
        return FeatureGetterNet(model, indices)
    # A dictionary and a list by hooks, too: timm's own cut a network in its children.
    return FeatureHookNet(model, indices, return_dict=kind == "dict", no_rewrite=True)


def _entrypoint(name: str) -> Callable[..., nn.Module]:
    def create(
        pretrained: bool = False,
        pretrained_cfg: Any = None,
        pretrained_cfg_overlay: Mapping[str, Any] | None = None,
        cache_dir: str | Path | None = None,
        features_only: bool = False,
        feature_cls: Any = None,
        bn_eps: float | None = None,
        bn_momentum: float | None = None,
        pretrained_model_args: Any = None,  # a hub file's: timm has them in arguments, too
        **arguments: Any,
    ) -> nn.Module:
        # timm passes the tag of "name.tag" as pretrained_cfg
        told = what_is_told(pretrained_cfg, pretrained_cfg_overlay)
        hub = told.get("hf_hub_id")
        if cache_dir and not hub:
            raise ValueError(
                f"{name} is a network of resnet_variants, which takes no cache_dir: set "
                "TORCH_HOME, or give pretrained_cfg_overlay=dict(file=...)."
            )
        norm = {"eps": bn_eps, "momentum": bn_momentum}
        if given := {key: value for key, value in norm.items() if value is not None}:
            arguments["norm_args"] = given | dict(arguments.get("norm_args") or {})
        out_indices = arguments.pop("out_indices", None)
        if features_only and feature_cls is None:
            arguments |= {"features_only": True, "out_indices": out_indices}
        tensors: Any = None  # read by timm, which has folders and a cache of its own
        if pretrained and hub and not told.get("state_dict") and not told.get("file"):
            file = told.get("hf_hub_filename")
            where = {"filename": file} if file else {}
            tensors = load_state_dict_from_hf(hub, cache_dir=cache_dir, **where)
        elif pretrained and told.get("source") == "local-dir":
            tensors = load_state_dict_from_path(told["file"])
        read = {} if tensors is None else {"state_dict": tensors}
        model: Network = create_model(
            name, pretrained=pretrained, pretrained_cfg=told | read, **arguments
        )
        cfg = _cfg_of(model, name) | {k: v for k, v in told.items() if k != "state_dict"}
        made: Any = model
        if features_only and feature_cls is not None:
            made = _wrapped(model, feature_cls, out_indices)
        made.pretrained_cfg = made.default_cfg = cfg
        return made  # type: ignore[no-any-return]

    create.__name__ = create.__qualname__ = name
    create.__module__ = __name__
    create.__doc__ = f"{name} of resnet_variants."
    return create


def _default_cfg(name: str) -> DefaultCfg:
    """All sets of weights of a network, the default first; one without any where none are."""
    cfgs = {each.tag: _pretrained_cfg(name, each) for each in list_weights(name)}
    cfgs = cfgs or {"": _pretrained_cfg(name, None)}
    return DefaultCfg(tags=deque(cfgs), cfgs=cfgs, is_pretrained=any(cfgs))


default_cfgs: dict[str, DefaultCfg] = {}  # where timm looks for what is pretrained


def register() -> list[str]:
    """Make the networks that timm lacks known to it; gives their names. Done by the import."""
    names = [name for name in list_models() if not timm.models.is_model(name)]
    for name in names:
        default_cfgs[name] = _default_cfg(name)
        function = _entrypoint(name)
        setattr(sys.modules[__name__], name, function)
        timm.models.register_model(function)
    return names


REGISTERED = register()
