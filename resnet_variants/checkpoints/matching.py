"""Whose tensors are these: the dialect and prefix of a file, for a given network."""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

from torch import Tensor

from ..builders import build_on
from ..choices import unknown
from ..config import NetworkConfig
from ..network import Network
from ..registry import list_models, model_config
from .dialects import DIALECTS, OWN, Pair, strip_prefixes
from .errors import CheckpointError, UnknownDialectError

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


def pairs_of(model: Network, dialect: str, keys: Collection[str]) -> list[Pair] | None:
    """The names of tensors in a dialect; None when it cannot express the network."""
    if dialect == OWN:
        return [Pair(key, (key,)) for key in keys]
    return DIALECTS[dialect].pairs(model, keys)


def match(
    model: Network,
    keys: Collection[str],
    names: Iterable[str],
    dialect: str | None = None,
    prefix: str | None = None,
) -> Match | None:
    """The dialect and prefix under which most of the network's tensors, which it calls ``keys``,
    are found among the names in a file; ``prefix`` asks for one of several.

    None when nothing fits at all. Raises ``UnknownDialectError`` for a dialect that does not
    exist or cannot express the network, ``CheckpointError`` where the names are those of several
    networks (``student.`` and ``teacher.``).
    """
    names = list(names)
    # One unit of each stage tells dialects apart as well as all units, in a fraction of the time.
    sample = [
        key
        for key in keys
        if not key.endswith(COUNT) and not re.match(r"stages\.\d+\.(?!0\.)", key)
    ]
    if HEAD + "weight" not in keys:  # features alone; in the file the classifier may well be
        sample.append(HEAD + "weight")
    asked = prefix or ""
    inside = [name.removeprefix(asked) for name in names if name.startswith(asked)]
    prefixes = [
        (asked + each, set(rest)) for each, rest in strip_prefixes(inside, max(len(keys) // 2, 4))
    ]
    hits: dict[tuple[str, str], set[str]] = {}
    able = False
    for each in dialects_of(model, dialect):
        pairs = pairs_of(model, each, sample)
        if pairs is None:
            continue
        able = True
        wanted = [pair.theirs for pair in pairs if pair.theirs]
        whole = False
        for begin, rest in prefixes:
            if got := {begin + theirs[0] for theirs in wanted if rest.issuperset(theirs)}:
                hits[each, begin] = got
                whole |= len(got) == len(wanted) and 2 * (len(names) - len(rest)) < len(keys)
        if whole:  # and no room for a second network under other names
            break
    if dialect is not None and not able:
        raise UnknownDialectError(
            f"The dialect {dialect!r} has no names for this network ({model.config.builder}). "
            f"Those that have: {', '.join(able_dialects(model))}."
        )
    chosen = max(hits, key=lambda each: len(hits[each]), default=None)
    # A name or two, such as a classifier's, are alike in dialects that have nothing else alike.
    if chosen is None or (dialect is None and 4 * len(hits[chosen]) < len(sample)):
        return None
    found, prefix = chosen
    rivals = [begin for (_, begin), got in hits.items() if _are_others(got, hits[chosen])]
    if rivals:
        both = ", ".join(repr(each) for each in dict.fromkeys([prefix, *rivals]))
        raise CheckpointError(
            f"These are the tensors of several networks, whose names begin with {both}: choose one "
            f"by prefix={prefix!r}."
        )
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


def _are_others(got: set[str], chosen: set[str]) -> bool:
    """Whether tensors found under another prefix are those of a second network: not the same, and
    half as many at least."""
    return 2 * len(got) >= len(chosen) and 2 * len(got & chosen) < len(got)


def able_dialects(model: Network) -> list[str]:
    """The dialects that have names for all tensors of a network."""
    keys = list(model.state_dict())
    return [name for name in [OWN, *DIALECTS] if pairs_of(model, name, keys) is not None]


def near_dialects(model: Network, keys: Collection[str], names: Iterable[str]) -> list[str]:
    """Dialects that the names are in, and what they ask of the configuration and it is not."""
    found = []
    for _, rest in strip_prefixes(names, len(keys) // 2):
        for dialect in DIALECTS:
            if asked := DIALECTS[dialect].asks(model, set(rest)):
                found.append(f"{dialect}, whose networks have {', '.join(asked)}")
        if found:
            break
    return found


def fingerprint(shapes: Iterable[Sequence[int]]) -> str:
    """A number for the shapes of the convolutions with kernels over 1x1, in any order.

    All dialects have these tensors alike, so it finds the few models that a file can be of.
    """
    kernels = sorted(tuple(s) for s in shapes if len(s) == 4 and s[2] * s[3] > 1)
    return f"{zlib.crc32(repr(kernels).encode()):08x}"


@functools.cache
def _fingerprints() -> dict[str, str]:
    """Models of the zoo and their fingerprints: ``fingerprints.csv``, which
    ``python -m resnet_variants.checkpoints.fingerprints`` writes."""
    text = (resources.files(__package__) / "fingerprints.csv").read_text(encoding="utf-8")
    return dict(line.split(",") for line in text.splitlines()[1:])


def fitting_models(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the zoo whose tensors are these, whatever their classifier."""
    wanted = fingerprint(tensor.shape for tensor in tensors.values())
    known = _fingerprints()
    return [n for n in list_models() if known.get(n) == wanted and _fits(n, tensors)]


def _fits(name: str, tensors: Mapping[str, Tensor]) -> bool:
    model = build_on(model_config(name), device="meta")
    state = model.state_dict()
    found = match(model, state, tensors)
    if found is None or found.missing or found.unexpected:
        return False
    for pair in found.pairs:
        sizes = [
            tensors[found.prefix + their].numel()
            for their in pair.theirs
            if found.prefix + their in tensors
        ]
        if (
            sizes
            and not pair.ours.startswith(HEAD)
            and sum(sizes) != state[pair.ours].numel()
            and not pair.ours.endswith(COUNT)
        ):
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
    "shuffle_at": "end",
    "shuffle_order": "paper",
    "pool_first": True,
    "residual": False,
}


def twins(model: Network) -> list[str]:
    """Names of the zoo with the same tensors and another function: ResNet-50 and its original
    form, for instance. Nothing in a bare file tells them apart."""
    return [name for name in list_models() if is_twin(model, model_config(name))]


def is_twin(model: Network, config: NetworkConfig) -> bool:
    """Whether ``config`` has the network's tensors and computes something else."""
    if config.builder != model.config.builder:
        return False
    own, other = _function(model.config), _function(config)
    return other != own and _shapes(other) == _shapes(own)


def _function(config: NetworkConfig) -> dict[str, object]:
    return {name: value for name, value in vars(config).items() if name not in _USE}


def _shapes(function: dict[str, object]) -> dict[str, object]:
    shapes = {name: _SILENT.get(name, value) for name, value in function.items()}
    if shapes.get("shortcut") in ("avg", "max"):
        shapes["shortcut"] = "conv"
    return shapes
