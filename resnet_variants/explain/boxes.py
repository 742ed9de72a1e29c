"""What a diagram says: a network as its stages, a unit as its slots, as boxes of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from ..blocks.attention_module import AttentionModule
from ..blocks.convs import PlainConv
from ..blocks.inception import Concat
from ..blocks.layers import ConvNormAct
from ..blocks.preactivation import PreActivation, PreActUnit
from ..blocks.residual import ResidualUnit
from ..blocks.shuffle import Join, ShuffleUnit, Split
from ..network import Network
from .watching import output_shapes

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Box:
    """A box of a diagram: its slot's name, and the lines that say what fills it."""

    slot: str
    lines: tuple[str, ...]
    side: bool = False
    """beside the column, on the way that goes around it"""
    source: str = ""
    """the modules in it, as torch prints them: what is compared beside the lines"""


@dataclass(frozen=True)
class Column:
    """Boxes from the top down, and the way around them."""

    title: str
    boxes: tuple[Box, ...]
    leaves_after: str = ""
    """slot behind which the way around begins; empty: before the first one"""
    joins_at: str = ""
    """slot where it ends; empty: there is none"""


def trace(model: Network, size: int) -> Shapes:
    """The shape of the image and of each module's output, in the order in which they ran."""
    like = next(model.parameters())
    shape = (1, model.config.in_chans, size, size)
    calls = output_shapes(model, torch.zeros(shape, device=like.device, dtype=like.dtype))
    return {"image": shape} | {name: shapes[-1] for name, shapes in calls.items()}


def network_column(name: str, model: Network, shapes: Shapes) -> Column:
    """The image, the stem, each stage, the head."""
    stem = [describe(m) for m in model.stem.modules() if isinstance(m, (ConvNormAct, *_POOLS))]
    boxes = [
        Box("image", (_shape(shapes["image"]),)),
        Box("stem", (*stem, _gives(shapes, "stem")), source=repr(model.stem)),
    ]
    for i, stage in enumerate(model.stages):
        units = list(stage.children())
        kinds = Counter(type(unit).__name__ for unit in units)
        parts = _parts(units)
        count = sum(p.numel() for p in stage.parameters())
        lines = (
            ", ".join(f"{n} × {kind}" for kind, n in kinds.items()),
            *([f"with {', '.join(parts)}"] if parts else []),
            f"{_gives(shapes, f'stages.{i}')}, {count:,} parameters",
        )
        boxes.append(Box(f"stage {i}", lines, source=repr(stage)))
    head = model.head
    final = [] if isinstance(head.final, nn.Identity) else [describe(head.final)]
    pool = {"avg": "global mean", "": "no pooling"}.get(
        head.global_pool, f"global {head.global_pool}"
    )
    classes = f"classifier, {model.num_classes} classes" if model.num_classes else "features"
    boxes.append(Box("head", (*final, pool, classes), source=repr(head)))
    return Column(name, tuple(boxes))


def unit_column(
    title: str, model: Network, shapes: Shapes, stage: int | None, block: int
) -> Column:
    """The slots of a unit in the order in which they run, those on the shortcut aside."""
    name = _unit_at(title, model, stage, block)
    unit = model.get_submodule(name)
    joins = _join(unit)
    boxes = []
    for slot in _slots(unit, name, shapes):
        if joins is not None and slot == joins.before:
            boxes.append(joins.box)
        module = unit.get_submodule(slot)
        side = slot in joins.around if joins is not None else False
        if isinstance(module, nn.Identity) and not side:
            continue
        if slot == "act" and isinstance(unit, ShuffleUnit) and unit.join and unit.residual:
            boxes.append(Box("add", ("+ the branch's input",)))
        gives = [_gives(shapes, f"{name}.{slot}")] if shapes.get(f"{name}.{slot}") else []
        boxes.append(Box(slot, (*_lines(module), *gives), side, repr(module)))
    if joins is not None and joins.box not in boxes and joins.box.lines:
        boxes.append(joins.box)
    if not boxes:
        boxes.append(Box(type(unit).__name__, _lines(unit), source=repr(unit)))
    if not any(line.startswith("→") for line in boxes[-1].lines):
        boxes[-1] = replace(boxes[-1], lines=(*boxes[-1].lines, _gives(shapes, name)))
    if joins is None:
        return Column(f"{name}: {type(unit).__name__}", tuple(boxes))
    ended = joins.box.slot
    return Column(f"{name}: {type(unit).__name__}", tuple(boxes), joins.leaves_after, ended)


def differing(column: Column, twin: Column) -> set[str]:
    """The slots of a column that its twin lacks or fills otherwise."""
    other = {box.slot: (box.lines, box.source) for box in twin.boxes}
    return {box.slot for box in column.boxes if other.get(box.slot) != (box.lines, box.source)}


@dataclass(frozen=True)
class _Join:
    """Where a unit's ways come together: a box of no module before the slot ``before`` (at the
    end if none is called so), or a slot of its own where the box has no lines."""

    box: Box
    before: str
    around: tuple[str, ...]
    leaves_after: str = ""


def _join(unit: nn.Module) -> _Join | None:
    add = Box("add", ("+ shortcut",))
    if isinstance(unit, AttentionModule):
        rule = "mask × trunk" if unit.learning == "naive" else "(1 + mask) × trunk"
        return _Join(Box("weigh", (rule,)), "after", ("mask",), "before")
    if isinstance(unit, PreActUnit):
        return _Join(add, "", ("shortcut",), "before" if unit.projects else "")
    if isinstance(unit, ShuffleUnit):
        if unit.join is not None:
            return _Join(Box("join", ()), "", ("split", "projection"))
        return _Join(add, "act", ("shortcut",))
    if isinstance(unit, ResidualUnit):
        side = ("attention",) if unit.attention_at == "identity" else ()
        rule = "+ shortcut" if unit.scale == 1 else f"input + {unit.scale:.2g} × branch"
        return _Join(Box("add", (rule,)), "act", (*side, "shortcut"))
    return None


def _slots(unit: nn.Module, name: str, shapes: Shapes) -> list[str]:
    """A unit's children that ran, in that order."""
    children = [child for child, _ in unit.named_children()]
    ran = [each.removeprefix(f"{name}.") for each in shapes if each.startswith(f"{name}.")]
    first = list(dict.fromkeys(each.split(".")[0] for each in ran))
    if isinstance(unit, ShuffleUnit) and unit.join is not None and "shortcut" in first:
        first.remove("shortcut")  # the addition inside the branch has nothing on its shortcut
    return [child for child in first if child in children]


_POOLS = (nn.MaxPool2d, nn.AvgPool2d)
_SHOWN = (ConvNormAct, nn.Conv2d, nn.Conv1d, nn.Linear, nn.Sigmoid, nn.Softmax)


def describe(module: nn.Module) -> str:
    """A module in a line: kernel, channels, stride, groups, activation."""
    if isinstance(module, (ConvNormAct, nn.Conv2d)):
        conv = module.conv if isinstance(module, ConvNormAct) else module
        k = "×".join(map(str, conv.kernel_size))
        text = f"{k} conv, {conv.in_channels} → {conv.out_channels}"
        if conv.stride[0] > 1:
            text += f", /{conv.stride[0]}"
        if conv.groups > 1:
            depthwise = conv.groups == conv.in_channels
            text += ", depthwise" if depthwise else f", {conv.groups} groups"
        if conv.dilation[0] > 1:
            text += f", dilation {conv.dilation[0]}"
        return text
    if isinstance(module, nn.Conv1d):
        return f"convolution over channels, k = {module.kernel_size[0]}"
    if isinstance(module, nn.Linear):
        return f"linear, {module.in_features} → {module.out_features}"
    if isinstance(module, _POOLS):
        kind = "max" if isinstance(module, nn.MaxPool2d) else "mean"
        return f"{module.kernel_size}×{module.kernel_size} {kind} pooling, /{module.stride}"
    if isinstance(module, Join):
        return "channels alternate" if module.alternate else "concatenated"
    if isinstance(module, Split):
        return "even and odd channels" if module.alternate else "two halves of the channels"
    if isinstance(module, PreActivation):
        return " · ".join(filter(None, map(_short, module.children())))
    if isinstance(module, nn.Sequential) and len(module):
        return ", then ".join(describe(each) for each in module)
    if isinstance(module, nn.Identity):
        return "identity"
    if _short(module) != type(module).__name__:
        return _short(module)
    numbers = module.extra_repr().replace("inplace=True", "").strip(", ")
    leaf = not list(module.children())
    return type(module).__name__ + (f" {numbers}" if numbers and leaf else "")


def _lines(module: nn.Module) -> tuple[str, ...]:
    """A module in a few lines: what it is, and the layers inside, equal ones counted."""
    if isinstance(module, ConvNormAct):
        pool = getattr(module, "pool", None)
        before = [describe(pool)] if isinstance(pool, _POOLS) else []
        after = [n for n in (_short(module.norm), _short(module.act)) if n]
        selection = getattr(module, "selection", None)
        inner = (
            [f"{type(module).__name__}:", *_inside(selection)]
            if isinstance(selection, nn.Module)
            else []
        )
        return (*before, describe(module), *([" · ".join(after)] if after else []), *inner)
    if isinstance(module, (Concat, nn.ModuleList)):
        branches = module.branches if isinstance(module, Concat) else module
        return ("side by side, concatenated:", *(f"– {describe(each)}" for each in branches))
    if isinstance(module, (nn.Sequential, nn.Identity)):
        return (describe(module),)
    inside = _inside(module)
    return (describe(module) if not inside else type(module).__name__, *inside)


def _inside(module: nn.Module) -> list[str]:
    counted: dict[str, int] = {}
    skip: set[nn.Module] = set()
    for each in module.modules():
        if each in skip or each is module:
            continue
        if isinstance(each, ConvNormAct):
            skip.update(each.modules())
        if isinstance(each, _SHOWN):
            text = describe(each)
            counted[text] = counted.get(text, 0) + 1
    # A gate's last function is made first and runs last.
    last = [text for text in ("Sigmoid", "Softmax dim=1") if text in counted]
    counted |= {text: counted.pop(text) for text in last}
    lines = [text if n == 1 else f"{n} × ({text})" for text, n in counted.items()]
    return lines if len(lines) <= 6 else [*lines[:5], f"… and {len(lines) - 5} more kinds of layer"]


def _parts(units: Sequence[nn.Module]) -> list[str]:
    """What the last of a stage's units is known by: its inner convolution and its gate."""
    unit, found = units[-1], []
    conv, gate = getattr(unit, "conv2", None), getattr(unit, "attention", None)
    if conv is not None:
        plain = type(conv) in (ConvNormAct, PlainConv)
        found.append(describe(conv) if plain else type(conv).__name__)
    if gate is not None and not isinstance(gate, nn.Identity):
        found.append(type(gate).__name__)
    return found


def _short(module: nn.Module) -> str:
    names = {"BatchNorm2d": "BN", "Identity": "", "GroupNorm": "GN"}
    return names.get(type(module).__name__, type(module).__name__)


def _gives(shapes: Shapes, name: str) -> str:
    return f"→ {_shape(shapes[name])}"


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape[1:]))


def _unit_at(title: str, model: Network, stage: int | None, block: int) -> str:
    stage = min(1, len(model.stages) - 1) if stage is None else stage
    if not 0 <= stage < len(model.stages):
        raise ValueError(f"stage={stage}: {title} has stages 0 to {len(model.stages) - 1}.")
    units = len(list(model.stages[stage].children()))
    if not 0 <= block < units:
        raise ValueError(f"block={block}: stage {stage} of {title} has units 0 to {units - 1}.")
    return f"stages.{stage}.{block}"
