"""Networks of residual stages: what the ResNet and the RegNet builders have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn

from ..blocks.convs import GIVEN, ConvFactory, mid_channels, resolve_conv
from ..blocks.drop_path import drop_path_rates
from ..blocks.gates import GateFactory, check_gate, make_gate
from ..blocks.head import Head
from ..blocks.layers import act_factory, check_args, norm_factory
from ..blocks.residual import ATTENTION_AT
from ..blocks.shortcuts import SHORTCUTS
from ..blocks.stems import POOLS, STEMS, make_stem
from ..choices import check_choice
from ..config import NetworkConfig
from ..fields import MOST, bounded
from ..network import Network, StageInfo
from .stages import StageSpec, UnitParts, dilated, make_stage


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
class ResidualConfig(NetworkConfig):
    """A stem, stages of residual units, a head. Subclasses say what shape the stages have."""

    stem: str = "conv7"
    """``conv7``, ``deep`` (ResNet-C), ``deep64``, ``tiered``, ``conv3``,
    ``conv3_pool``, ``cifar``"""
    stem_width: int | None = bounded(None, least=8, most=MOST)
    """channels that the stem gives; None: the stem's own"""
    stem_pool: str = "max"
    """``max`` (padded, torch), ``max_ceil`` (unpadded, rounded up: Caffe) or ``none``"""
    stride_with: str = "conv"
    """``conv``, or a 3x3 average pooling behind (``avg_after``) or before the 3x3"""
    shortcut: str = "conv"
    """``conv``, ``avg`` (ResNet-D), ``max``, ``pad`` (no parameters)"""
    conv: str | ConvFactory = "plain"
    """what stands in for the 3x3: a registered name or a module class"""
    conv_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...] = field(default_factory=dict)
    """its own arguments, for instance ``{"scale": 4}``, or one such for each stage"""
    attention: str | GateFactory | tuple[str | GateFactory | None, ...] | None = None
    """gate: a registered name, a module class, None, or one of these for each stage"""
    attention_at: str = "standard"
    """``standard``, ``inner``, ``pre``, ``post``, ``identity`` (SE paper, Table 14), or
    ``between`` stages (BAM)"""
    attention_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...] = field(default_factory=dict)
    """the gate's own arguments, for instance ``{"reduction": 8}``, or one such for each stage"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("stem", self.stem, list(STEMS))
        check_choice("stem_pool", self.stem_pool, POOLS)
        check_choice("stride_with", self.stride_with, ("conv", "avg_after", "avg_before"))
        check_choice("shortcut", self.shortcut, SHORTCUTS)
        check_choice("attention_at", self.attention_at, ATTENTION_AT)
        self._check_shapes()
        for gate, args in zip(self.stage_attention, self.stage_attention_args, strict=True):
            check_gate(gate, args)
        for args in self.stage_conv_args:
            check_args("conv", self.conv, resolve_conv(self.conv), args, GIVEN)
        first = self.stage_shapes[0].out
        if self.shortcut == "pad" and self.stem_channels > first:
            raise ValueError(
                f"shortcut='pad' can only add channels, and stem={self.stem!r} gives "
                f"{self.stem_channels} to a first stage of {first}: lower stem_width."
            )

    def _check_shapes(self) -> None:
        """Refuse values from which no stages can be made."""

    @property
    def stage_shapes(self) -> tuple[StageShape, ...]:
        """The shape of each stage."""
        raise NotImplementedError(f"{type(self).__name__} must define stage_shapes")

    @property
    def stage_count(self) -> int:
        """How many stages there are."""
        return len(self.stage_shapes)

    def gate_args(self, stage: int, in_channels: int) -> Mapping[str, Any]:
        """The arguments of the gate in a unit of ``in_channels``."""
        return self.stage_attention_args[stage]

    @property
    def stem_channels(self) -> int:
        """Channels that the stem gives to the first stage."""
        return self.stem_width or STEMS[self.stem].width or self._own_width

    @property
    def _own_width(self) -> int:
        """Width of a stem that has none of its own."""
        return self.stage_shapes[0].out

    @property
    def has_attention(self) -> bool:
        """Whether any stage has a gate."""
        return any(gate not in (None, "none") for gate in self.stage_attention)

    @property
    def stage_attention(self) -> tuple[Any, ...]:
        """The gate of each stage."""
        return self.per_stage("attention")

    @property
    def stage_attention_args(self) -> tuple[Mapping[str, Any], ...]:
        """The gate's arguments in each stage."""
        return self.per_stage("attention_args")

    @property
    def stage_conv_args(self) -> tuple[Mapping[str, Any], ...]:
        """The arguments of the ``conv`` part in each stage."""
        return self.per_stage("conv_args")

    def per_stage(self, name: str) -> tuple[Any, ...]:
        """The field ``name`` as one value for each stage. ValueError for another number."""
        value, stages = getattr(self, name), self.stage_count
        if not isinstance(value, tuple):
            return (value,) * stages
        if len(value) != stages:
            raise ValueError(f"{name}={value!r} has {len(value)} values for {stages} stages.")
        return value


def build_residual(config: ResidualConfig, **parts: Any) -> Network:
    """The network that ``config`` describes; ``parts`` are more slots of ``UnitParts``."""
    norm = norm_factory(config.norm_layer, config.norm_args)
    act = act_factory(config.act_layer)
    conv = resolve_conv(config.conv)
    stem = make_stem(
        config.stem,
        config.in_chans,
        width=config.stem_channels,
        pool=config.stem_pool,
        norm=norm,
        act=act,
    )
    slots = UnitParts(
        norm=norm,
        act=act,
        conv=conv,
        stride_with=config.stride_with,
        shortcut=config.shortcut,
        attention_at=config.attention_at,
        **parts,
    )
    shapes = config.stage_shapes
    # A stem that reduces by 2 alone (conv3, or no pooling) leaves the first stage a stride.
    strides = [2 if stem.reduction == 2 else 1] + [2] * (len(shapes) - 1)
    plan = dilated(strides, stem.reduction, config.output_stride)
    rates = drop_path_rates(config.drop_path_rate, sum(shape.depth for shape in shapes))
    stages: list[nn.Module] = []
    info, channels = [], stem.out_channels
    for i, shape in enumerate(shapes):
        conv_args = config.stage_conv_args[i]
        spec = StageSpec(
            depth=shape.depth,
            out=shape.out,
            mid=mid_channels(conv, shape.mid, dict(conv_args)),
            stride=strides[i],
            groups=shape.groups,
            conv_args=conv_args,
            dilate=plan[i]["dilate"],
            dilation=plan[i]["dilation"],
            last=i == len(shapes) - 1,
            gate=partial(_make_gate, config, i, norm),
        )
        drop_paths = [rates.pop(0) for _ in range(shape.depth)]
        stages.append(make_stage(spec, channels, drop_paths, slots))
        channels = shape.out
        info.append(StageInfo(channels, plan[i]["reduction"]))
    head = Head(
        channels, config.num_classes, global_pool=config.global_pool, drop_rate=config.drop_rate
    )
    return Network(stem, stages, head, config, stage_info=info)


def _make_gate(
    config: ResidualConfig, stage: int, norm: Any, channels: int, in_channels: int
) -> nn.Module | None:
    gate = config.stage_attention[stage]
    return make_gate(gate, config.gate_args(stage, in_channels), channels, in_channels, norm=norm)
