"""The Residual Attention Network (Wang et al., CVPR 2017).

Between the units that stride stand attention modules: a trunk of residual units, and a mask
branch, an hourglass of the same units, that weighs the trunk's output. The depth in a name counts
the trunk: 20 + 3 (2 p + t) M for M modules.

Defaults are the authors' released network definitions: pooling rounds up and does not pad,
upsampling aligns corners, and nothing is added at the last upsampling. (pytorchcv and others add
the trunk's and the module's features there: the same parameters, another network.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import nn

from ..blocks.attention_module import LEARNING, MASKS, AttentionModule, Mask
from ..blocks.inception import Enlarge, ResidualInception
from ..blocks.layers import conv2d
from ..blocks.preactivation import PreActivation, PreActUnit
from ..blocks.residual import Bottleneck
from ..blocks.shortcuts import make_shortcut
from ..blocks.stems import POOLS, STEMS
from ..config import register_builder
from ..fields import MOST_UNITS, bounded, one_of
from ..network import Network
from .inception import Branches, chains
from .staged import Parts, Place, Stage, StemmedConfig, build_staged


@dataclass(frozen=True, kw_only=True)
class RANConfig(StemmedConfig):
    """A Residual Attention Network. The gate is on the residual units of the trunk."""

    builder: ClassVar[str] = "ran"
    stage_field: ClassVar[str] = "widths"
    undilatable: ClassVar[str] = "the masks pool their way through the network's resolutions"

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
    mask: str = one_of("mixed", MASKS)
    """``mixed``, ``channel``, ``spatial``: how the mask is normalised (the paper's Table 2)"""
    learning: str = one_of("residual", LEARNING)
    """``residual``: (1 + M) T; ``naive``: M T"""
    unit: str = one_of("resnet", ("resnet", "resnext", "inception"))
    """``resnet`` (pre-activation), ``resnext`` or ``inception``"""
    widths: tuple[int, ...] = bounded((256, 512, 1024, 2048), least=8)
    """output channels of each stage"""
    tail: int = bounded(3, least=1, most=MOST_UNITS)
    """units of the last stage, which has no attention module"""
    groups: int = bounded(32, least=1)
    """groups of the 3x3 of ``unit="resnext"``"""
    stem_pool: str = one_of("max_ceil", POOLS)
    """``max_ceil`` (Caffe, as the authors), ``max`` or ``none``"""

    def _check_shapes(self) -> None:
        stages = len(self.widths) - 1
        if stages < 1 or not len(self.modules) == len(self.mask_depths) == stages:
            raise ValueError(
                f"modules={self.modules} and mask_depths={self.mask_depths} must give one number "
                f"for each of widths={self.widths} but the last."
            )
        if self.unit == "resnext" and any(width % (2 * self.groups) for width in self.widths):
            raise ValueError(
                f"unit='resnext': half of each of widths={self.widths} must divide into "
                f"groups={self.groups}."
            )

    @property
    def own_stem_width(self) -> int:
        return STEMS[self.stem].width or 16

    @property
    def depth(self) -> int:
        """Layers of the trunk: what the paper's names count (for the default tail of 3)."""
        return 2 + 3 * (
            len(self.widths) - 1 + self.tail + (2 * self.p + self.t) * sum(self.modules)
        )


@register_builder(RANConfig)
def build_ran(config: RANConfig) -> Network:
    """The network that ``config`` describes."""
    in_modules = (2 * config.p + config.t) * sum(config.modules)
    parts = Parts(config, len(config.widths) - 1 + in_modules + config.tail)
    units = (*config.modules, config.tail - 1)  # behind each stage's first
    final = partial(_activation, parts, config.widths[-1])
    return build_staged(
        parts,
        [Stage((width,) * (1 + n)) for width, n in zip(config.widths, units, strict=True)],
        _unit_or_module,
        final=final if config.unit == "resnet" else None,
    )


def _unit_or_module(parts: Parts, place: Place) -> nn.Module:
    """A stage begins with a unit; modules follow, in the last stage units."""
    return _module(parts, place) if place.index and not place.last_stage else _unit(parts, place)


def _module(parts: Parts, place: Place) -> AttentionModule:
    def units(n: int) -> nn.Sequential:
        return nn.Sequential(*[_unit(parts, place) for _ in range(n)])

    p, t = parts.config.p, parts.config.t
    return AttentionModule(
        units(p), units(t), _mask(parts, place), units(p), learning=parts.config.learning
    )


def _mask(parts: Parts, place: Place) -> Mask:
    config = parts.config
    depth = config.mask_depths[place.stage]
    # Rounds up and does not pad, as the authors' Caffe.
    pool: nn.Module = nn.MaxPool2d(3, 2, ceil_mode=True)
    if depth > len(config.modules) - place.stage:  # as often as the network itself halves the map
        # Small images come down to one position, which such a pooling refuses.
        pool = nn.Sequential(Enlarge(2, float("-inf")), pool)

    def units(n: int) -> nn.Sequential:
        return nn.Sequential(*[_unit(parts, place, in_mask=True) for _ in range(n)])

    steps, channels = max(depth - 1, 0), place.out_channels
    down = [*(units(config.r) for _ in range(steps)), units(2 * config.r)]
    skip = [units(1) for _ in range(steps)]
    up = [units(config.r) for _ in range(steps)]
    linear = nn.Sequential(
        _activation(parts, channels) if config.unit == "resnet" else nn.Identity(),
        conv2d(channels, channels, 1, bias=False),
        _activation(parts, channels),
        conv2d(channels, channels, 1, bias=False),
    )
    gate = MASKS[config.mask]()
    return Mask(down, skip, up, pool=pool if depth else None, linear=linear, gate=gate)


def _activation(parts: Parts, channels: int) -> PreActivation:
    return PreActivation(channels, norm=parts.norm, act=parts.act)


def _unit(parts: Parts, place: Place, *, in_mask: bool = False) -> nn.Module:
    """One residual unit; those of a mask have no gate, and are never dropped."""
    config, into, out, stride = parts.config, place.in_channels, place.out_channels, place.stride
    slots: dict[str, Any] = dict(
        act=parts.act,
        attention=None if in_mask else parts.gate(out, place),
        drop_path=0.0 if in_mask else parts.drop_path(),
    )
    if config.unit == "resnet":
        return PreActUnit(into, out, mid_channels=out // 4, stride=stride, norm=parts.norm, **slots)
    make_way = partial(make_shortcut, "conv", into, out, stride=stride, norm=parts.norm)
    if config.unit == "inception":
        wide, narrow = out // 8, max(out // 16, 1)
        branches = chains(parts.conv, into, _inception_branches(wide, narrow, stride))
        shortcut = make_way()
        expand = parts.conv(2 * wide + narrow, out, act=False)
        return ResidualInception(branches, expand, shortcut=shortcut, **slots)
    mid = out // 2
    return Bottleneck(
        conv1=parts.conv(into, mid),
        conv2=parts.conv(mid, mid, 3, stride, groups=config.groups),
        conv3=parts.conv(mid, out, act=False),
        shortcut=make_way(),
        **slots,
    )


def _inception_branches(wide: int, narrow: int, stride: int) -> Branches:
    """Those of the units of Attention-Inception (1x1; 3x3; two 3x3).

    The paper does not say how its unit is made: this one is a reconstruction, with branches of a
    sixteenth, an eighth and an eighth of the output's width, which gives Attention-Inception-56
    the size that the paper reports.
    """
    return (
        ((narrow, 1, stride),),
        ((wide, 1), (wide, 3, stride)),
        ((wide, 1), (wide, 3), (wide, 3, stride)),
    )
