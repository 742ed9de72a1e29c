"""Weights that a training starts from: published ones, a file of any library, an earlier run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..blocks.residual import BasicUnit, Bottleneck, ResidualUnit
from ..checkpoints.catalogue import (
    Weights,
    find_weights,
    list_weights,
    weights_by_file,
    weights_info,
)
from ..checkpoints.errors import MismatchError
from ..checkpoints.models import build_filled, describes_itself, weights_file
from ..config import NetworkConfig, config_from_dict
from ..finetune import BATCH_NORMS
from ..network import Network
from ..registry import image_size, is_model, model_config
from .recipe import Recipe

_FILES = (".pth", ".pt", ".th", ".bin", ".safetensors", ".tar", ".zip")
_NO_GATE: dict[str, Any] = {"attention": None, "attention_args": {}, "attention_every": 1}


@dataclass(frozen=True)
class Start:
    """Where a training starts: a network with its weights, and what is known of them."""

    name: str
    source: Path | Weights
    known: Weights | None
    """how images come to it"""

    @cached_property
    def digest(self) -> str:
        """What the weights are, wherever they lie."""
        if isinstance(self.source, Weights):
            return f"{self.source.name} {self.source.hash}"
        with open(self.source, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def starting(recipe: Recipe, model: str) -> tuple[Recipe, Start | None]:
    """The recipe as it is for the weights that it names, and those; ``model`` is the network's
    name, whose published weights a tag (``tv_in1k``, or ``default``) means.

    What the recipe leaves open (size, crop, interpolation, mean, deviation) is as it was for the
    weights. Raises ValueError where there are none.
    """
    if recipe.weights is None:
        return recipe, None
    start = _find(recipe.weights, model)
    return _follow(recipe.replace(weights=start.name), start.known), start


def _find(weights: str, model: str) -> Start:
    path = Path(weights).expanduser()
    if path.exists():
        path = weights_file(path)
        said = describes_itself(path)
        known = said[1] if said else weights_by_file(path.name) or _usual(model)
        return Start(weights, path, known)
    if path.suffix in _FILES or len(path.parts) > 1:
        raise ValueError(f"There is no file or folder of weights {weights!r}.")
    found = find_weights(weights)
    if found is None:
        if not is_model(model):
            raise ValueError(
                f"weights={weights!r} is no file, no folder of a run and no name of the catalogue "
                "such as resnet50.tv2_in1k; a tag alone needs a network of the zoo."
            )
        found = weights_info(model, None if weights == "default" else weights)
    return Start(found.name, found, found)


def _usual(model: str) -> Weights:
    """How images most likely came to a file of which nothing is known: as to the network's
    published weights, or else as to ImageNet's."""
    if is_model(model):
        for each in list_weights(model):
            if each.channels == "rgb" and each.scale == 1:
                return replace(each, class_names=())
    usual = weights_info("resnet50.tv_in1k")
    size = image_size(model) if is_model(model) else usual.size
    return replace(usual, size=size, resize=round(size / 0.875))


def _follow(recipe: Recipe, known: Weights | None) -> Recipe:
    """The recipe with the weights' own size, crop, interpolation, mean and deviation where it
    says nothing else."""
    if known is None:
        return recipe
    of_weights: dict[str, Any] = {
        "mean": tuple(each / known.scale for each in _in_rgb(known, known.mean)),
        "std": tuple(each / known.scale for each in _in_rgb(known, known.std)),
        "interpolation": known.interpolation,
        "image_size": known.size,
    }
    if known.crop_mode == "center":
        of_weights["eval_crop"] = known.size / known.resize
    return recipe.replace(
        **{name: value for name, value in of_weights.items() if getattr(recipe, name) is None}
    )


def _in_rgb(known: Weights, values: tuple[float, ...]) -> tuple[float, ...]:
    return values[::-1] if known.channels == "bgr" else values


def fill(network: Network, start: Start, recipe: Recipe, classes: list[str]) -> list[str]:
    """Put the weights into a network that is initialised; what they do not have stays new: the
    classifier of other classes, and gates that are added. Gives what stayed new, in words.

    Raises ``MismatchError`` where anything else is missing or left over.
    """
    plain, source = _filled(network.config, start)
    theirs, ours = plain.state_dict(), network.state_dict()
    if start.known is not None and start.known.channels == "bgr":
        first = next(name for name, each in theirs.items() if each.ndim == 4)
        theirs[first] = theirs[first].flip(1)  # images come as red, green, blue
    head = {name for name in ours if name.startswith("head.")}
    names = start.known.class_names if start.known is not None else ()
    said = []
    if head and (source != network.num_classes or (names and list(names) != classes)):
        theirs = {name: each for name, each in theirs.items() if name not in head}
        said.append(f"a new classifier of {network.num_classes} classes")
    added = _units(network) if _gate(plain.config) != _gate(network.config) else {}
    new = tuple(f"{name}.attention." for name in added)
    missing = [n for n in ours if not (n in theirs or n in head or n.startswith(new))]
    old = tuple(f"{name}.attention." for name in _units(plain)) if added else ()
    spare = [
        name
        for name in theirs
        if name.startswith(old) or (name not in ours and not name.endswith(_COUNTER))
    ]
    if missing or spare:
        raise MismatchError(
            f"{start.name} does not fit this network: "
            + (f"it has no {', '.join(missing[:3])}; " if missing else "")
            + (f"the network has no {', '.join(spare[:3])}; " if spare else "")
            + "only a classifier and added gates can be new."
        )
    network.load_state_dict({name: theirs.get(name, each) for name, each in ours.items()})
    if added:
        text = f"{len(added)} new gates ({network.config.to_dict()['attention']})"
        if recipe.gate_start == "identity":
            failed = sum(not start_as_identity(unit) for unit in added.values())
            text += f", {len(added) - failed} of which start as the identity"
        said.append(text)
    return said


_COUNTER = "num_batches_tracked"


def _units(network: nn.Module) -> dict[str, nn.Module]:
    """The units of a network that have a gate, by name."""
    return {
        name: unit
        for name, unit in network.named_modules()
        if isinstance(getattr(unit, "attention", None), nn.Module)
    }


def _gate(config: NetworkConfig) -> list[Any]:
    names = ("attention", "attention_args", "attention_at", "attention_every")
    return [getattr(config, name, None) for name in names]


def _filled(config: NetworkConfig, start: Start) -> tuple[Network, int]:
    """The network that the weights are for, filled, as near to ``config`` as it can be, and how
    many classes they have."""
    norm = {"norm_layer": "batchnorm"} if config.norm_layer in BATCH_NORMS else {}
    like = config.replace(**norm)
    source: Any = start.source
    if isinstance(source, Weights):
        other: NetworkConfig | None = model_config(source.model).replace(**source.changes)
        classes = source.classes
    elif (said := describes_itself(source)) is not None:
        other, classes = config_from_dict(said[0]), said[0]["num_classes"]
    else:
        other, classes = None, 0
    options = {"classifier": "new"}
    if config.in_chans != (other.in_chans if other is not None else 3):
        options["input_channels"] = "repeat"
    tried = [like]
    if other is not None and hasattr(like, "attention") and hasattr(other, "attention"):
        gate = {name: getattr(other, name) for name in _NO_GATE}
        if hasattr(like, "attention_at"):
            gate["attention_at"] = getattr(other, "attention_at", "standard")
        tried = [like.replace(**gate)]
    elif other is None and getattr(like, "attention", None) not in (None, "none"):
        at = {"attention_at": "standard"} if hasattr(like, "attention_at") else {}
        tried.insert(0, like.replace(**_NO_GATE, **at))
    for each in tried:
        try:
            network = build_filled(each, source, **options)
        except MismatchError:
            if each is tried[-1]:
                raise
            continue
        if other is None:
            report: Any = network.load_report
            new = any(text.startswith("new classifier") for text in report.adapted)
            classes = 0 if new else config.num_classes
        return network, classes
    raise AssertionError("one is tried")


@torch.no_grad()
def start_as_identity(unit: nn.Module) -> bool:
    """Let a unit with a new gate compute what it computed without one, if the gate allows it.

    The last layer of the gate, or those that it names in ``ends``, starts at zero, so that the
    gate multiplies each channel by a constant (a half, after a sigmoid), which the normalisation
    before it makes up for. The layer has gradients from the first step. False, and nothing
    changed, where the gate has no such layer, or no normalisation stands before it.
    """
    gate, norm = unit.attention, _norm_before(unit)
    assert isinstance(gate, nn.Module)
    ends = getattr(gate, "ends", ())
    layers = [each for each in gate.modules() if list(each.parameters(recurse=False))][-1:]
    layers = [gate.get_submodule(name) for name in ends] or layers
    weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    if not layers or weight is None or bias is None:
        return False
    last = [each for layer in layers for each in layer.parameters(recurse=False)]
    before = [each.clone() for each in last]
    for each in last:
        each.zero_()
    factor = _constant(gate, len(weight))
    if factor is None:
        for each, old in zip(last, before, strict=True):
            each.copy_(old)
        return False
    weight.div_(factor)
    bias.div_(factor)
    return True


def _norm_before(unit: nn.Module) -> nn.Module | None:
    """The normalisation in which a gate's factor can be made up for: a ReLU between them keeps
    it."""
    where = getattr(unit, "attention_at", None)
    if isinstance(unit, ResidualUnit) and where == "standard":
        return unit.last_norm()
    if isinstance(unit, (BasicUnit, Bottleneck)) and where == "inner":
        part = unit.conv1 if isinstance(unit, BasicUnit) else unit.conv2
        if isinstance(getattr(part, "act", None), nn.ReLU):
            return getattr(part, "norm", None)
    return None


def _constant(gate: nn.Module, channels: int) -> Tensor | None:
    """What a gate multiplies each channel with, if it does so whatever it sees."""
    was_training = gate.training
    draw = torch.Generator().manual_seed(0)
    factors = []
    for training in (False, True):
        gate.train(training)
        state = {name: each.clone() for name, each in gate.state_dict().items()}
        x = torch.rand(4, channels, 6, 6, generator=draw) + 0.5
        factors.append(gate(x) / x)
        gate.load_state_dict(state)  # a normalisation in the gate has seen the images
    gate.train(was_training)
    factor = factors[0].mean(dim=(0, 2, 3))
    same = all(
        torch.allclose(each, factor.view(1, -1, 1, 1).expand_as(each), rtol=1e-5)
        for each in factors
    )
    return factor if same and bool((factor > 1e-3).all()) else None


def describe(
    label: str, config: NetworkConfig, recipe: Recipe, data: Any, top1: float | None
) -> Weights:
    """What a run's weights are, in the words of the catalogue."""
    side = recipe.eval_size or recipe.image_size or data.shape[1]
    squash = recipe.eval_crop is None and recipe.crop != "resized"
    return Weights(
        model=label,
        tag=f"seed{recipe.seed}",
        url="",
        hash="unknown",
        dialect="resnet_variants",
        license="unknown",
        dataset=recipe.data,
        classes=config.num_classes,
        size=side,
        resize=round(side / (recipe.eval_crop or 1)),
        interpolation=recipe.interpolation or "bilinear",
        mean=_of_channels(data.mean, config.in_chans),
        std=_of_channels(data.std, config.in_chans),
        crop_mode="squash" if squash else "center",
        class_names=tuple(data.classes),
        top1=top1,
    )


def _of_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return tuple(values) * channels if len(values) == 1 else tuple(values)
