"""RegNet and AnyNet (Radosavovic et al., Designing Network Design Spaces, CVPR 2020).

An AnyNet is a stem, stages of bottlenecks without expansion, and a head, its depths, widths and
groups free. A RegNet is an AnyNet whose widths follow a quantised line: four numbers say all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar

from ..blocks.attention import SE
from ..blocks.gates import resolve_gate
from ..blocks.layers import make_divisible
from ..blocks.residual import ATTENTION_AT
from ..blocks.stems import STEMS
from ..config import check_count, register_builder
from ..fields import MOST_UNITS, bounded, one_of
from .residual import ResidualConfig, StageShape, build_residual

QUANTUM = 8


def linear_width(j: int, w_0: float, w_a: float) -> float:
    """u_j = w_0 + w_a * j, the width of block j before quantisation (equation 2)."""
    return w_0 + w_a * j


def quantised_width(u: float, w_0: float, w_m: float) -> int:
    """w_0 * w_m ** s with s = round(log(u / w_0) / log(w_m)), as a multiple of 8 (equation 4)."""
    s = round(math.log(u / w_0) / math.log(w_m))
    return round(w_0 * w_m**s / QUANTUM) * QUANTUM


def regnet_widths(depth: int, w_0: int, w_a: float, w_m: float) -> tuple[int, ...]:
    """The width of each of ``depth`` blocks, quantised.

    Raises ValueError unless w_0 is a positive multiple of 8, w_a >= 0 and w_m > 1.

    >>> regnet_widths(13, w_0=24, w_a=36.44, w_m=2.49)
    (24, 56, 152, 152, 152, 152, 368, 368, 368, 368, 368, 368, 368)
    """
    check_count("depth", depth, 1)
    check_count("w_0", w_0, QUANTUM)
    if w_0 % QUANTUM:
        raise ValueError(f"w_0 must be a multiple of {QUANTUM}, not {w_0!r}.")
    if w_a < 0:
        raise ValueError(f"w_a must be at least 0, not {w_a!r}: widths do not shrink.")
    if w_m <= 1:
        raise ValueError(f"w_m must be over 1, not {w_m!r}: it is the step between two widths.")
    return tuple(quantised_width(linear_width(j, w_0, w_a), w_0, w_m) for j in range(depth))


def fit_groups(
    width: int, ratio: float, group_width: int, rounding: str = "pycls"
) -> tuple[int, int, int]:
    """Width, channels of the 3x3 and group width that fit each other, near those given.

    ``pycls`` rounds the 3x3's channels to the nearest multiple of the group width, halves to
    the even one; ``torchvision`` rounds halves up and never loses more than 10 %.
    """
    mid = max(int(width * ratio), 1)
    group_width = min(group_width, mid)
    if rounding == "torchvision":
        mid = make_divisible(mid, group_width)
    else:
        step = math.lcm(group_width, int(ratio)) if ratio > 1 else group_width
        mid = max(step, round(mid / step) * step)
    return int(mid / ratio), mid, group_width


@dataclass(frozen=True, kw_only=True)
class _GroupedConfig(ResidualConfig):
    """What AnyNet and RegNet share: their stem, and squeeze and excitation as RegNetY has it."""

    stem: str = one_of("conv3", STEMS)
    attention_at: str | tuple[str, ...] = one_of("inner", ATTENTION_AT)
    se_ratio: float | None = None
    """hidden width of an ``se`` gate over the unit's input channels (RegNetY); None: 0.25, unless
    ``attention_args`` says otherwise"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.se_ratio is None:
            return
        if self.se_ratio <= 0:
            raise ValueError(f"se_ratio must be over 0, not {self.se_ratio!r}: attention=None.")
        if not any(resolve_gate(gate) is SE for gate in self.per_stage("attention")):
            raise ValueError(
                f"se_ratio={self.se_ratio} is an SE gate's, and attention={self.attention!r}: "
                "use attention='se'."
            )
        if any(map(_says_hidden, self.per_stage("attention_args"))):
            raise ValueError(
                f"se_ratio={self.se_ratio} and attention_args={self.attention_args!r} both give "
                "the gate's hidden width: leave one out."
            )

    def gate_args(self, stage: int, in_channels: int) -> Mapping[str, Any]:
        args = self.of_stage("attention_args", stage)
        if resolve_gate(self.of_stage("attention", stage)) is not SE or _says_hidden(args):
            return args
        ratio = 0.25 if self.se_ratio is None else self.se_ratio
        return {**args, "hidden": max(round(ratio * in_channels), 1)}


def _says_hidden(args: Mapping[str, Any]) -> bool:
    return "hidden" in args or "reduction" in args


def _check_ratio(ratio: float) -> None:
    if ratio < 1 / 1024 or (ratio > 1 and ratio % 1):
        raise ValueError(
            "bottleneck_ratio must be a fraction of at least 1/1024 or a whole number (channels of "
            f"the 3x3 over the width), not {ratio!r}."
        )


@dataclass(frozen=True, kw_only=True)
class AnyNetConfig(_GroupedConfig):
    """An AnyNet: depth, width, bottleneck ratio and group width of each stage are free."""

    builder: ClassVar[str] = "anynet"
    stage_field: ClassVar[str] = "depths"

    depths: tuple[int, ...] = bounded((2, 6, 15, 2), least=1, most=MOST_UNITS)
    """units of each stage"""
    widths: tuple[int, ...] = bounded((96, 192, 432, 1008), least=1)
    """channels of each stage"""
    bottleneck_ratio: float | tuple[float, ...] = 1
    """channels of the 3x3 over the width (the paper's 1 / b), or one such for each stage"""
    group_width: int | tuple[int, ...] = bounded(48, least=1)
    """channels of a group of the 3x3, or one such for each stage"""

    def _check_shapes(self) -> None:
        self._check_widths(self.widths)
        for _, width, ratio, group_width in self._stages:
            _check_ratio(ratio)
            mid = int(width * ratio)
            if mid == 0 or mid % group_width:
                fit, _, group = fit_groups(width, ratio, group_width)
                raise ValueError(
                    f"A width of {width} with bottleneck_ratio={ratio} has {mid} channels in its "
                    f"3x3: they do not divide into groups of group_width={group_width}. "
                    f"Near: width {fit} with group_width={group}."
                )

    @property
    def _stages(self) -> list[tuple[int, int, float, int]]:
        """Depth, width, bottleneck ratio and group width of each stage."""
        ratios, group_widths = self.per_stage("bottleneck_ratio"), self.per_stage("group_width")
        return list(zip(self.depths, self.widths, ratios, group_widths, strict=True))

    @property
    def stage_shapes(self) -> tuple[StageShape, ...]:
        return tuple(
            StageShape(depth, width, int(width * ratio), int(width * ratio) // group_width)
            for depth, width, ratio, group_width in self._stages
        )


@dataclass(frozen=True, kw_only=True)
class RegNetConfig(_GroupedConfig):
    """A RegNet. RegNetY is RegNetX with ``attention="se"``.

    Blocks of equal width make a stage. Most parameters give four of them, and so do all of the
    paper's; a fifth stage would reduce by 64 and is dilated, as ``output_stride`` says.
    """

    builder: ClassVar[str] = "regnet"

    depth: int = bounded(25, least=1, most=MOST_UNITS)
    """blocks of all stages together"""
    w_0: int = 88
    """width of the first block, a multiple of 8"""
    w_a: float = 26.31
    """slope: how much wider each block is than the one before"""
    w_m: float = 2.25
    """quantisation: a stage is this times as wide as the one before"""
    group_width: int = bounded(48, least=1)
    """channels of a group of the 3x3"""
    bottleneck_ratio: float = 1
    """channels of the 3x3 over the width (the paper's 1 / b)"""
    rounding: str = one_of("pycls", ("pycls", "torchvision"))
    """how widths are made multiples of the group width: as ``pycls``, the authors' code, or as
    ``torchvision``, which differs in three of its published networks (zoo: ``_tv``)"""

    def _check_shapes(self) -> None:
        _check_ratio(self.bottleneck_ratio)
        regnet_widths(self.depth, self.w_0, self.w_a, self.w_m)

    @property
    def stage_count(self) -> int:
        return len(self.stage_shapes)

    @property
    def stage_shapes(self) -> tuple[StageShape, ...]:
        shapes = []
        for width, blocks in groupby(regnet_widths(self.depth, self.w_0, self.w_a, self.w_m)):
            out, mid, group_width = fit_groups(
                width, self.bottleneck_ratio, self.group_width, self.rounding
            )
            shapes.append(StageShape(len(list(blocks)), out, mid, mid // group_width))
        return tuple(shapes)


register_builder(AnyNetConfig)(build_residual)
register_builder(RegNetConfig)(build_residual)
