"""What a user asks for by name: joins names, weights and counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

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
    published weights without a published hash, too.

    Raises ValueError for an unknown name or value, or a combination that makes no sense, and
    TypeError for an unknown argument; the message gives the nearest valid one.

    A name may carry a tag (``"resnet50.a1_in1k"``: those weights, with ``pretrained=True``), or
    be a repository's on the Hugging Face Hub (``"hf-hub:user/name"``, ``@revision`` behind it)
    or a folder's like one (``"local-dir:path"``).

    >>> model = create_model("resnet50d", attention="ssa", num_classes=10)
    """
    if isinstance(name, str) and name.startswith(("hf-hub:", "hf_hub:", "local-dir:")):
        from .checkpoints.hub import create_from_repository

        return create_from_repository(
            name.partition(":")[2], pretrained=pretrained, device=device, dtype=dtype, **config
        )
    if isinstance(name, str) and "." in name and not is_model(name):
        from .checkpoints.catalogue import weights_info

        tagged = weights_info(name)
        name, pretrained = tagged.model, tagged.tag if pretrained is True else pretrained
    changed = entry(name).config.replace(**config)
    if pretrained not in (None, False) or checkpoint_path is not None:
        from .checkpoints import create_with_weights

        return create_with_weights(
            resolve_name(name),
            changed,
            asked={**config},
            pretrained=pretrained,
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
