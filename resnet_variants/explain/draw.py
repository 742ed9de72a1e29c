"""Diagrams: a network as its stages, one unit as its slots, two networks side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..blocks.layers import ConvNormAct
from ..blocks.residual import ResidualUnit
from ..network import Network
from ..registry import create_model

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, GAP = 3.4, 0.34  # of a box, and between boxes, in inches
LINE = 0.2  # height of a line of text


@dataclass(frozen=True)
class Box:
    """A box of a diagram: its slot's name, and the lines that say what fills it."""

    slot: str
    lines: tuple[str, ...]
    side: bool = False
    """beside the column, on the shortcut"""


def draw(
    *names: str,
    stage: int | None = None,
    block: int = 0,
    input_size: int | None = None,
    out: Path = Path("network.png"),
    **config: Any,
) -> Path:
    """Draw one network, or two side by side with what differs marked.

    Args:
        names: one or two models of the zoo.
        stage: the stage (from 0) whose unit is drawn; the second one by default.
        block: the unit (from 0) of that stage.
        input_size: side of the image; 224, or what the model is for.
        out: the file to write, .png or .svg.
        config: changes of the configuration, as in ``create_model``.

    Raises ValueError for another number of names, a stage or unit that the network lacks, or
    a format that cannot be drawn.
    """
    if out.suffix not in (".png", ".svg"):
        raise ValueError(f"out={out} must be a .png or an .svg.")
    if len(names) not in (1, 2):
        raise ValueError(f"One or two networks can be drawn, not {len(names)}: {names}.")
    models = {name: create_model(name, device="meta", **config) for name in names}
    figure = figure_of(models, stage=stage, block=block, input_size=input_size)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, bbox_inches="tight", dpi=130)
    return out


def figure_of(
    models: dict[str, Network],
    *,
    stage: int | None = None,
    block: int = 0,
    input_size: int | None = None,
) -> Figure:
    """The diagram of one or two networks, as a matplotlib figure."""
    from matplotlib.figure import Figure

    columns: list[tuple[str, list[Box]]] = []
    for name, model in models.items():
        size = input_size or (32 if model.min_size <= 8 else 224)
        shapes = trace(model, size)
        at = _unit_at(model, stage, block)
        columns.append((name, network_boxes(model, shapes, size)))
        unit = model.get_submodule(at)
        title = f"{at}: {type(unit).__name__}"
        columns.append((title, unit_boxes(unit, at, shapes)))
    height = max(_height(boxes) for _, boxes in columns) + 0.6
    figure = Figure(figsize=(len(columns) * (WIDTH + 1.9), height))
    half = len(columns) // 2
    for i, (title, boxes) in enumerate(columns):
        twin = columns[(i + half) % len(columns)][1] if len(models) == 2 else boxes
        axes = figure.add_axes((i / len(columns), 0, 1 / len(columns), 1))
        _column(axes, title, boxes, _differing(boxes, twin), height)
    return figure


def trace(model: Network, size: int) -> dict[str, tuple[int, ...]]:
    """The shape of each module's output for one image, in the order in which they run."""
    shapes: dict[str, tuple[int, ...]] = {}

    def hook(name: str) -> Callable[..., None]:
        def note(_: nn.Module, __: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                shapes[name] = tuple(output.shape)

        return note

    handles = [m.register_forward_hook(hook(name)) for name, m in model.named_modules()]
    like = next(model.parameters())
    try:
        with torch.no_grad():
            chans = model.config.in_chans
            model.eval()(torch.empty(1, chans, size, size, device=like.device, dtype=like.dtype))
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def network_boxes(model: Network, shapes: dict[str, tuple[int, ...]], size: int) -> list[Box]:
    """The image, the stem, each stage, the head."""
    stem = [describe(m) for m in model.stem.modules() if isinstance(m, (ConvNormAct, *_POOLS))]
    boxes = [
        Box("image", (_shape((1, model.config.in_chans, size, size)),)),
        Box("stem", (*stem, "→ " + _shape(shapes["stem"]))),
    ]
    for i, stage in enumerate(model.stages):
        units = list(stage.children())
        kinds = list(dict.fromkeys(type(unit).__name__ for unit in units))
        boxes.append(
            Box(
                f"stage {i}",
                (
                    f"{len(units)} × {' / '.join(kinds)}",
                    "→ " + _shape(shapes[f"stages.{i}"]),
                ),
            )
        )
    head = [] if isinstance(model.head.final, nn.Identity) else [describe(model.head.final)]
    pool = {"avg": "global mean", "": "no pooling"}.get(
        model.head.global_pool, f"global {model.head.global_pool}"
    )
    head += [pool, f"classifier, {model.num_classes} classes" if model.num_classes else "features"]
    return [*boxes, Box("head", tuple(head))]


def unit_boxes(unit: nn.Module, name: str, shapes: dict[str, tuple[int, ...]]) -> list[Box]:
    """The slots of a unit in the order in which they run, those on the shortcut aside."""
    order = _residual_order(unit) if isinstance(unit, ResidualUnit) else _called(unit, name, shapes)
    boxes = []
    for slot in order:
        if slot == "+":
            boxes.append(Box("add", ("+ shortcut",)))
            continue
        module = unit.get_submodule(slot)
        aside = slot.startswith(("shortcut", "proj"))
        if isinstance(module, nn.Identity) and not aside:
            continue
        shape = shapes.get(f"{name}.{slot}")
        size = [f"→ {_shape(shape)}"] if shape else []
        boxes.append(Box(slot, (*_lines(module), *size), aside))
    return boxes


def _residual_order(unit: ResidualUnit) -> list[str]:
    gate = {unit.attention_at: ["attention"]} if unit.attention is not None else {}
    convs = [n for n, _ in unit.named_children() if n.startswith(("conv", "pool_"))]
    last = convs.index("conv3") if "conv3" in convs else convs.index("conv2")
    order = [*convs[:last], *gate.get("inner", []), *convs[last:]]
    side = [*gate.get("identity", []), "shortcut"]
    order = [*gate.get("pre", []), *order, *gate.get("standard", [])]
    return [*side, *order, "+", "act", *gate.get("post", [])]


def _called(unit: nn.Module, name: str, shapes: dict[str, tuple[int, ...]]) -> list[str]:
    children = [child for child, _ in unit.named_children()]
    ran = [each.removeprefix(name + ".") for each in shapes if each.startswith(name + ".")]
    first = [each.split(".")[0] for each in ran]
    return sorted((child for child in children if child in first), key=first.index)


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
            text += f", {conv.groups} groups"
        if conv.dilation[0] > 1:
            text += f", dilation {conv.dilation[0]}"
        return text
    if isinstance(module, _POOLS):
        kind = "max" if isinstance(module, nn.MaxPool2d) else "mean"
        return f"{module.kernel_size}×{module.kernel_size} {kind} pooling, /{module.stride}"
    if isinstance(module, nn.Sequential) and len(module):
        return ", ".join(describe(each) for each in module)
    if isinstance(module, nn.Identity):
        return "identity"
    numbers = module.extra_repr().replace("inplace=True", "").strip(", ")
    leaf = not list(module.children())
    return type(module).__name__ + (f" {numbers}" if numbers and leaf else "")


def _lines(module: nn.Module) -> tuple[str, ...]:
    """A module in a few lines: what it is, and the layers inside, equal ones counted."""
    if isinstance(module, ConvNormAct):
        pool = getattr(module, "pool", None)
        before = [describe(pool)] if isinstance(pool, _POOLS) else []
        selection = getattr(module, "selection", None)
        inner = _inside(selection) if isinstance(selection, nn.Module) else []
        after = [n for n in (_short(module.norm), _short(module.act)) if n]
        return (*before, describe(module), *([" · ".join(after)] if after else []), *inner)
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
            if isinstance(each, nn.Linear):
                text = f"linear, {each.in_features} → {each.out_features}"
            if isinstance(each, nn.Conv1d):
                text = f"convolution over channels, k = {each.kernel_size[0]}"
            counted[text] = counted.get(text, 0) + 1
    # A gate's last function is made first and runs last.
    counted |= {text: counted.pop(text) for text in ("Sigmoid", "Softmax dim=1") if text in counted}
    lines = [text if n == 1 else f"{n} × ({text})" for text, n in counted.items()]
    return lines if len(lines) <= 6 else [*lines[:5], f"… {len(lines) - 5} more"]


def _short(module: nn.Module) -> str:
    names = {"BatchNorm2d": "BN", "Identity": "", "GroupNorm": "GN"}
    return names.get(type(module).__name__, type(module).__name__)


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape[1:]))


def _unit_at(model: Network, stage: int | None, block: int) -> str:
    stage = min(1, len(model.stages) - 1) if stage is None else stage
    if not 0 <= stage < len(model.stages):
        raise ValueError(f"stage={stage}: this network has stages 0 to {len(model.stages) - 1}.")
    units = len(list(model.stages[stage].children()))
    if not 0 <= block < units:
        raise ValueError(f"block={block}: stage {stage} has units 0 to {units - 1}.")
    return f"stages.{stage}.{block}"


def _differing(boxes: Sequence[Box], twin: Sequence[Box]) -> set[str]:
    other = {box.slot: box.lines for box in twin}
    return {box.slot for box in boxes if other.get(box.slot) != box.lines}


def _box_height(box: Box) -> float:
    return LINE * (len(box.lines) + 1) + 0.16


def _height(boxes: Sequence[Box]) -> float:
    return sum(_box_height(box) + GAP for box in boxes if not box.side) + 0.4


def _column(
    axes: Axes, title: str, boxes: Sequence[Box], differing: set[str], height: float
) -> None:
    """One column of boxes from the top down; the shortcut's stand to the right."""
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    axes.set_xlim(0, WIDTH + 1.9)
    axes.set_ylim(-height, 0)
    axes.axis("off")
    axes.text(0.2, -0.3, title, fontsize=11, weight="bold", va="center")
    aside = [box for box in boxes if box.side]
    x, y, previous = 0.2, -0.6, None
    width = WIDTH if not aside else WIDTH - 0.5
    for box in [box for box in boxes if not box.side]:
        tall = _box_height(box)
        marked = box.slot in differing
        axes.add_patch(
            FancyBboxPatch(
                (x, y - tall),
                width,
                tall,
                boxstyle="round,pad=0,rounding_size=0.06",
                facecolor="#ffe3c2" if marked else "#eaf1fb",
                edgecolor="#d9730d" if marked else "#4a6fa5",
                linewidth=1.4 if marked else 1,
            )
        )
        axes.text(x + 0.1, y - 0.17, box.slot, fontsize=8.5, weight="bold", va="center")
        for i, line in enumerate(box.lines, 1):
            axes.text(x + 0.1, y - 0.17 - LINE * i, line, fontsize=7.5, va="center")
        if previous is not None:
            axes.add_patch(
                FancyArrowPatch(
                    (x + width / 2, previous),
                    (x + width / 2, y),
                    arrowstyle="-|>",
                    mutation_scale=9,
                    color="#555555",
                )
            )
        if box.slot == "add" and aside:
            _side(axes, aside, differing, x + width, y - tall / 2)
        previous, y = y - tall, y - tall - GAP


def _side(axes: Axes, boxes: Sequence[Box], differing: set[str], x: float, y: float) -> None:
    """The shortcut: from the column's top, through its boxes, to the addition at height y."""
    from matplotlib.patches import FancyArrowPatch

    lane = x + 0.25
    axes.plot([x - 0.3, lane, lane], [-0.5, -0.5, y], color="#555555", linewidth=1)
    axes.add_patch(
        FancyArrowPatch((lane, y), (x, y), arrowstyle="-|>", mutation_scale=9, color="#555555")
    )
    at = -0.5 + (y + 0.5) / 2
    for box in boxes:
        text = "\n".join((box.slot, *box.lines))
        axes.text(
            lane + 0.02,
            at,
            text,
            fontsize=7.2,
            va="center",
            ha="left",
            bbox={
                "boxstyle": "round,pad=0.35",
                "facecolor": "#ffe3c2" if box.slot in differing else "#eef7ee",
                "edgecolor": "#d9730d" if box.slot in differing else "#5b8c5a",
            },
        )
        at -= LINE * (len(box.lines) + 2) * 1.2
