"""Weights into a network, all of them or none, and out of it again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..choices import check_choice, unknown
from ..network import Network
from ..registry import model_config
from .catalogue import Weights, find_weights, weights_by_file
from .dialects import DIALECTS, OWN
from .download import fetch
from .errors import CheckpointError, MismatchError, UnknownDialectError
from .files import Checkpoint, from_mapping, read_checkpoint
from .matching import able_dialects, is_twin, match, near_dialects, pairs_of, twins
from .reader import INPUT_CHANNELS, Reader, fitting_hint
from .report import LoadReport, first_few


def load_checkpoint(
    model: Network,
    source: Any,
    *,
    dialect: str | None = None,
    key: str | None = None,
    classifier: str | Sequence[int] = "strict",
    input_channels: str = "strict",
    assign: bool = False,
) -> LoadReport:
    """Fill a network with weights in any dialect: all of them, or the network stays as it was.

    ``source`` is a file, a state dict, or published weights (a name like ``resnet50.tv_in1k``,
    the URL, an entry of the catalogue). Its dialect is recognised from the names unless given;
    ``key`` chooses among several sets of weights in a file (``"state_dict_ema"``).

    ``classifier="new"`` keeps the network's own classifier where the file has another number of
    classes; a sequence of class numbers takes those rows of the file's. ``input_channels`` says
    how to make the first convolution for another number of channels: ``"repeat"`` the file's,
    scaled to keep the sum; their ``"mean"``; or the file's with ``"zeros"`` for further ones.
    ``assign`` puts the file's tensors in place of the network's, without a copy.

    Raises ``MismatchError`` with what is missing, unexpected and misshapen, ``BadTensorError``
    for tensors that cannot be weights, and what reading the file raises.
    """
    if isinstance(classifier, str):
        check_choice("classifier", classifier, ("strict", "new"))
    check_choice("input_channels", input_channels, INPUT_CHANNELS)
    if not isinstance(model, Network):
        raise TypeError(f"model must be a network of this library, not {type(model).__name__}.")
    checkpoint, weights, name = _open(source, key)
    if weights is not None and dialect is None:
        dialect = weights.dialect
    found = match(model, checkpoint.tensors, dialect)
    if found is None:
        near = near_dialects(model, checkpoint.tensors)
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
    if checkpoint.others:
        report.ignored += [f"{other} (key={other!r} takes it)" for other in checkpoint.others]
    tensors = Reader(model, checkpoint, found, report, classifier, input_channels).read()
    _fill(model, tensors, assign)
    report.loaded = len(tensors)
    model.load_report = report  # type: ignore[assignment]
    return report


def _open(source: Any, key: str | None) -> tuple[Checkpoint, Any, str]:
    """The tensors, the catalogue's entry if it is one, and what to call the source."""
    if isinstance(source, Mapping):
        return from_mapping(source, key=key), None, "a state dict"
    if not isinstance(source, (str, os.PathLike, Weights)):
        raise TypeError(
            "source must be a file, a state dict or published weights, not "
            f"{type(source).__name__}."
        )
    weights = None
    if isinstance(source, Weights):
        weights = source
    elif isinstance(source, str) and not Path(source).expanduser().exists():
        weights = find_weights(source)
    if weights is None:
        assert isinstance(source, (str, os.PathLike))
        return read_checkpoint(source, key=key), None, os.fspath(source)
    return read_checkpoint(fetch(weights), key=key or weights.key), weights, weights.name


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


@torch.no_grad()
def _fill(model: nn.Module, tensors: Mapping[str, Tensor], assign: bool) -> None:
    if not assign:
        state = model.state_dict()
        for name, tensor in tensors.items():
            state[name].copy_(tensor)
        return
    modules = dict(model.named_modules())
    for name, tensor in tensors.items():
        owner, _, last = name.rpartition(".")
        module = modules[owner]
        old = getattr(module, last)
        tensor = tensor.to(device=old.device, dtype=old.dtype)
        if isinstance(old, nn.Parameter):
            module._parameters[last] = nn.Parameter(tensor, requires_grad=old.requires_grad)
        else:
            module._buffers[last] = tensor


def export_state_dict(model: Network, dialect: str) -> dict[str, Tensor]:
    """The network's tensors under another library's names, for its ``load_state_dict``.

    Raises ``UnknownDialectError`` when the dialect cannot express the network, and
    ``CheckpointError`` for a tensor that has no place there (a bias that is not zero).
    """
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
