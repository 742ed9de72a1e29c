"""Weights into a network, all of them or none, and out of it again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..choices import check_choice, unknown
from ..network import Network, network_of
from ..registry import model_config
from .catalogue import Weights, find_weights, weights_by_file
from .dialects import DIALECTS, OWN
from .download import fetch
from .errors import CheckpointError, MismatchError, UnknownDialectError
from .files import Checkpoint, from_mapping, read_checkpoint
from .matching import able_dialects, is_twin, match, near_dialects, pairs_of, twins
from .reader import INPUT_CHANNELS, Reader, fitting_hint, has_memory
from .report import LoadReport, first_few


def load_checkpoint(
    model: Network,
    source: Any,
    *,
    dialect: str | None = None,
    key: str | None = None,
    prefix: str | None = None,
    classifier: str | Sequence[int] = "strict",
    input_channels: str = "strict",
    allow_unverified: bool = False,
) -> LoadReport:
    """Fill a network with weights in any dialect: all of them, or the network stays as it was.

    ``source`` is a file, a state dict, or published weights (a name like ``resnet50.tv_in1k``,
    the URL, an entry of the catalogue). Its dialect is recognised from the names unless given;
    ``key`` chooses among several sets of weights in a file (``"state_dict_ema"``), ``prefix`` among
    several networks in one set (``"teacher."``).

    ``classifier="new"`` keeps the network's own classifier where the file has another number of
    classes; a sequence of class numbers takes those rows of the file's. ``input_channels`` says
    how to make the first convolution for another number of channels: ``"repeat"`` the file's,
    scaled to keep the sum; their ``"mean"``; or the file's with ``"zeros"`` for further ones.
    ``allow_unverified`` takes published weights whose publisher names no hash.

    Raises ``MismatchError`` with what is missing, unexpected and misshapen, ``BadTensorError``
    for tensors that cannot be weights, ``CheckpointError`` where several networks could be meant,
    and what reading the file raises.
    """
    model = network_of(model)
    options = Options(dialect, key, prefix, classifier, input_channels, allow_unverified)
    state = model.state_dict()
    tensors, report = tensors_for(model, state, source, options, adopt=False)
    # One call, which no Ctrl-C can come in between; that it cannot fail was made sure of. Its
    # tensors are detached: torch.no_grad(), interrupted as it begins, would stay.
    torch._foreach_copy_(
        [state[name] for name in tensors], [tensor.detach() for tensor in tensors.values()]
    )
    model.load_report = report  # type: ignore[assignment]
    return report


@dataclass(frozen=True)
class Options:
    """How a source is to be read: the arguments of ``load_checkpoint``."""

    dialect: str | None = None
    key: str | None = None
    prefix: str | None = None
    classifier: str | Sequence[int] = "strict"
    input_channels: str = "strict"
    allow_unverified: bool = False

    def __post_init__(self) -> None:
        for name in ("dialect", "key", "prefix"):
            if not isinstance(value := getattr(self, name), str | None):
                raise TypeError(f"{name} must be a string, not {type(value).__name__}.")
        if isinstance(self.classifier, str):
            check_choice("classifier", self.classifier, ("strict", "new"))
        check_choice("input_channels", self.input_channels, INPUT_CHANNELS)


def tensors_for(
    model: Network, state: Mapping[str, Tensor], source: Any, options: Options, *, adopt: bool
) -> tuple[dict[str, Tensor], LoadReport]:
    """The whole ``state`` dict of a network from a source, checked, in the network's types, on the
    CPU; with ``adopt`` each in memory of its own. The network is not touched."""
    if not all(map(has_memory, state.values())):
        raise CheckpointError(
            "The network has no memory for weights: it is on the meta device, or its memory was "
            "freed. Give create_model the file (checkpoint_path=...), or model.to_empty(device=...)"
            " before."
        )
    weights, name = _entry(source)
    prepared: list[Reader] = []

    def check(shapes: Checkpoint) -> None:
        """Whose tensors these are: numbers are not read for a file that is another network's."""
        reader = _reader(model, state, shapes, weights, name, options, adopt)
        reader.compare()
        prepared.append(reader)

    if isinstance(source, (Checkpoint, Mapping)):
        checkpoint = (
            source if isinstance(source, Checkpoint) else from_mapping(source, key=options.key)
        )
        reader = _reader(model, state, checkpoint, weights, name, options, adopt)
        tensors = reader.read(checkpoint)
    else:
        path, key = source, options.key
        if weights is not None:
            path = fetch(weights, allow_unverified=options.allow_unverified)
            key = key or weights.key
        checkpoint = read_checkpoint(path, key=key, check=check)
        (reader,) = prepared
        tensors = reader.read(checkpoint)
    reader.report.loaded = len(tensors)
    return tensors, reader.report


def _entry(source: Any) -> tuple[Weights | None, str]:
    """The catalogue's entry if the source is one, and what to call it."""
    if isinstance(source, Checkpoint):
        return None, os.fspath(source.path) if source.path else "a state dict"
    if isinstance(source, Mapping):
        return None, "a state dict"
    if isinstance(source, Weights):
        return source, source.name
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            "source must be a file, a state dict or published weights, not "
            f"{type(source).__name__}."
        )
    if isinstance(source, str) and not os.path.exists(os.path.expanduser(source)):
        weights = find_weights(source)
        if weights is not None:
            return weights, weights.name
    return None, os.fspath(source)


def _reader(
    model: Network,
    state: Mapping[str, Tensor],
    checkpoint: Checkpoint,
    weights: Weights | None,
    name: str,
    options: Options,
    adopt: bool,
) -> Reader:
    """What reads these tensors for this network, in the dialect that they are in."""
    dialect = options.dialect or (weights.dialect if weights is not None else None)
    found = match(model, state, checkpoint.tensors, dialect, options.prefix)
    if found is None:
        near = near_dialects(model, state, checkpoint.tensors)
        raise MismatchError(
            f"None of the {len(checkpoint.tensors)} tensors in {name} has a name that any dialect "
            f"gives this network ({model.config.builder}): {first_few(list(checkpoint.tensors))}."
            + (
                f"\nThe names are {first_few(near)}: give create_model these values."
                if near
                else fitting_hint(checkpoint)
            )
        )
    report = LoadReport(
        name,
        checkpoint.format,
        found.dialect,
        wrappers=checkpoint.wrappers + ((found.prefix,) if found.prefix else ()),
        twins=twins(model) if weights is None else [],
        weights=weights,
    )
    _refuse_twin(model, weights, checkpoint, name)
    return Reader(
        model, state, checkpoint, found, report, options.classifier, options.input_channels, adopt
    )


def _refuse_twin(model: Network, weights: Any, checkpoint: Checkpoint, name: str) -> None:
    """Published weights of one network are not loaded into a twin."""
    if weights is None and checkpoint.path is not None:
        weights = weights_by_file(checkpoint.path.name)
    if weights is None:
        return
    if is_twin(model, model_config(weights.model).replace(**weights.changes)):
        changes = "".join(f", {name}={value!r}" for name, value in weights.changes.items())
        raise MismatchError(
            f"{name} are published weights of another network, whose tensors have the same shapes "
            f"as this one's but mean something else. Use create_model({weights.model!r}{changes})."
        )


def export_state_dict(model: Network, dialect: str) -> dict[str, Tensor]:
    """The network's tensors under another library's names, for its ``load_state_dict``.

    Raises ``UnknownDialectError`` when the dialect cannot express the network, and
    ``CheckpointError`` for a tensor that has no place there (a bias that is not zero).
    """
    model = network_of(model)
    state = model.state_dict()
    if dialect != OWN and dialect not in DIALECTS:
        raise UnknownDialectError(str(unknown("dialect", dialect, [OWN, *DIALECTS])))
    pairs = pairs_of(model, dialect, state)
    if pairs is None:
        raise UnknownDialectError(
            f"The dialect {dialect!r} has no names for this network. Those that have: "
            f"{', '.join(able_dialects(model))}."
        )
    result: dict[str, Tensor] = {}
    for pair in pairs:
        if pair.how == "count":
            continue
        try:
            result.update(zip(pair.theirs, pair.write(state[pair.ours]), strict=True))
        except ValueError as error:
            raise CheckpointError(f"Not expressible in {dialect!r}: {error}.") from None
    return result
