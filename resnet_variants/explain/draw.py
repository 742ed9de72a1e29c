"""Diagrams: a network as its stages, one unit as its slots, two networks side by side."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ..factory import create_model
from ..network import Network
from ..registry import image_size
from .boxes import Box, Column, differing, network_column, trace, unit_column

# Inches. Two columns are as wide as a page of text, so that they can be read there.
COLUMN, BOX, NARROW, SIDE = 4.2, 3.7, 2.25, 1.5
GAP, LINE, TITLE, MARGIN = 0.26, 0.175, 0.62, 0.2
LETTER = 0.063  # of the boxes' text, on average

PLAIN, ASIDE, MARKED = ("#eaf1fb", "#4a6fa5"), ("#eef7ee", "#5b8c5a"), ("#ffe3c2", "#d9730d")
GREY = "#555555"


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
        input_size: side of the image; by default the one that the first model is for.
        out: the file to write, .png or .svg.
        config: changes of the configuration, as in ``create_model``.

    Raises ValueError for another number of names, a stage or unit that the network lacks, or
    a format that cannot be drawn.
    """
    if out.suffix not in (".png", ".svg"):
        raise ValueError(f"out={out} must be a .png or an .svg.")
    if len(names) not in (1, 2) or len(set(names)) < len(names):
        raise ValueError(f"One network or two different ones can be drawn, not {names}.")
    models = {name: create_model(name, device="meta", **config) for name in names}
    size = input_size or image_size(names[0])
    figure = figure_of(models, stage=stage, block=block, input_size=size)
    out.parent.mkdir(parents=True, exist_ok=True)
    # The same network gives the same file: no date, no random names in it.
    metadata = {"Date": None} if out.suffix == ".svg" else None
    with rc_context({"svg.hashsalt": "resnet_variants"}):
        figure.savefig(out, dpi=150, metadata=metadata)
    return out


def figure_of(
    models: Mapping[str, Network],
    *,
    stage: int | None = None,
    block: int = 0,
    input_size: int = 224,
) -> Figure:
    """The diagram of one or two networks, as a matplotlib figure.

    One network has its unit beside it; of two the units are in a second row.
    """
    networks, units = [], []
    for name, model in models.items():
        shapes = trace(model, input_size)
        networks.append(network_column(name, model, shapes))
        units.append(unit_column(name, model, shapes, stage, block))
    rows = [networks, units] if len(models) == 2 else [[*networks, *units]]
    heights = [max(map(_height, row)) for row in rows]
    figure = Figure(figsize=(COLUMN * 2, sum(heights)))
    top = sum(heights)
    for row, height in zip(rows, heights, strict=True):
        top -= height
        for i, column in enumerate(row):
            marked = differing(column, row[1 - i]) if len(models) == 2 else set()
            area = (i / 2, top / sum(heights), 1 / 2, height / sum(heights))
            _column(figure.add_axes(area), column, marked, height)
    return figure


def _width(column: Column) -> float:
    return NARROW if column.joins_at else BOX


def _wrapped(box: Box, width: float) -> list[str]:
    letters = int((width - 0.16) / LETTER)
    # What belongs together stays so: no-break spaces around arrows and before strides.
    lines = [re.sub(r" ?(→|× \d+|conv\b|/\d) ?", _no_break, line) for line in box.lines]
    return [part for line in lines for part in textwrap.wrap(line, letters)]


def _no_break(match: re.Match[str]) -> str:
    return match[0].replace(" ", "\u00a0")


def _box_height(box: Box, width: float) -> float:
    return LINE * (len(_wrapped(box, width)) + 1) + 0.12


def _height(column: Column) -> float:
    width = _width(column)
    main = [(box.slot, _box_height(box, width) + GAP) for box in column.boxes if not box.side]
    slots = [slot for slot, _ in main]
    above = slots.index(column.leaves_after) + 1 if column.leaves_after else 0
    aside = sum(_box_height(box, SIDE) + GAP for box in column.boxes if box.side)
    talls = [tall for _, tall in main]
    return max(sum(talls), sum(talls[:above]) + aside) + TITLE + MARGIN


def _column(axes: Axes, column: Column, marked: set[str], height: float) -> None:
    """A column of boxes from the top down; those on the way around stand to the right."""
    axes.set_xlim(0, COLUMN)
    axes.set_ylim(-height, 0)
    axes.axis("off")
    axes.text(MARGIN, -0.24, column.title, fontsize=11, weight="bold", va="center")
    width = _width(column)
    middle = MARGIN + width / 2
    y, ends = -TITLE, {"": -TITLE + GAP / 2}  # where the arrow behind a slot is half-way
    joins = None
    for i, box in enumerate(each for each in column.boxes if not each.side):
        if i or column.joins_at:
            _arrow(axes, (middle, y + GAP * (0.98 if i else 0.8)), (middle, y))
        tall = _box_height(box, width)
        _box(axes, box, MARGIN, y, width, box.slot in marked)
        ends[box.slot] = y - tall - GAP / 2
        if box.slot == column.joins_at:
            joins = y - tall / 2
        y -= tall + GAP
    if joins is not None:
        aside = [box for box in column.boxes if box.side]
        _around(axes, aside, marked, middle, ends[column.leaves_after], joins)


def _around(
    axes: Axes, boxes: Sequence[Box], marked: set[str], middle: float, start: float, end: float
) -> None:
    """The way around: from the column's arrow at height ``start``, through the boxes, to the
    side of the box at height ``end``."""
    lane = COLUMN - 0.05 - SIDE / 2
    axes.plot([middle, lane, lane], [start, start, end], color=GREY, linewidth=1, zorder=0)
    _arrow(axes, (lane, end), (MARGIN + NARROW, end))
    tall = sum(_box_height(box, SIDE) for box in boxes) + GAP * (len(boxes) - 1)
    y = min((start + end) / 2 + tall / 2, start - GAP / 2)
    for box in boxes:
        _box(axes, box, lane - SIDE / 2, y, SIDE, box.slot in marked, aside=True)
        y -= _box_height(box, SIDE) + GAP


def _box(
    axes: Axes, box: Box, x: float, y: float, width: float, marked: bool, *, aside: bool = False
) -> None:
    face, edge = MARKED if marked else ASIDE if aside else PLAIN
    tall = _box_height(box, width)
    axes.add_patch(
        FancyBboxPatch(
            (x, y - tall),
            width,
            tall,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=face,
            edgecolor=edge,
            linewidth=1.6 if marked else 1,
        )
    )
    for i, line in enumerate((box.slot, *_wrapped(box, width))):
        weight = "normal" if i else "bold"
        at = y - 0.145 - LINE * i
        axes.text(x + 0.08, at, line, fontsize=8, weight=weight, va="center")


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=9, color=GREY, shrinkA=0, shrinkB=0
        )
    )
