"""Stages of residual units: what the ResNet and RegNet builders share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..blocks.convs import ConvFactory, PlainConv
from ..blocks.layers import ActFactory, ConvNormAct, NormFactory
from ..blocks.residual import BasicUnit, Bottleneck
from ..blocks.shortcuts import make_shortcut


@dataclass(frozen=True, kw_only=True)
class UnitParts:
    """The parts that units are filled with: each slot's choice, as functions and numbers."""

    norm: NormFactory
    act: ActFactory
    basic: bool = False
    conv: ConvFactory = PlainConv
    stride_in: str = "conv2"
    stride_with: str = "conv"
    shortcut: str = "conv"
    shortcut_kernel: int = 1
    reduce_first: int = 1
    attention_at: str = "standard"


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """A stage as numbers. ``mid`` are the channels of the 3x3, ``stride`` the paper's own;
    ``dilate`` replaces it where ``output_stride`` forbids it."""

    depth: int
    out: int
    mid: int
    stride: int
    groups: int = 1
    conv_args: Mapping[str, Any] = field(default_factory=dict)
    dilation: tuple[int, int] = (1, 1)  # of the first unit, of the others
    dilate: bool = False
    last: bool = False  # of the network's stages
    gate: Callable[[int, int], nn.Module | None]  # (channels, the unit's input channels)


def make_stage(
    spec: StageSpec, in_channels: int, drop_paths: list[float], parts: UnitParts
) -> nn.Sequential:
    """The units of one stage; the first one strides and changes the width."""
    units = []
    for i in range(spec.depth):
        make = _basic if parts.basic else _bottleneck
        at: str | None = parts.attention_at
        if at == "between":
            at = "post" if i == spec.depth - 1 and not spec.last else None
        units.append(make(spec, in_channels, i == 0, drop_paths[i], parts, at))
        in_channels = spec.out
    return nn.Sequential(*units)


def _shared(
    spec: StageSpec,
    in_channels: int,
    first: bool,
    drop_path: float,
    parts: UnitParts,
    at: str | None,
) -> tuple[int, int, dict[str, Any]]:
    """Stride and dilation of a unit, and the slots that all kinds of unit have."""
    stride = spec.stride if first and not spec.dilate else 1
    gate_channels = {"pre": in_channels, "identity": in_channels, "inner": spec.mid}
    return (
        stride,
        spec.dilation[0 if first else 1],
        dict(
            shortcut=make_shortcut(
                parts.shortcut,
                in_channels,
                spec.out,
                stride=stride,
                kernel_size=parts.shortcut_kernel if first and spec.stride > 1 else 1,
                norm=parts.norm,
            ),
            act=parts.act,
            attention=spec.gate(gate_channels.get(at, spec.out), in_channels) if at else None,
            attention_at=at or "standard",
            drop_path=drop_path,
        ),
    )


def _basic(
    spec: StageSpec,
    in_channels: int,
    first: bool,
    drop_path: float,
    parts: UnitParts,
    at: str | None,
) -> nn.Module:
    stride, dilation, shared = _shared(spec, in_channels, first, drop_path, parts, at)
    norm, act = parts.norm, parts.act
    return BasicUnit(
        conv1=ConvNormAct(
            in_channels, spec.mid, 3, stride=stride, dilation=dilation, norm=norm, act=act
        ),
        conv2=ConvNormAct(spec.mid, spec.out, 3, dilation=spec.dilation[1], norm=norm, act=None),
        **shared,
    )


def _bottleneck(
    spec: StageSpec,
    in_channels: int,
    first: bool,
    drop_path: float,
    parts: UnitParts,
    at: str | None,
) -> nn.Module:
    stride, dilation, shared = _shared(spec, in_channels, first, drop_path, parts, at)
    norm, act = parts.norm, parts.act
    narrow = spec.mid // parts.reduce_first
    pooled = parts.stride_with != "conv"
    in_first = parts.stride_in == "conv1"
    # ResNeSt and SCNet-v1d pool in the first unit of each stage that strides by design, also
    # where dilation took the stride away: a 3x3 average then, with stride 1.
    pool = nn.AvgPool2d(3, stride, padding=1) if pooled and first and spec.stride > 1 else None
    return Bottleneck(
        conv1=ConvNormAct(
            in_channels, narrow, stride=stride if in_first else 1, norm=norm, act=act
        ),
        conv2=parts.conv(
            narrow,
            spec.mid,
            stride=1 if in_first or pooled else stride,
            dilation=dilation,
            groups=spec.groups,
            first=first,
            norm=norm,
            act=act,
            **spec.conv_args,
        ),
        conv3=ConvNormAct(spec.mid, spec.out, norm=norm, act=None),
        pool_before=pool if parts.stride_with == "avg_before" else None,
        pool_after=pool if parts.stride_with == "avg_after" else None,
        **shared,
    )


def dilated(strides: list[int], reduction: int, output_stride: int) -> list[dict[str, Any]]:
    """For each stage ``dilate`` and ``dilation``, and the reduction after it, such that none
    reduces further than ``output_stride``.

    A stage that may not stride keeps the previous dilation in its first unit, and doubles it in
    the others, as torchvision, timm and the ResNeSt authors do.
    """
    plan, dilation = [], 1
    for stride in strides:
        previous = dilation
        dilate = stride > 1 and reduction * stride > output_stride
        if dilate:
            dilation *= stride
        else:
            reduction *= stride
        plan.append(dict(dilate=dilate, dilation=(previous, dilation), reduction=reduction))
    return plan
