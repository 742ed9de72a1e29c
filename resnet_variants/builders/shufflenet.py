"""ShuffleNets: cheap 1x1 convolutions, and channels shuffled so that information crosses.

V1 (Zhang et al., CVPR 2018) groups the 1x1 convolutions of a residual bottleneck with a
depthwise 3x3. V2 (Ma et al., ECCV 2018) splits the channels instead, and leaves half of them
untouched in every unit; its residual and SE forms are in the paper's appendix.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from ..blocks.layers import ConvNormAct
from ..blocks.shuffle import SHUFFLE_ORDERS, ChannelShuffle, Join, ShuffleUnit, Split
from ..blocks.stems import STEMS
from ..config import register_builder
from ..fields import MOST_UNITS, bounded, one_of
from ..network import Network
from .staged import Parts, Place, Stage, StemmedConfig, build_staged


@dataclass(frozen=True, kw_only=True)
class ShuffleNetConfig(StemmedConfig):
    """What both ShuffleNets have. The gate is on each branch, before its last activation."""

    layers: tuple[int, ...] = bounded((4, 8, 4), least=1, most=MOST_UNITS)
    """units of each stage"""
    stem: str = one_of("conv3_pool", STEMS)
    """``conv3_pool`` (the papers'), or another of the ResNets' stems, ``cifar`` for 32x32"""
    first_stride: int = one_of(2, (1, 2))
    """stride of the first stage; the 50- and 164-layer networks have 1, as ResNets"""

    def _check_shapes(self) -> None:
        self._check_widths(self.stage_widths)

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Channels that each stage gives."""
        raise NotImplementedError(f"{type(self).__name__} must define stage_widths")


V1_WIDTHS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}


@dataclass(frozen=True, kw_only=True)
class ShuffleNetV1Config(ShuffleNetConfig):
    """A ShuffleNetV1. Defaults are the authors' released networks', whose shuffle differs from
    the paper's: ``shuffle_at="before", shuffle_order="paper"``."""

    builder: ClassVar[str] = "shufflenet_v1"

    groups: int = bounded(3, least=1)
    """groups of the 1x1 convolutions"""
    width: float = bounded(1.0, least=0.05, most=100)
    """multiplies the channels; the published networks have 0.25 to 2"""
    widths: tuple[int, ...] | None = bounded(None, least=4)
    """channels of each stage; None: the paper's for these groups (its Table 1) times ``width``"""
    shuffle_at: str = one_of("after", ("after", "before"))
    """``after`` the depthwise convolution (released code) or ``before`` it (paper)"""
    shuffle_order: str = one_of("released", SHUFFLE_ORDERS)
    """``paper``, or ``released``, its inverse"""
    pool_first: bool = True
    """units that stride put the pooled input before the branch's channels, or behind them"""

    def _check_shapes(self) -> None:
        if self.widths is None and self.groups not in V1_WIDTHS:
            raise ValueError(
                f"The paper has no widths for groups={self.groups}, only for "
                f"{sorted(V1_WIDTHS)}: give widths, the channels of each stage."
            )
        super()._check_shapes()
        channels = self.stem_channels
        for i, width in enumerate(self.stage_widths):
            new = width - channels
            if new < 1 or new % self.groups or (i and channels % self.groups):
                raise ValueError(
                    f"widths={self.stage_widths} behind a stem of {self.stem_channels}: stage {i} "
                    f"adds {new} channels to {channels}, which must be a positive multiple of "
                    f"groups={self.groups}."
                )
            channels = width

    @property
    def own_stem_width(self) -> int:
        """24 (48 from width 2 on, fewer below 1), rounded up to a multiple of the groups."""
        return _up(int(24 * min(self.width, 1)) if self.width < 2 else 48, self.groups)

    @property
    def stage_widths(self) -> tuple[int, ...]:
        if self.widths is not None:
            return self.widths
        return tuple(
            _up(int(V1_WIDTHS[self.groups] * 2**i * self.width), self.groups)
            for i in range(len(self.layers))
        )


@dataclass(frozen=True, kw_only=True)
class ShuffleNetV2Config(ShuffleNetConfig):
    """A ShuffleNetV2. Defaults are torchvision's order of the channels; the authors' released
    networks have ``downsample="keep", shuffle_at="start"``."""

    builder: ClassVar[str] = "shufflenet_v2"

    widths: tuple[int, ...] = bounded((116, 232, 464), least=4)
    """channels of each stage"""
    head_width: int = bounded(1024, least=1)
    """channels of the last 1x1 convolution, before the pooling"""
    downsample: str = one_of("halves", ("halves", "keep"))
    """how the two branches of a unit that strides share the output: ``halves`` (torchvision), or
    ``keep`` (authors): the projection keeps the input's number of channels"""
    shuffle_at: str = one_of("end", ("end", "start"))
    """``end``: halves are split and the output shuffled (torchvision). ``start``: even and odd
    channels are split and the output is not shuffled (authors)"""
    residual: bool = False
    """add a branch's input to its output, in units that do not stride"""

    def _check_shapes(self) -> None:
        super()._check_shapes()
        channels = self.stem_channels
        for width in self.widths:
            if width % 2:
                raise ValueError(f"widths={self.widths}: {width} does not divide into halves.")
            if self.downsample == "keep" and width <= channels:
                raise ValueError(
                    f"downsample='keep' leaves {channels} of the {width} channels of "
                    f"widths={self.widths} to the projection, none to the branch: use 'halves'."
                )
            channels = width
        if self.drop_path_rate and not self.residual:
            raise ValueError(
                f"drop_path_rate={self.drop_path_rate} drops residual branches, and "
                "residual=False has none: use residual=True."
            )

    @property
    def own_stem_width(self) -> int:
        return 24

    @property
    def stage_widths(self) -> tuple[int, ...]:
        return self.widths


def _up(channels: int, multiple: int) -> int:
    """The next multiple: grouped convolutions need one, and the paper's own numbers are."""
    return -(-channels // multiple) * multiple


@register_builder(ShuffleNetV1Config)
def build_shufflenet_v1(config: ShuffleNetV1Config) -> Network:
    """The network that ``config`` describes."""
    return build_staged(
        Parts(config, sum(config.layers)),
        _stages(config),
        _v1_unit,
        first_stride=config.first_stride,
    )


@register_builder(ShuffleNetV2Config)
def build_shufflenet_v2(config: ShuffleNetV2Config) -> Network:
    """The network that ``config`` describes."""
    parts, width = Parts(config, sum(config.layers)), config.head_width
    return build_staged(
        parts,
        _stages(config),
        _v2_unit,
        first_stride=config.first_stride,
        final=partial(parts.conv, config.widths[-1], width),
        final_width=width,
    )


def _stages(config: ShuffleNetConfig) -> list[Stage]:
    return [Stage((w,) * n) for n, w in zip(config.layers, config.stage_widths, strict=True)]


def _v1_unit(parts: Parts, place: Place) -> ShuffleUnit:
    config, first = parts.config, place.index == 0
    groups, into = config.groups, place.in_channels
    mid = _up(place.out_channels // 4, groups)
    # Where it strides the pooled input joins the branch, which gives the other channels.
    out = place.out_channels - (into if first else 0)
    shuffle = ChannelShuffle(groups, config.shuffle_order)
    return ShuffleUnit(
        conv1=parts.conv(into, mid, groups=1 if first and place.stage == 0 else groups),
        shuffle_before=shuffle if config.shuffle_at == "before" else None,
        conv2=_depthwise(parts, place, mid),
        shuffle_after=shuffle if config.shuffle_at == "after" else None,
        conv3=parts.conv(mid, out, groups=groups, act=False),
        projection=nn.AvgPool2d(3, place.stride, padding=1) if first else None,
        join=Join(reverse=not config.pool_first) if first else None,
        residual=not first,
        act=parts.act,
        attention=parts.gate(out, place),
        drop_path=parts.drop_path(),
    )


def _v2_unit(parts: Parts, place: Place) -> ShuffleUnit:
    config, first = parts.config, place.index == 0
    into, mid = place.in_channels, place.out_channels // 2
    kept = into if first and config.downsample == "keep" else mid
    out = place.out_channels - kept
    projection = nn.Sequential(_depthwise(parts, place, into), parts.conv(into, kept))
    return ShuffleUnit(
        split=None if first else Split(alternate=config.shuffle_at == "start"),
        projection=projection if first else None,
        conv1=parts.conv(into if first else mid, mid),
        conv2=_depthwise(parts, place, mid),
        conv3=parts.conv(mid, out, act=False),
        join=Join(alternate=config.shuffle_at == "end"),
        residual=config.residual and not first,
        act=parts.act,
        attention=parts.gate(out, place),
        drop_path=parts.drop_path(),
    )


def _depthwise(parts: Parts, place: Place, channels: int) -> ConvNormAct:
    window = dict(stride=place.stride, dilation=place.dilation)
    return parts.conv(channels, channels, 3, groups=channels, act=False, **window)
