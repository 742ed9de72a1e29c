"""Whose tensors are these: the dialect and prefix of a file, for a given network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ..choices import unknown
from ..config import NetworkConfig
from ..network import Network
from ..registry import build_on, list_models, model_config
from .dialects import DIALECTS, OWN, Pair, strip_prefixes
from .errors import UnknownDialectError

COUNT = "num_batches_tracked"
HEAD = "head.fc."


@dataclass
class Match:
    """How a file's tensors meet a network's."""

    dialect: str
    prefix: str
    pairs: list[Pair]
    missing: list[str] = field(default_factory=list)
    """names that the dialect has and the file does not"""
    unexpected: list[str] = field(default_factory=list)
    """names that the file has and the dialect does not"""
    beside: list[str] = field(default_factory=list)
    """names without the prefix that the others have"""


def dialects_of(model: Network, dialect: str | None) -> list[str]:
    """The dialects to try, or the one asked for."""
    if dialect is None:
        return [OWN, *DIALECTS]
    if dialect != OWN and dialect not in DIALECTS:
        raise UnknownDialectError(str(unknown("dialect", dialect, [OWN, *DIALECTS])))
    return [dialect]


def pairs_of(model: Network, dialect: str, keys: Iterable[str]) -> list[Pair] | None:
    """The names of tensors in a dialect; None when it cannot express the network."""
    if dialect == OWN:
        return [Pair(key, (key,)) for key in keys]
    return DIALECTS[dialect].pairs(model, keys)


def match(model: Network, names: Iterable[str], dialect: str | None = None) -> Match | None:
    """The dialect and prefix under which most of the network's tensors are found.

    None when nothing fits at all. Raises ``UnknownDialectError`` for a dialect that does not
    exist or cannot express the network.
    """
    names = list(names)
    keys = list(model.state_dict())
    # One unit of each stage tells dialects apart as well as all units, in a fraction of the time.
    sample = [
        key
        for key in keys
        if not key.endswith(COUNT) and not re.match(r"stages\.\d+\.(?!0\.)", key)
    ]
    prefixes = [(prefix, set(rest)) for prefix, rest in strip_prefixes(names)]
    best, chosen, able = 0.0, None, False
    for each in dialects_of(model, dialect):
        pairs = pairs_of(model, each, sample)
        if pairs is None:
            continue
        able = True
        for prefix, rest in prefixes:
            hits = sum(all(their in rest for their in pair.theirs) for pair in pairs if pair.theirs)
            if hits > best:
                best, chosen = hits, (each, prefix)
    if dialect is not None and not able:
        raise UnknownDialectError(
            f"The dialect {dialect!r} has no names for this network ({model.config.builder}). "
            f"Those that have: {', '.join(able_dialects(model))}."
        )
    if chosen is None:
        return None
    found, prefix = chosen
    pairs = pairs_of(model, found, keys)
    if pairs is None:
        return None
    present = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    used = {their for pair in pairs for their in pair.theirs}
    return Match(
        found,
        prefix,
        pairs,
        missing=[
            their
            for pair in pairs
            for their in pair.theirs
            if their not in present and not their.endswith(COUNT)
        ],
        unexpected=[
            name.removeprefix(prefix)
            for name in names
            if name.startswith(prefix) and name.removeprefix(prefix) not in used
        ],
        beside=[name for name in names if not name.startswith(prefix)],
    )


def able_dialects(model: Network) -> list[str]:
    """The dialects that have names for all tensors of a network."""
    keys = list(model.state_dict())
    return [name for name in [OWN, *DIALECTS] if pairs_of(model, name, keys) is not None]


def fitting_models(tensors: Mapping[str, Tensor], builder: str) -> list[str]:
    """Names of the zoo whose tensors are these, whatever their classifier.

    Networks of ``builder`` are looked at first, the others only when none of those fits.
    """
    names = list_models()
    groups = [
        [name for name in names if (model_config(name).builder == builder) is same]
        for same in (True, False)
    ]
    for group in groups:
        if found := [name for name in group if _fits(name, tensors)]:
            return found
    return []


def _fits(name: str, tensors: Mapping[str, Tensor]) -> bool:
    model = build_on(model_config(name), device="meta")
    state = model.state_dict()
    if sum(tensor.ndim > 1 for tensor in tensors.values()) < len(list(model.stages)):
        return False
    found = match(model, tensors)
    if found is None or found.missing or found.unexpected:
        return False
    for pair in found.pairs:
        parts = [tensors[found.prefix + their] for their in pair.theirs]
        if pair.ours.startswith(HEAD) or pair.ours.endswith(COUNT):
            continue
        if sum(part.numel() for part in parts) != state[pair.ours].numel() and parts:
            return False
    return True


# Fields that change neither what a network computes from an image nor, classifier and first
# convolution apart, its tensors' shapes.
_USE = {
    "num_classes",
    "in_chans",
    "global_pool",
    "drop_rate",
    "drop_path_rate",
    "zero_init_last",
    "output_stride",
    "features_only",
    "out_indices",
}
# Fields that change what it computes and not the shapes, with the value that stands for all.
_SILENT = {
    "stride_in": "conv2",
    "stride_with": "conv",
    "stem_pool": "max",
    "act_layer": "relu",
}


def twins(model: Network) -> list[str]:
    """Names of the zoo with the same tensors and another function: ResNet-50 and its original
    form, for instance. Nothing in a bare file tells them apart."""
    function = _function(model.config)
    return [
        name
        for name in list_models()
        if model_config(name).builder == model.config.builder
        and (other := _function(model_config(name))) != function
        and _shapes(other) == _shapes(function)
    ]


def same_network(model: Network, name: str) -> bool:
    """Whether a name of the zoo computes what the network does."""
    config = model_config(name)
    return config.builder == model.config.builder and _function(config) == _function(model.config)


def _function(config: NetworkConfig) -> dict[str, object]:
    return {name: value for name, value in vars(config).items() if name not in _USE}


def _shapes(function: dict[str, object]) -> dict[str, object]:
    shapes = {name: _SILENT.get(name, value) for name, value in function.items()}
    if shapes.get("shortcut") in ("avg", "max"):
        shapes["shortcut"] = "conv"
    return shapes
