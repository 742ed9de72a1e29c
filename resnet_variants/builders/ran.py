"""The Residual Attention Network (Wang et al., CVPR 2017).

Between the units that stride stand attention modules: a trunk of residual units, and a mask
branch, an hourglass of the same units, that weighs the trunk's output. The depth in a name counts
the trunk: 20 + 3 (2 p + t) M for M modules.

Defaults are the authors' released network definitions: pooling rounds up and does not pad,
upsampling aligns corners, and nothing is added at the last upsampling. (pytorchcv and others add
the trunk's and the module's features there: the same parameters, another network.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import nn

from ..blocks.attention_module import LEARNING, MASKS, AttentionModule, Mask
from ..blocks.drop_path import drop_path_rates
from ..blocks.gates import GateFactory, check_gate, make_gate
from ..blocks.head import Head
from ..blocks.inception import Enlarge, ResidualInception
from ..blocks.layers import ConvNormAct, act_factory, norm_factory
from ..blocks.preactivation import PreActivation, PreActUnit
from ..blocks.residual import Bottleneck
from ..blocks.shortcuts import make_shortcut
from ..blocks.stems import POOLS, STEMS, make_stem
from ..choices import check_choice
from ..config import NetworkConfig, check_count, register_builder
from ..fields import MOST, MOST_UNITS, bounded
from ..network import Network, StageInfo

UNITS = ("resnet", "resnext", "inception")


@dataclass(frozen=True, kw_only=True)
class RANConfig(NetworkConfig):
    """A Residual Attention Network."""

    builder: ClassVar[str] = "ran"

    modules: tuple[int, ...] = bounded((1, 1, 1), least=0, most=MOST_UNITS)
    """attention modules of each stage but the last"""
    p: int = bounded(1, least=1, most=MOST_UNITS)
    """units before the trunk splits off its mask, and after the two are joined"""
    t: int = bounded(2, least=1, most=MOST_UNITS)
    """units of the trunk"""
    r: int = bounded(1, least=1, most=MOST_UNITS)
    """units between two poolings of the mask; twice as many at its bottom"""
    mask_depths: tuple[int, ...] = bounded((3, 2, 1), least=0, most=16)
    """poolings of the masks of each stage"""
    mask: str = "mixed"
    """``mixed``, ``channel``, ``spatial``: how the mask is normalised (the paper's Table 2)"""
    learning: str = "residual"
    """``residual``: (1 + M) T; ``naive``: M T"""
    unit: str = "resnet"
    """``resnet`` (pre-activation), ``resnext`` or ``inception``"""
    widths: tuple[int, ...] = (256, 512, 1024, 2048)
    """output channels of each stage"""
    tail: int = bounded(3, least=1, most=MOST_UNITS)
    """units of the last stage, which has no attention module"""
    groups: int = 32
    """groups of the 3x3 of ``unit="resnext"``"""
    stem: str = "conv7"
    """as in the ResNets: ``conv7``, ``deep``, …, ``cifar``"""
    stem_width: int | None = bounded(None, least=8, most=MOST)
    """channels that the stem gives; None: the stem's own, 16 for ``cifar``"""
    stem_pool: str = "max_ceil"
    """``max_ceil`` (Caffe, as the authors), ``max`` or ``none``"""
    attention: str | GateFactory | None = None
    """a gate on the residual units of the trunk"""
    attention_args: Mapping[str, Any] = field(default_factory=dict)
    """the gate's own arguments"""

    def __post_init__(self) -> None:
        super().__post_init__()
        stages = len(self.widths) - 1
        if stages < 1 or not len(self.modules) == len(self.mask_depths) == stages:
            raise ValueError(
                f"modules={self.modules} and mask_depths={self.mask_depths} must give one number "
                f"for each of widths={self.widths} but the last."
            )
        for name in ("modules", "mask_depths"):
            for value in getattr(self, name):
                check_count(name, value, 0)
        for width in self.widths:
            check_count("widths", width, 8)
        for name in ("p", "t", "r", "tail", "groups"):
            check_count(name, getattr(self, name), 1)
        check_choice("mask", self.mask, list(MASKS))
        check_choice("learning", self.learning, LEARNING)
        check_choice("unit", self.unit, UNITS)
        check_choice("stem", self.stem, list(STEMS))
        check_choice("stem_pool", self.stem_pool, POOLS)
        check_gate(self.attention, self.attention_args)
        if self.unit == "resnext" and any(width % (2 * self.groups) for width in self.widths):
            raise ValueError(
                f"unit='resnext': half of each of widths={self.widths} must divide into "
                f"groups={self.groups}."
            )
        if self.output_stride != 32:
            raise ValueError(
                f"output_stride={self.output_stride}: the masks of a Residual Attention Network "
                "pool their way through its resolutions, so its stages cannot be dilated."
            )

    @property
    def depth(self) -> int:
        """Layers of the trunk: what the paper's names count (for the default tail of 3)."""
        return 2 + 3 * (
            len(self.widths) - 1 + self.tail + (2 * self.p + self.t) * sum(self.modules)
        )


@register_builder(RANConfig)
def build_ran(config: RANConfig) -> Network:
    """The network that ``config`` describes."""
    norm = norm_factory(config.norm_layer, config.norm_args)
    act = act_factory(config.act_layer)
    stem = make_stem(
        config.stem,
        config.in_chans,
        width=config.stem_width or STEMS[config.stem].width or 16,
        pool=config.stem_pool,
        norm=norm,
        act=act,
    )
    trunk = (2 * config.p + config.t) * sum(config.modules)
    rates = drop_path_rates(config.drop_path_rate, len(config.widths) - 1 + trunk + config.tail)
    make_unit = {"resnet": _resnet, "resnext": _resnext, "inception": _inception}[config.unit]

    def unit(in_channels: int, out: int, stride: int = 1, *, gated: bool = True) -> nn.Module:
        """One residual unit; those of the trunk have the gate and the next drop path."""
        gate = (
            make_gate(config.attention, config.attention_args, out, in_channels, norm=norm)
            if gated
            else None
        )
        return make_unit(
            in_channels,
            out,
            stride,
            groups=config.groups,
            attention=gate,
            drop_path=rates.pop(0) if gated else 0.0,
            norm=norm,
            act=act,
        )

    def module(channels: int, mask_depth: int, halvings: int) -> AttentionModule:
        def trunk_units(n: int) -> nn.Sequential:
            return nn.Sequential(*[unit(channels, channels) for _ in range(n)])

        return AttentionModule(
            trunk_units(config.p),
            trunk_units(config.t),
            _mask(config, unit, channels, mask_depth, halvings),
            trunk_units(config.p),
            learning=config.learning,
        )

    stages: list[nn.Module] = []
    info, channels, reduction = [], stem.out_channels, stem.reduction
    for i, width in enumerate(config.widths):
        stride = 2 if i or reduction == 2 else 1
        units = [unit(channels, width, stride)]
        if i < len(config.modules):
            halvings = len(config.modules) - i
            depth = config.mask_depths[i]
            units += [module(width, depth, halvings) for _ in range(config.modules[i])]
        else:
            units += [unit(width, width) for _ in range(config.tail - 1)]
        stages.append(nn.Sequential(*units))
        channels, reduction = width, reduction * stride
        info.append(StageInfo(channels, reduction))
    final = PreActivation(channels, norm=norm, act=act) if config.unit == "resnet" else None
    head = Head(
        channels,
        config.num_classes,
        final=final,
        global_pool=config.global_pool,
        drop_rate=config.drop_rate,
    )
    return Network(stem, stages, head, config, stage_info=info)


def _mask(
    config: RANConfig, unit: Callable[..., nn.Module], channels: int, depth: int, halvings: int
) -> Mask:
    """A mask of ``depth`` poolings where the network itself halves the map ``halvings`` times."""
    # Rounds up and does not pad, as the authors' Caffe.
    pool: nn.Module = nn.MaxPool2d(3, 2, ceil_mode=True)
    if depth > halvings:  # small images come down to one position, which such a pooling refuses
        pool = nn.Sequential(Enlarge(2, float("-inf")), pool)

    def units(n: int) -> nn.Sequential:
        return nn.Sequential(*[unit(channels, channels, gated=False) for _ in range(n)])

    levels = max(depth, 1)
    return Mask(
        [units(config.r * (2 if level == levels - 1 else 1)) for level in range(levels)],
        [units(1) for _ in range(levels - 1)],
        [units(config.r) for _ in range(levels - 1)],
        pool=pool if depth else None,
        channels=channels,
        preactivated=config.unit == "resnet",
        mask=config.mask,
        norm=norm_factory(config.norm_layer, config.norm_args),
        act=act_factory(config.act_layer),
    )


def _resnet(in_channels: int, out: int, stride: int, *, groups: int, **slots: Any) -> nn.Module:
    return PreActUnit(in_channels, out, mid_channels=out // 4, stride=stride, **slots)


def _resnext(
    in_channels: int, out: int, stride: int, *, groups: int, norm: Any, act: Any, **slots: Any
) -> nn.Module:
    mid = out // 2
    return Bottleneck(
        conv1=ConvNormAct(in_channels, mid, norm=norm, act=act),
        conv2=ConvNormAct(mid, mid, 3, stride=stride, groups=groups, norm=norm, act=act),
        conv3=ConvNormAct(mid, out, norm=norm, act=None),
        shortcut=make_shortcut("conv", in_channels, out, stride=stride, norm=norm),
        act=act,
        **slots,
    )


def _inception(in_channels: int, out: int, stride: int, *, groups: int, **slots: Any) -> nn.Module:
    return ResidualInception(in_channels, out, stride=stride, **slots)
