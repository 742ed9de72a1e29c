"""A gate hung on any convolutional network, like a pendant: the host keeps its weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..blocks.attention import GateFactory
from ..builders.stages import check_gate, make_gate

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
        for each in self.attached:
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
    residual units before the shortcut's addition (their last normalisation), and elsewhere
    every module whose convolutions end a stage of resolution. ``example`` is an image batch
    that is run once to see the channels; (1, 3, 224, 224) zeros unless given.

    The modules' outputs must be feature maps (N, C, H, W). Nothing is changed when one is not,
    or when nothing matches: ValueError. Returns a report of where the gates landed, which can
    also take them off again.
    """
    check_gate(attention, attention_args or {})
    shapes = _output_shapes(model, example)
    chosen = _choose(model, where, shapes)
    if not chosen:
        raise ValueError(
            f"where={where!r} matches no module of this {type(model).__name__} that ran. "
            f"Its modules: {', '.join(list(shapes)[:12])}, …"
        )
    for name in chosen:
        if len(shapes[name]) != 4:
            raise ValueError(
                f"{name} gives {shapes[name]}, which is no feature map (N, C, H, W) to gate."
            )
    like = next(model.parameters())
    attached = []
    for name in chosen:
        channels = shapes[name][1]
        gate = make_gate(attention, attention_args or {}, channels, channels, norm=nn.BatchNorm2d)
        assert gate is not None
        gate.to(device=like.device, dtype=like.dtype).train(model.training)
        _put(model, name, Gated(model.get_submodule(name), gate))
        attached.append(Attachment(name, channels, sum(p.numel() for p in gate.parameters())))
    return AttachReport(model, tuple(attached))


def _output_shapes(model: nn.Module, example: Tensor | None) -> dict[str, tuple[int, ...]]:
    """Shape of each module's output, in the order in which they ran; eval mode, no gradient."""
    like = next(model.parameters())
    if example is None:
        example = torch.zeros(1, 3, 224, 224, device=like.device, dtype=like.dtype)
    shapes: dict[str, tuple[int, ...]] = {}

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def hook(_: nn.Module, __: tuple[Any, ...], out: Any) -> None:
            shapes[name] = tuple(out.shape) if isinstance(out, Tensor) else ()

        return module.register_forward_hook(hook)

    handles = [watch(name, module) for name, module in model.named_modules() if name]
    training = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()(example)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training.items():
            module.training = mode
    return shapes


def _choose(
    model: nn.Module, where: Where | None, shapes: Mapping[str, tuple[int, ...]]
) -> list[str]:
    modules = {name: model.get_submodule(name) for name in shapes}
    if where is None:
        return _as_papers(modules, shapes)
    if isinstance(where, str):
        pattern = re.compile(where)
        return [name for name in modules if pattern.fullmatch(name)]
    if isinstance(where, type):
        return [name for name, module in modules.items() if isinstance(module, where)]
    return [name for name, module in modules.items() if where(name, module)]


def _as_papers(
    modules: Mapping[str, nn.Module], shapes: Mapping[str, tuple[int, ...]]
) -> list[str]:
    """The last normalisation of each residual unit; without residual units, the outermost
    modules inside the network's trunk that hold convolutions and give a feature map."""
    units = [
        name
        for name, module in modules.items()
        if any(hasattr(module, slot) for slot in ("downsample", "use_res_connect", "shortcut"))
    ]
    if units:
        ends = (_branch_end(modules[name]) for name in units)
        return [f"{unit}.{end}" for unit, end in zip(units, ends, strict=True) if end]
    blocks = [name for name, module in modules.items() if _is_block(module, shapes[name])]
    if blocks:
        return blocks
    return [
        name
        for name, module in modules.items()
        if isinstance(module, nn.Conv2d) and len(shapes[name]) == 4
    ]


def _branch_end(unit: nn.Module) -> str | None:
    """The normalisation that ends a unit's residual branch."""
    if getattr(unit, "use_res_connect", True) is False:
        return None
    norms = [
        name
        for name, module in unit.named_modules()
        if isinstance(module, nn.BatchNorm2d) and not name.startswith(("downsample", "shortcut"))
    ]
    return norms[-1] if norms else None


def _is_block(module: nn.Module, shape: tuple[int, ...]) -> bool:
    """A block of the kind that Inception and DenseNet are made of: named so by its class."""
    kind = type(module).__name__
    return len(shape) == 4 and bool(re.match(r"(Inception[A-Z]?$|InceptionAux$|_DenseBlock)", kind))


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
