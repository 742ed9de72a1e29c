"""A gate hung on any convolutional network, like a pendant: the host keeps its weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..blocks.gates import GateFactory, check_gate, make_gate, resolve_gate
from ..choices import unknown
from .watching import output_shapes

Shapes = Mapping[str, list[tuple[int, ...]]]
# what Inception and DenseNet are made of, by the names of their classes
_BLOCK = re.compile(r"Inception[A-Z]?|_?DenseBlock")
Where = str | type[nn.Module] | Callable[[str, nn.Module], bool]


@dataclass(frozen=True)
class Attachment:
    """Where a gate landed."""

    name: str
    """the host's module whose output is gated"""
    channels: int
    params: int


@dataclass(frozen=True)
class AttachReport:
    """Where gates landed, and how to take them off again."""

    model: nn.Module
    attached: tuple[Attachment, ...]

    @property
    def params(self) -> int:
        """Parameters that the gates add."""
        return sum(each.params for each in self.attached)

    def remove(self) -> None:
        """Take the gates off: the host is what it was."""
        for each in reversed(self.attached):  # a module inside another was gated first
            module = self.model.get_submodule(each.name)
            if isinstance(module, Gated):
                _put(self.model, each.name, module.host)

    def __str__(self) -> str:
        lines = [f"{each.name}: {each.channels} channels, +{each.params}" for each in self.attached]
        return "\n".join([f"{len(lines)} gates, {self.params} parameters", *lines])


class Gated(nn.Module):
    """A module of the host with a gate on its output."""

    def __init__(self, host: nn.Module, attention: nn.Module) -> None:
        super().__init__()
        self.host = host
        self.attention = attention

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.attention(self.host(*args, **kwargs))


def attach_attention(
    model: nn.Module,
    attention: str | GateFactory,
    where: Where | None = None,
    *,
    attention_args: Mapping[str, Any] | None = None,
    example: Tensor | None = None,
) -> AttachReport:
    """Hang a gate on the outputs of some modules of any convolutional network, in place.

    ``where`` chooses the modules: a module type, a pattern of names (a regular expression that
    matches the whole name), or a function of name and module. None gates where the papers do:
    residual units before the shortcut's addition; without such units the blocks of Inception
    and DenseNet; without those every convolution. ``example`` is an image batch that is run
    once to see the channels; (1, 3, 224, 224) zeros unless given.

    The modules' outputs must be feature maps (N, C, H, W), of one number of channels. Nothing
    is changed when one is not, or when nothing matches: ValueError. Returns a report of where
    the gates landed, which can also take them off again.
    """
    args = attention_args or {}
    check_gate(attention, args)
    if resolve_gate(attention) is None:
        raise ValueError(f"attention={attention!r} names no gate to attach.")
    shapes = _shapes(model, example)
    chosen = _choose(model, where, shapes)
    if not chosen:
        raise unknown(f"place where= in this {type(model).__name__}", where, shapes)
    channels = {name: _channels(name, shapes[name]) for name in chosen}
    like = next(model.parameters())
    attached = []
    for name, count in channels.items():
        gate = make_gate(attention, args, count, norm=nn.BatchNorm2d)
        assert gate is not None
        host = model.get_submodule(name)
        gate.to(device=like.device, dtype=like.dtype)
        _put(model, name, Gated(host, gate).train(host.training))
        attached.append(Attachment(name, count, sum(p.numel() for p in gate.parameters())))
    return AttachReport(model, tuple(attached))


def _shapes(model: nn.Module, example: Tensor | None) -> Shapes:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a module of torch, not {type(model).__name__}.")
    if example is None:
        like = next(model.parameters())
        example = torch.zeros(1, 3, 224, 224, device=like.device, dtype=like.dtype)
    elif not isinstance(example, Tensor):
        raise TypeError(f"example must be a batch of images, not {type(example).__name__}.")
    try:
        return output_shapes(model, example)
    except RuntimeError as error:
        raise ValueError(
            f"This {type(model).__name__} takes no image {tuple(example.shape)}: give example=, a "
            f"batch that it takes. It said: {error}"
        ) from error


def _channels(name: str, shapes: Sequence[tuple[int, ...]]) -> int:
    """Of what a module gives each time it runs."""
    if any(len(shape) != 4 for shape in shapes):
        found = shapes[0] or "no tensor"
        raise ValueError(f"{name} gives {found}, which is no feature map (N, C, H, W) to gate.")
    counts = {shape[1] for shape in shapes}
    if len(counts) > 1:
        raise ValueError(
            f"{name} runs {len(shapes)} times in a pass, with {sorted(counts)} channels: one gate "
            "cannot take them all. Choose modules that run once."
        )
    return counts.pop()


def _choose(model: nn.Module, where: Where | None, shapes: Shapes) -> list[str]:
    modules = {name: model.get_submodule(name) for name in shapes}
    if where is None:
        return _as_papers(modules, shapes)
    if isinstance(where, str):
        try:
            pattern = re.compile(where)
        except re.error as error:
            raise ValueError(f"where={where!r} is no regular expression: {error}.") from None
        return [name for name in modules if pattern.fullmatch(name)]
    if isinstance(where, type):
        return [name for name, module in modules.items() if isinstance(module, where)]
    return [name for name, module in modules.items() if where(name, module)]


def _as_papers(modules: Mapping[str, nn.Module], shapes: Shapes) -> list[str]:
    """The end of each residual unit's branch; without residual units the blocks of
    Inception and DenseNet; without those every convolution that gives a feature map."""
    units = [
        name
        for name, module in modules.items()
        if any(hasattr(module, slot) for slot in ("downsample", "use_res_connect", "shortcut"))
    ]
    if units:
        return [end for unit in units if (end := _branch_end(unit, modules))]
    maps = [name for name in modules if len(shapes[name][0]) == 4]
    blocks = [name for name in maps if _BLOCK.fullmatch(type(modules[name]).__name__)]
    return blocks or [name for name in maps if isinstance(modules[name], nn.Conv2d)]


def _branch_end(unit: str, modules: Mapping[str, nn.Module]) -> str | None:
    """The last convolution or normalisation that ran in a unit's residual branch."""
    if getattr(modules[unit], "use_res_connect", True) is False:
        return None
    aside = tuple(f"{unit}.{slot}" for slot in ("downsample", "shortcut", "attention"))
    ends = [
        name
        for name, module in modules.items()
        if name.startswith(f"{unit}.")
        and not name.startswith(aside)
        and (isinstance(module, nn.Conv2d) or "Norm2d" in type(module).__name__)
    ]
    return ends[-1] if ends else None


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
