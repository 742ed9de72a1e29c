"""ResNets: one basic unit and one bottleneck, and what each paper changed in them.

ResNet-B moves the stride to the 3x3, C deepens the stem, D pools in the shortcut (He et al.,
CVPR 2019); Wide ResNets widen the 3x3, ResNeXt groups it; SE-, ECA-, SSA- and Salient-ResNet
put a gate on the branch; SK-Net, ResNeSt, Res2Net and SCNet replace the 3x3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from torch import nn

from ..blocks.attention import GateFactory
from ..blocks.convs import ConvFactory, mid_channels, resolve_conv
from ..blocks.drop_path import drop_path_rates
from ..blocks.head import Head
from ..blocks.layers import act_factory, check_args, norm_factory
from ..blocks.residual import ATTENTION_AT
from ..blocks.shortcuts import SHORTCUTS
from ..blocks.stems import POOLS, STEMS, make_stem
from ..choices import check_choice
from ..config import NetworkConfig, check_count, register_builder
from ..network import Network, StageInfo
from .stages import StageSpec, UnitParts, check_gate, dilated, make_gate, make_stage

BLOCKS = ("basic", "bottleneck")


@dataclass(frozen=True, kw_only=True)
class ResNetConfig(NetworkConfig):
    """A ResNet of any kind."""

    builder: ClassVar[str] = "resnet"

    layers: tuple[int, ...] = (3, 4, 6, 3)
    """units of each stage"""
    widths: tuple[int, ...] | None = None
    """width of each stage, before the bottleneck's expansion; None: 64, doubling"""
    block: str = "bottleneck"
    """``basic`` (two 3x3) or ``bottleneck`` (1x1, 3x3, 1x1 to four times the width)"""
    groups: int = 1
    """groups of the 3x3: ResNeXt's cardinality"""
    base_width: int = 64
    """channels of a group in a stage of width 64; the 3x3 has groups * width * this / 64"""
    stem: str = "conv7"
    """``conv7``, ``deep`` (ResNet-C), ``deep64``, ``tiered``, ``conv3``, ``cifar``"""
    stem_width: int | None = None
    """channels that the stem gives; None: the stem's own"""
    stem_pool: str = "max"
    """``max`` (padded, torch), ``max_ceil`` (unpadded, rounded up: Caffe) or ``none``"""
    stride_in: str = "conv2"
    """the bottleneck's convolution that strides: ``conv1`` (2016) or ``conv2`` (ResNet-B)"""
    stride_with: str = "conv"
    """``conv``, or a 3x3 average pooling behind (``avg_after``) or before the 3x3"""
    shortcut: str = "conv"
    """``conv``, ``avg`` (ResNet-D), ``max``, ``pad`` (no parameters)"""
    shortcut_kernel: int = 1
    """kernel of the projections that stride (SENet-154: 3)"""
    reduce_first: int = 1
    """the first 1x1 is narrower than the 3x3 by this (SENet-154: 2)"""
    conv: str | ConvFactory = "plain"
    """what stands in for the 3x3: a registered name or a module class"""
    conv_args: Mapping[str, Any] = field(default_factory=dict)
    """its own arguments, for instance ``{"scale": 4}``"""
    attention: str | GateFactory | tuple[str | GateFactory | None, ...] | None = None
    """gate: a registered name, a module class, None, or one of these for each stage"""
    attention_at: str = "standard"
    """``standard``, ``inner``, ``pre``, ``post``, ``identity`` (SE paper, Table 14)"""
    attention_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...] = field(default_factory=dict)
    """the gate's own arguments, for instance ``{"reduction": 8}``, or one such a stage"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.layers, tuple) or not self.layers:
            raise ValueError(f"layers must give the units of each stage, not {self.layers!r}.")
        for depth in self.layers:
            check_count("layers", depth, 1)
        if self.widths is not None:
            for width in self.widths:
                check_count("widths", width, 1)
            if len(self.widths) != len(self.layers):
                raise ValueError(f"widths={self.widths} for {len(self.layers)} stages.")
        for name in ("groups", "base_width", "shortcut_kernel", "reduce_first"):
            check_count(name, getattr(self, name), 1)
        if self.stem_width is not None:
            check_count("stem_width", self.stem_width, 8)
        check_choice("block", self.block, BLOCKS)
        check_choice("stem", self.stem, list(STEMS))
        check_choice("stem_pool", self.stem_pool, POOLS)
        check_choice("stride_in", self.stride_in, ("conv1", "conv2"))
        check_choice("stride_with", self.stride_with, ("conv", "avg_after", "avg_before"))
        check_choice("shortcut", self.shortcut, SHORTCUTS)
        check_choice("attention_at", self.attention_at, ATTENTION_AT)
        for gate, args in zip(self.stage_attention, self.stage_attention_args, strict=True):
            check_gate(gate, args)
        check_args("conv", self.conv, resolve_conv(self.conv), self.conv_args)
        self._check_combination()

    def _check_combination(self) -> None:
        if self.block == "basic":
            plain = dict(groups=1, base_width=64, conv="plain", stride_with="conv", reduce_first=1)
            for name, value in plain.items():
                if getattr(self, name) != value:
                    raise ValueError(
                        f"{name}={getattr(self, name)!r} changes the 3x3 of a bottleneck, and "
                        "block='basic' has none: use block='bottleneck'."
                    )
        if self.stride_with != "conv" and self.stride_in == "conv1":
            raise ValueError(
                f"stride_with={self.stride_with!r} lets a pooling beside the 3x3 stride, "
                "stride_in='conv1' the 1x1 before it: use stride_in='conv2'."
            )
        if self.attention_at != "standard" and not self.has_attention:
            raise ValueError(
                f"attention_at={self.attention_at!r} places a gate, but attention is None."
            )

        first = self.stage_widths[0] * (1 if self.block == "basic" else 4)
        if self.shortcut == "pad" and self.stem_channels > first:
            raise ValueError(
                f"shortcut='pad' can only add channels, and stem={self.stem!r} gives "
                f"{self.stem_channels} to a first stage of {first}: lower stem_width."
            )

    @property
    def stem_channels(self) -> int:
        """Channels that the stem gives to the first stage."""
        return self.stem_width or STEMS[self.stem].width or self.stage_widths[0]

    @property
    def has_attention(self) -> bool:
        return any(gate not in (None, "none") for gate in self.stage_attention)

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Width of each stage, before the expansion."""
        return self.widths or tuple(64 * 2**i for i in range(len(self.layers)))

    @property
    def stage_attention(self) -> tuple[Any, ...]:
        """The gate of each stage."""
        return _per_stage("attention", self.attention, len(self.layers))

    @property
    def stage_attention_args(self) -> tuple[Mapping[str, Any], ...]:
        """The gate's arguments in each stage."""
        return _per_stage("attention_args", self.attention_args, len(self.layers))


def _per_stage(name: str, value: Any, stages: int) -> tuple[Any, ...]:
    if not isinstance(value, tuple):
        return (value,) * stages
    if len(value) != stages:
        raise ValueError(f"{name}={value!r} has {len(value)} values for {stages} stages.")
    return value


@register_builder(ResNetConfig)
def build_resnet(config: ResNetConfig) -> Network:
    """The network that ``config`` describes."""
    norm = norm_factory(config.norm_layer, config.norm_args)
    act = act_factory(config.act_layer)
    widths = config.stage_widths
    stem = make_stem(
        config.stem,
        config.in_chans,
        width=config.stem_channels,
        pool=config.stem_pool,
        norm=norm,
        act=act,
    )
    basic = config.block == "basic"
    conv = resolve_conv(config.conv)
    parts = UnitParts(
        norm=norm,
        act=act,
        basic=basic,
        conv=conv,
        conv_args=config.conv_args,
        stride_in=config.stride_in,
        stride_with=config.stride_with,
        shortcut=config.shortcut,
        shortcut_kernel=config.shortcut_kernel,
        reduce_first=config.reduce_first,
        attention_at=config.attention_at,
    )
    # A stem that reduces by 2 alone (conv3, or no pooling) leaves the first stage a stride.
    strides = [2 if stem.reduction == 2 else 1] + [2] * (len(widths) - 1)
    plan = dilated(strides, stem.reduction, config.output_stride)
    rates = drop_path_rates(config.drop_path_rate, sum(config.layers))
    stages: list[nn.Module] = []
    info, channels = [], stem.out_channels
    for i, (depth, width) in enumerate(zip(config.layers, widths, strict=True)):
        gate, gate_args = config.stage_attention[i], config.stage_attention_args[i]
        mid = int(width * config.base_width / 64) * config.groups
        spec = StageSpec(
            depth=depth,
            out=width * (1 if basic else 4),
            mid=mid_channels(conv, mid, dict(config.conv_args)),
            stride=strides[i],
            groups=config.groups,
            dilate=plan[i]["dilate"],
            dilation=plan[i]["dilation"],
            gate=partial(make_gate, gate, gate_args, norm=norm),
        )
        stages.append(make_stage(spec, channels, [rates.pop(0) for _ in range(depth)], parts))
        channels = spec.out
        info.append(StageInfo(channels, plan[i]["reduction"]))
    head = Head(
        channels, config.num_classes, global_pool=config.global_pool, drop_rate=config.drop_rate
    )
    return Network(stem, stages, head, config, stage_info=info)
