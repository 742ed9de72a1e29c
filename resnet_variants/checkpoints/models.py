"""Networks with their weights in: created from published or own files, saved and loaded."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from ..blocks.layers import skip_init
from ..builders import build_on
from ..config import NetworkConfig, config_from_dict
from ..network import Network, network_of
from ..storage import read_fields, sha256
from .catalogue import Weights, weights_from_dict, weights_info
from .errors import CheckpointError
from .files import read_checkpoint, shown, write_checkpoint
from .loading import Options, tensors_for
from .report import first_few
from .told import sizes_told, source_told

T = TypeVar("T")
_CONFIG, _WEIGHTS = "resnet_variants.config", "resnet_variants.weights"
DEPLOYED = "resnet_variants.deployed"
"""what the files of deployed networks have in their metadata"""
RUN_WEIGHTS = "model.safetensors"
"""the weights in a run's folder"""
RUN_RESULT = "result.json"
"""what the run gave, with the checksum of its weights"""


def create_with_weights(
    name: str,
    config: NetworkConfig,
    *,
    asked: Mapping[str, Any],
    pretrained: bool | str | None = False,
    told: Mapping[str, Any] | None = None,
    checkpoint_path: str | os.PathLike[str] | None = None,
    allow_unverified: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Network:
    """Build the network of ``config`` with weights in it; ``name`` is the zoo's.

    With published weights, ``num_classes`` and ``in_chans`` where they were ``asked`` for, as
    arguments, adapt: a new classifier, a first convolution made of the published one. A file
    must fit as it is. ``told`` is what ``pretrained_cfg`` says of the weights that
    ``pretrained=True`` takes. ``model.load_report`` says what was done.
    """
    if not isinstance(pretrained, bool | str | None):
        raise TypeError(f"pretrained must be True, False or a tag, not {pretrained!r}.")
    if checkpoint_path == "":
        raise ValueError("checkpoint_path is empty: give the name of a file.")
    if pretrained and checkpoint_path is not None:
        raise ValueError(
            "Give pretrained or checkpoint_path, not both: they are two sets of weights."
        )
    told = told or {}
    source: Any = checkpoint_path
    adapt: dict[str, Any] = {"allow_unverified": allow_unverified}
    if pretrained is True and (theirs := source_told(told)) is not None:
        source = theirs
        classes, chans = sizes_told(told)
        adapt |= adapted(config, config.num_classes if classes is None else classes, chans)
    elif pretrained:
        source = weights_info(name, told.get("tag") if pretrained is True else pretrained)
        config = config.replace(**{k: v for k, v in source.changes.items() if k not in asked})
        if not config.features_only and "num_classes" not in asked:
            config = config.replace(num_classes=source.classes)
        adapt |= adapted(config, source.classes, 3)
    model = build_filled(config, source, **adapt)
    return model.to(device=device, dtype=dtype)


def adapted(config: NetworkConfig, classes: int, chans: int) -> dict[str, str]:
    """What is done to a file's network of so many classes and channels to make it ``config``'s."""
    adapt = {}
    if not config.features_only and config.num_classes not in (0, classes):
        adapt["classifier"] = "new"
    if config.in_chans != chans:
        adapt["input_channels"] = "repeat"
    return adapt


def build_filled(config: NetworkConfig, source: Any, **options: Any) -> Network:
    """The network with a file's tensors in the place of its own: nothing is drawn, and nothing
    copied a second time."""
    with skip_init():
        model = build_on(config)
    tensors, report = tensors_for(model, model.state_dict(), source, Options(**options), adopt=True)
    modules = dict(model.named_modules())
    for name, tensor in tensors.items():
        owner, _, last = name.rpartition(".")
        module = modules[owner]
        if (old := module._parameters.get(last)) is not None:
            module._parameters[last] = nn.Parameter(tensor, requires_grad=old.requires_grad)
        else:
            module._buffers[last] = tensor
    if any(each.startswith("new classifier") for each in report.adapted):
        model.reset_classifier(config.num_classes)
    model.load_report = report  # type: ignore[assignment]
    return model


def save(model: Network, path: str | os.PathLike[str]) -> Path:
    """Write a network to one safetensors file: weights, configuration, preprocessing.

    ``load(path)`` needs nothing else. The file appears when it is complete. Raises ValueError
    for another suffix than ``.safetensors``, or a part without a name in the configuration.
    """
    model = network_of(model)
    if Path(path).suffix != ".safetensors":
        raise ValueError(
            f"{os.fspath(path)}: a network is saved as .safetensors, which can carry its "
            "configuration. For others: write_checkpoint(export_state_dict(model, dialect), path)."
        )
    metadata = described(model.config, weights_of(model))
    return write_checkpoint(model.state_dict(), path, metadata=metadata)


def described(config: NetworkConfig, weights: Weights | None) -> dict[str, str]:
    """What a file of weights says of itself, so that ``load`` needs nothing else."""
    said = {_CONFIG: json.dumps(config.to_dict())}
    return said if weights is None else said | {_WEIGHTS: json.dumps(weights.to_dict())}


def describes_itself(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Any], Weights | None] | None:
    """The configuration, as JSON values, and the weights' entry that a file has in it; None for
    a file of another library."""
    said = _metadata(path)
    if _CONFIG not in said:
        return None
    config = _said(path, said, _CONFIG, dict[str, Any])
    assert config is not None
    return config, _said(path, said, _WEIGHTS, weights_from_dict)


def is_deployed(path: str | os.PathLike[str]) -> bool:
    """Whether a path is that of a deployed network's file."""
    return Path(path).is_file() and DEPLOYED in _metadata(path)


def _metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """What a safetensors file says beside its tensors; of any other, nothing."""
    if Path(path).suffix != ".safetensors":
        return {}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except SafetensorError:  # the reader says what is wrong with it
        return {}


def weights_file(path: str | os.PathLike[str]) -> Path:
    """The file of weights that a path names: itself, or that of a run's folder.

    Raises ValueError for a folder without one, and CheckpointError for one with that of another.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        return path
    if not (path / RUN_WEIGHTS).is_file():
        unfinished = (path / "checkpoint.pt").exists()
        raise ValueError(
            f"The folder {str(path)!r} holds no {RUN_WEIGHTS}: "
            + (
                "its run is not finished, the command that began it goes on."
                if unfinished
                else "it is not that of a run."
            )
        )
    file, result = path / RUN_WEIGHTS, path / RUN_RESULT
    if result.exists():
        digest = read_fields(result, files=dict).get("files", {}).get(RUN_WEIGHTS)
        if digest is not None and digest != sha256(file):
            raise CheckpointError(
                f"{shown(file)} is damaged, or of another run: {RUN_RESULT} beside it has another "
                "checksum of it."
            )
    return file


def load(
    path: str | os.PathLike[str],
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Network:
    """The network that ``save`` or a training run wrote: built from the file's configuration and
    filled. ``path`` is the file, or the run's folder."""
    path = weights_file(path)
    checkpoint = read_checkpoint(path)
    if DEPLOYED in checkpoint.metadata:
        raise CheckpointError(
            f"{shown(path)} is a deployed network, ready to run: load_deployed(path) reads it."
        )
    config = _said(path, checkpoint.metadata, _CONFIG, config_from_dict)
    if config is None:
        raise CheckpointError(
            f"{shown(path)} has no configuration: it was not written by resnet_variants.save. "
            "Name its network: create_model(name, checkpoint_path=...)."
        )
    weights = _said(path, checkpoint.metadata, _WEIGHTS, weights_from_dict)
    model = build_filled(config, checkpoint)
    report: Any = model.load_report
    if report is not None and report.ignored:
        raise CheckpointError(
            f"{shown(path)} has tensors that the network of its configuration has not: "
            f"{first_few(report.ignored)}."
        )
    if weights is not None:
        model.load_report.weights = weights  # type: ignore[union-attr]
    return model.to(device=device, dtype=dtype)


def _said(
    path: str | os.PathLike[str],
    metadata: Mapping[str, str],
    name: str,
    make: Callable[[dict[str, Any]], T],
) -> T | None:
    """What a file's metadata say under a name; None where they say nothing."""
    if (text := metadata.get(name)) is None:
        return None
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise TypeError(f"{type(values).__name__} in place of a table")
        return make(values)
    except Exception as error:
        raise CheckpointError(f"{shown(path)} has no {name} that can be used: {error}") from error


def weights_of(model: object) -> Weights | None:
    """The catalogue's entry of the published weights in a network, if it has some."""
    return getattr(getattr(model, "load_report", None), "weights", None)
