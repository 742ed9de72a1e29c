"""Names: from a model's name to its configuration and the network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .builders import build
from .choices import Registry, nearest, unknown
from .config import NetworkConfig
from .network import Network
from .zoo import ENTRIES
from .zoo.entry import Entry

if TYPE_CHECKING:
    from .checkpoints.catalogue import Weights

_MODELS: Registry[Entry] = Registry("model")
_ALIASES: dict[str, str] = {}


def create_model(
    name: str,
    *,
    pretrained: bool | str | None = False,
    checkpoint_path: str | Path | None = None,
    allow_unverified: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    **config: Any,
) -> Network:
    """Create a network by name.

    Every field of the family's configuration is an argument: ``num_classes``, ``in_chans``,
    ``attention``, ``stem``, ``features_only``, … (``model_config(name)`` shows all).
    ``pretrained`` takes published weights, True the default ones, a string those with that tag;
    ``checkpoint_path`` a file in any dialect that the library knows. ``allow_unverified`` takes
    published weights without a published hash, too.

    Raises ValueError for an unknown name or value, or a combination that makes no sense, and
    TypeError for an unknown argument; the message gives the nearest valid one.

    >>> model = create_model("resnet50d", attention="ssa", num_classes=10)
    """
    changed = _entry(name).config.replace(**config)
    if pretrained not in (None, False) or checkpoint_path is not None:
        from .checkpoints import create_with_weights

        return create_with_weights(
            resolve_name(name),
            changed,
            asked=config,
            pretrained=pretrained,
            checkpoint_path=checkpoint_path,
            allow_unverified=allow_unverified,
            device=device,
            dtype=dtype,
        )
    return build_on(changed, device=device, dtype=dtype)


def build_on(
    config: NetworkConfig,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Network:
    """Build a network directly on a device (``"meta"`` too) and in a type."""
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating-point type, not {dtype}.")
    if device is None:
        model = build(config)
    else:
        with torch.device(device):
            model = build(config)
    return model.to(dtype) if dtype is not None else model


def model_config(name: str) -> NetworkConfig:
    """The configuration behind a name: what ``create_model`` starts from."""
    return _entry(name).config


def list_models(filter: str = "*", *, family: str | None = None) -> list[str]:
    """Names of the zoo that match a glob, by family and then size.

    >>> list_models("se*_cifar")[:2]
    ['seresnet20_cifar', 'seresnet32_cifar']
    """
    if family is not None:
        families = list_families()
        by_fold = {each.lower(): each for each in families}
        if family.lower() not in by_fold:
            raise unknown("family", family, families)
        family = by_fold[family.lower()]
    return [
        name
        for name in _MODELS
        if fnmatchcase(name, filter) and family in (None, _MODELS[name].family)
    ]


def list_families() -> list[str]:
    """Families of the zoo, in its order."""
    return list(dict.fromkeys(_MODELS[name].family for name in _MODELS))


def image_size(name: str) -> int:
    """Side of the images that a model of the zoo is made for."""
    return _entry(name).input_size


def is_model(name: str) -> bool:
    """Whether ``create_model`` knows the name."""
    return name in _MODELS or name in _ALIASES


def resolve_name(name: str) -> str:
    """The zoo's own name behind an alias."""
    return _entry(name).name


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

    entry = _entry(name)
    counts = profile(entry.name, input_size=entry.input_size)
    return ModelInfo(
        name=entry.name,
        family=entry.family,
        paper=entry.paper,
        aliases=entry.aliases,
        params=counts.params,
        macs=counts.macs,
        input_size=entry.input_size,
        weights=tuple(list_weights(entry.name)),
        config=entry.config,
    )


def register_model(
    name: str,
    config: NetworkConfig,
    *,
    family: str = "user",
    paper: str = "",
    aliases: tuple[str, ...] = (),
    input_size: int = 224,
) -> None:
    """Add a configuration to the zoo under a name. Raises ValueError when it is taken."""
    add_entry(Entry(name, family, paper, config, {}, tuple(aliases), input_size))


def add_entry(entry: Entry) -> None:
    """Add a line to the zoo."""
    for name in (entry.name, *entry.aliases):
        if is_model(name):
            raise ValueError(f"model {name!r} is registered already, as {_entry(name).name!r}.")
    _MODELS.register(entry.name, entry)
    _ALIASES.update(dict.fromkeys(entry.aliases, entry.name))


def _entry(name: str) -> Entry:
    if not isinstance(name, str):
        raise TypeError(f"A model's name is a string, not {type(name).__name__}: {name!r}.")
    known = _ALIASES.get(name, name)
    if known in _MODELS:
        return _MODELS[known]
    guess = nearest(name, [*_MODELS, *_ALIASES])
    relatives = list_models(f"*{re.match(r'[a-z]*', name.lower())[0]}*")  # type: ignore[index]
    valid = dict.fromkeys(([guess] if guess else []) + relatives)
    raise unknown("model", name, valid, limit=8)


for _each in ENTRIES:
    add_entry(_each)
