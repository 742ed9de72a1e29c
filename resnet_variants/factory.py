"""What a user asks for by name: joins names, weights and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import torch

from .builders import build_on
from .config import NetworkConfig
from .network import Network
from .registry import entry, is_model, resolve_name
from .registry import list_models as list_names

if TYPE_CHECKING:
    from .checkpoints.catalogue import Weights
    from .options import Options


def create_model(
    name: str,
    *,
    pretrained: bool | str | None = False,
    pretrained_cfg: str | Mapping[str, Any] | None = None,
    pretrained_cfg_overlay: Mapping[str, Any] | None = None,
    checkpoint_path: str | Path | None = None,
    allow_unverified: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    **config: Unpack[Options],
) -> Network:
    """Create a network by name.

    Every field of the family's configuration is an argument: ``num_classes``, ``in_chans``,
    ``attention``, ``stem``, ``features_only``, … (``model_config(name)`` shows all).
    ``pretrained`` takes published weights, True the default ones, a string those with that tag;
    ``checkpoint_path`` a file in any dialect that the library knows. ``allow_unverified`` takes
    published weights without a published hash, too. ``pretrained_cfg`` and its overlay are timm's:
    a tag, or a mapping in which ``pretrained=True`` finds its ``state_dict``, ``file``,
    ``hf_hub_id`` or ``tag``, and how many classes (``num_classes``) and channels (``input_size``)
    that network has; where they are not asked for, so has this one. Other keys are not read.

    Raises ValueError for an unknown name or value, or a combination that makes no sense, and
    TypeError for an unknown argument; the message gives the nearest valid one.

    A name may carry a tag (``"resnet50.a1_in1k"``: those weights, with ``pretrained=True``), or
    be a repository's on the Hugging Face Hub (``"hf-hub:user/name"``, ``@revision`` behind it)
    or a folder's like one (``"local-dir:path"``).

    >>> model = create_model("resnet50d", attention="ssa", num_classes=10)
    """
    told: dict[str, Any] = {}
    if pretrained_cfg is not None or pretrained_cfg_overlay is not None:
        from .checkpoints.told import sizes_told, what_is_told

        told = what_is_told(pretrained_cfg, pretrained_cfg_overlay)
        if isinstance(pretrained, str):
            raise ValueError(
                f"Give pretrained={pretrained!r} or pretrained_cfg, not both: they are two sets of "
                "weights."
            )
        classes, chans = sizes_told(told)
        if classes is not None and not config.get("features_only"):
            config.setdefault("num_classes", classes)
        if chans != 3:
            config.setdefault("in_chans", chans)
    if isinstance(name, str) and name.startswith(("hf-hub:", "hf_hub:", "local-dir:")):
        from .checkpoints.hub import create_from_repository

        if told:
            raise ValueError(f"{name!r} tells of its weights itself: leave pretrained_cfg out.")
        return create_from_repository(
            name.partition(":")[2], pretrained=pretrained, device=device, dtype=dtype, **config
        )
    if isinstance(name, str) and "." in name and not is_model(name):
        from .checkpoints.catalogue import weights_info

        tagged = weights_info(name)
        name, told = tagged.model, {"tag": tagged.tag} | told
    changed = entry(name).config.replace(**config)
    if pretrained not in (None, False) or checkpoint_path is not None:
        from .checkpoints import create_with_weights

        return create_with_weights(
            resolve_name(name),
            changed,
            asked={**config},
            pretrained=pretrained,
            told=told,
            checkpoint_path=checkpoint_path,
            allow_unverified=allow_unverified,
            device=device,
            dtype=dtype,
        )
    return build_on(changed, device=device, dtype=dtype)


def list_models(
    filter: str | Sequence[str] = "*",
    *,
    exclude_filters: str | Sequence[str] = (),
    family: str | None = None,
    pretrained: bool = False,
) -> list[str]:
    """Names of the zoo that match a glob, or one of several, and none of ``exclude_filters``; by
    family and then size. ``pretrained``: instead each set of published weights, ``name.tag``.

    >>> list_models(["se*_cifar", "eca*_cifar"], exclude_filters="*8_cifar")[:2]
    ['seresnet20_cifar', 'seresnet32_cifar']
    """
    names = list_names(filter, exclude_filters=exclude_filters, family=family)
    if not pretrained:
        return names
    from .checkpoints.catalogue import list_weights

    return [weights.name for name in names for weights in list_weights(name)]


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model."""

    name: str
    family: str
    paper: str
    aliases: tuple[str, ...]
    params: int
    """parameters"""
    macs: int
    """multiply-accumulates of convolutions and linear layers for one image of ``input_size``"""
    input_size: int
    weights: tuple[Weights, ...]
    """published weights"""
    config: NetworkConfig


def model_info(name: str) -> ModelInfo:
    """Family, paper, aliases, parameters, MACs (counted on the meta device) and weights."""
    from .checkpoints.catalogue import list_weights
    from .profiling import profile

    known = entry(name)
    counts = profile(known.name, input_size=known.input_size)
    return ModelInfo(
        name=known.name,
        family=known.family,
        paper=known.paper,
        aliases=known.aliases,
        params=counts.params,
        macs=counts.macs,
        input_size=known.input_size,
        weights=tuple(list_weights(known.name)),
        config=known.config,
    )
