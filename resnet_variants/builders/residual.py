"""Networks of residual stages: what the ResNet and the RegNet builders have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..blocks.convs import ConvFactory, ConvSpec, make_conv, mid_channels, resolve_conv
from ..blocks.layers import check_args
from ..blocks.residual import ATTENTION_AT, BasicUnit, Bottleneck
from ..blocks.shortcuts import SHORTCUTS, make_shortcut
from ..blocks.stems import STEMS
from ..fields import one_of
from ..network import Network
from .staged import Parts, Place, Stage, StemmedConfig, build_staged


@dataclass(frozen=True)
class StageShape:
    """A stage as its paper's table gives it."""

    depth: int
    """units"""
    out: int
    """channels of the units' outputs"""
    mid: int
    """channels of the 3x3, before what its ``conv`` part makes of them"""
    groups: int = 1
    """groups of the 3x3"""


@dataclass(frozen=True, kw_only=True)
class ResidualConfig(StemmedConfig):
    """A stem, stages of residual units, a head. Subclasses say what shape the stages have."""

    # What a ResNet alone may choose (``ResNetConfig``), as the others have it
    block = "bottleneck"
    stride_in = "conv2"
    shortcut_kernel = 1
    reduce_first = 1

    stride_with: str = one_of("conv", ("conv", "avg_after", "avg_before"))
    """``conv``, or a 3x3 average pooling behind (``avg_after``) or before the 3x3"""
    shortcut: str = one_of("conv", SHORTCUTS)
    """``conv``, ``avg`` (ResNet-D), ``max``, ``pad`` (no parameters)"""
    conv: str | ConvFactory = "plain"
    """what stands in for the 3x3: a registered name or a module class"""
    conv_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...] = field(default_factory=dict)
    """its own arguments, for instance ``{"scale": 4}``, or one such for each stage"""
    attention_at: str | tuple[str, ...] = one_of("standard", ATTENTION_AT)
    """``standard``, ``inner``, ``pre``, ``post``, ``identity`` (SE paper, Table 14), or
    ``between`` stages (BAM: behind each but the last); or one of these for each stage"""

    def __post_init__(self) -> None:
        super().__post_init__()
        places = self.per_stage("attention_at")
        for at, every in zip(places, self.per_stage("attention_every"), strict=True):
            if at == "between" and every != 1:
                raise ValueError(
                    f"attention_every={self.attention_every!r} counts a stage's units, and "
                    f"attention_at={self.attention_at!r} puts one gate behind a stage."
                )
        if isinstance(self.attention_at, tuple) and places[-1] == "between":
            raise ValueError(
                f"attention_at={self.attention_at!r}: no stage comes behind the last one."
            )
        for args in self.per_stage("conv_args"):
            check_args("conv", self.conv, resolve_conv(self.conv), args)
        first = self.stage_shapes[0].out
        if self.shortcut == "pad" and self.stem_channels > first:
            raise ValueError(
                f"shortcut='pad' can only add channels, and stem={self.stem!r} gives "
                f"{self.stem_channels} to a first stage of {first}: lower stem_width."
            )

    @property
    def stage_shapes(self) -> tuple[StageShape, ...]:
        """The shape of each stage."""
        raise NotImplementedError(f"{type(self).__name__} must define stage_shapes")

    @property
    def own_stem_width(self) -> int:
        return STEMS[self.stem].width or self.stage_shapes[0].out


def build_residual(config: ResidualConfig) -> Network:
    """The network that ``config`` describes."""
    shapes = config.stage_shapes
    make_unit = basic if config.block == "basic" else bottleneck
    return build_staged(
        Parts(config, sum(shape.depth for shape in shapes)),
        [Stage((shape.out,) * shape.depth) for shape in shapes],
        lambda parts, place: make_unit(parts, place, shapes[place.stage]),
    )


def basic(parts: Parts, place: Place, shape: StageShape) -> nn.Module:
    """Two 3x3."""
    into, mid, out = place.in_channels, shape.mid, place.out_channels
    return BasicUnit(
        **_slots(parts, place, mid),
        conv1=parts.conv(into, mid, 3, stride=place.stride, dilation=place.dilation),
        conv2=parts.conv(mid, out, 3, dilation=place.inner_dilation, act=False),
    )


def bottleneck(parts: Parts, place: Place, shape: StageShape) -> nn.Module:
    """1x1, the ``conv`` part, 1x1."""
    config, stride = parts.config, place.stride
    part, args = resolve_conv(config.conv), config.of_stage("conv_args", place.stage)
    mid = mid_channels(part, shape.mid, args)
    narrow = mid // config.reduce_first
    pooled, in_first = config.stride_with != "conv", config.stride_in == "conv1"
    # ResNeSt and SCNet-v1d pool in the first unit of each stage that strides by design, also
    # where dilation took the stride away: a 3x3 average then, with stride 1.
    pool = nn.AvgPool2d(3, stride, padding=1) if pooled and place.designed_stride > 1 else None
    spec = ConvSpec(
        narrow,
        mid,
        stride=1 if in_first or pooled else stride,
        dilation=place.dilation,
        groups=shape.groups,
        first=place.index == 0,
        norm=parts.norm,
        act=parts.act,
    )
    return Bottleneck(
        **_slots(parts, place, mid),
        conv1=parts.conv(place.in_channels, narrow, stride=stride if in_first else 1),
        conv2=make_conv(config.conv, args, spec),
        conv3=parts.conv(mid, place.out_channels, act=False),
        pool_before=pool if config.stride_with == "avg_before" else None,
        pool_after=pool if config.stride_with == "avg_after" else None,
    )


def _slots(parts: Parts, place: Place, mid: int) -> dict[str, Any]:
    """What all kinds of unit have: shortcut, gate, activation, stochastic depth."""
    config, into, out = parts.config, place.in_channels, place.out_channels
    at: str | None = config.of_stage("attention_at", place.stage)
    if at == "between":
        at = "post" if place.last and not place.last_stage else None
    gated = {"pre": into, "identity": into, "inner": mid}.get(at or "", out)
    return dict(
        shortcut=make_shortcut(
            config.shortcut,
            into,
            out,
            stride=place.stride,
            kernel_size=config.shortcut_kernel if place.designed_stride > 1 else 1,
            norm=parts.norm,
        ),
        act=parts.act,
        attention=parts.gate(gated, place) if at else None,
        attention_at=at or "standard",
        drop_path=parts.drop_path(),
    )
