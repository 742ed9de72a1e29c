"""ShuffleNets: cheap 1x1 convolutions, and channels shuffled so that information crosses.

V1 (Zhang et al., CVPR 2018) groups the 1x1 convolutions of a residual bottleneck with a
depthwise 3x3. V2 (Ma et al., ECCV 2018) splits the channels instead, and leaves half of them
untouched in every unit; its residual and SE forms are in the paper's appendix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import nn

from ..blocks.drop_path import drop_path_rates
from ..blocks.gates import GateFactory, check_gate, make_gate
from ..blocks.head import Head
from ..blocks.layers import ActFactory, ConvNormAct, NormFactory, act_factory, norm_factory
from ..blocks.shuffle import SHUFFLE_ORDERS, ChannelShuffle, Join, ShuffleUnit, Split
from ..blocks.stems import POOLS, STEMS, make_stem
from ..choices import check_choice
from ..config import NetworkConfig, check_count, register_builder
from ..fields import MOST, MOST_UNITS, bounded
from ..network import Network, StageInfo
from .stages import dilated


@dataclass(frozen=True, kw_only=True)
class ShuffleNetConfig(NetworkConfig):
    """What both ShuffleNets have."""

    layers: tuple[int, ...] = bounded((4, 8, 4), least=1, most=MOST_UNITS)
    """units of each stage"""
    stem: str = "conv3_pool"
    """``conv3_pool`` (the papers'), or another of the ResNets' stems, ``cifar`` for 32x32"""
    stem_width: int | None = bounded(None, least=1, most=MOST)
    """channels that the stem gives; None: the paper's"""
    stem_pool: str = "max"
    """``max`` (padded, torch), ``max_ceil`` (unpadded, rounded up: Caffe) or ``none``"""
    first_stride: int = 2
    """stride of the first stage; the 50- and 164-layer networks have 1, as ResNets"""
    attention: str | GateFactory | None = None
    """gate on each branch, before its last activation: a registered name or a module class"""
    attention_args: Mapping[str, Any] = field(default_factory=dict)
    """the gate's own arguments, for instance ``{"reduction": 2}``"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.layers, tuple) or not self.layers:
            raise ValueError(f"layers must give the units of each stage, not {self.layers!r}.")
        for depth in self.layers:
            check_count("layers", depth, 1)
        check_choice("stem", self.stem, list(STEMS))
        check_choice("stem_pool", self.stem_pool, POOLS)
        check_choice("first_stride", self.first_stride, (1, 2))
        check_gate(self.attention, self.attention_args)

    def _check_widths(self, widths: tuple[int, ...]) -> None:
        if len(widths) != len(self.layers):
            raise ValueError(f"widths={widths} for {len(self.layers)} stages.")
        for width in widths:
            check_count("widths", width, 4)

    @property
    def stem_channels(self) -> int:
        """Channels that the stem gives to the first stage."""
        raise NotImplementedError(f"{type(self).__name__} must define stem_channels")

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

    groups: int = 3
    """groups of the 1x1 convolutions"""
    width: float = 1.0
    """multiplies the channels; the published networks have 0.25 to 2"""
    widths: tuple[int, ...] | None = None
    """channels of each stage; None: the paper's for these groups (its Table 1) times ``width``"""
    shuffle_at: str = "after"
    """``after`` the depthwise convolution (released code) or ``before`` it (paper)"""
    shuffle_order: str = "released"
    """``paper``, or ``released``, its inverse"""
    pool_first: bool = True
    """units that stride put the pooled input before the branch's channels, or behind them"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("groups", self.groups, 1)
        if isinstance(self.width, bool) or not 0 < self.width < 100:
            raise ValueError(f"width must be a positive factor, not {self.width!r}.")
        check_choice("shuffle_at", self.shuffle_at, ("after", "before"))
        check_choice("shuffle_order", self.shuffle_order, SHUFFLE_ORDERS)
        if self.widths is None and self.groups not in V1_WIDTHS:
            raise ValueError(
                f"The paper has no widths for groups={self.groups}, only for "
                f"{sorted(V1_WIDTHS)}: give widths, the channels of each stage."
            )
        self._check_widths(self.stage_widths)
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
    def stem_channels(self) -> int:
        """24 (48 from width 2 on, fewer below 1), rounded up to a multiple of the groups."""
        if self.stem_width is not None:
            return self.stem_width
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

    widths: tuple[int, ...] = (116, 232, 464)
    """channels of each stage"""
    head_width: int = 1024
    """channels of the last 1x1 convolution, before the pooling"""
    downsample: str = "halves"
    """how the two branches of a unit that strides share the output: ``halves`` (torchvision), or
    ``keep`` (authors): the projection keeps the input's number of channels"""
    shuffle_at: str = "end"
    """``end``: halves are split and the output shuffled (torchvision). ``start``: even and odd
    channels are split and the output is not shuffled (authors)"""
    residual: bool = False
    """add a branch's input to its output, in units that do not stride"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("head_width", self.head_width, 1)
        check_choice("downsample", self.downsample, ("halves", "keep"))
        check_choice("shuffle_at", self.shuffle_at, ("end", "start"))
        self._check_widths(self.widths)
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
    def stem_channels(self) -> int:
        return self.stem_width or 24

    @property
    def stage_widths(self) -> tuple[int, ...]:
        return self.widths


def _up(channels: int, multiple: int) -> int:
    """The next multiple: grouped convolutions need one, and the paper's own numbers are."""
    return -(-channels // multiple) * multiple


@dataclass(frozen=True)
class _Place:
    """Where a unit stands, and what follows from it."""

    in_channels: int
    out_channels: int
    stride: int
    dilation: int
    first_in_stage: bool
    first_of_all: bool
    drop_path: float


@register_builder(ShuffleNetV1Config)
def build_shufflenet_v1(config: ShuffleNetV1Config) -> Network:
    """The network that ``config`` describes."""
    return _build(config, _v1_unit)


@register_builder(ShuffleNetV2Config)
def build_shufflenet_v2(config: ShuffleNetV2Config) -> Network:
    """The network that ``config`` describes."""
    return _build(config, _v2_unit, head_width=config.head_width)


def _v1_unit(
    config: ShuffleNetV1Config, place: _Place, norm: NormFactory, act: ActFactory
) -> ShuffleUnit:
    groups, first = config.groups, place.first_in_stage
    mid = _up(place.out_channels // 4, groups)
    # Where it strides the pooled input joins the branch, which gives the other channels.
    out = place.out_channels - (place.in_channels if first else 0)
    shuffle = ChannelShuffle(groups, config.shuffle_order)
    return ShuffleUnit(
        conv1=ConvNormAct(
            place.in_channels, mid, groups=1 if place.first_of_all else groups, norm=norm, act=act
        ),
        shuffle_before=shuffle if config.shuffle_at == "before" else None,
        conv2=_depthwise(mid, place, norm),
        shuffle_after=shuffle if config.shuffle_at == "after" else None,
        conv3=ConvNormAct(mid, out, groups=groups, norm=norm, act=None),
        projection=nn.AvgPool2d(3, place.stride, padding=1) if first else None,
        join=Join(reverse=not config.pool_first) if first else None,
        residual=not first,
        act=act,
        attention=_gate(config, out, place, norm),
        drop_path=place.drop_path,
    )


def _v2_unit(
    config: ShuffleNetV2Config, place: _Place, norm: NormFactory, act: ActFactory
) -> ShuffleUnit:
    mid, first = place.out_channels // 2, place.first_in_stage
    kept = place.in_channels if first and config.downsample == "keep" else mid
    out = place.out_channels - kept
    projection = nn.Sequential(
        _depthwise(place.in_channels, place, norm),
        ConvNormAct(place.in_channels, kept, norm=norm, act=act),
    )
    return ShuffleUnit(
        split=None if first else Split(alternate=config.shuffle_at == "start"),
        projection=projection if first else None,
        conv1=ConvNormAct(place.in_channels if first else mid, mid, norm=norm, act=act),
        conv2=_depthwise(mid, place, norm),
        conv3=ConvNormAct(mid, out, norm=norm, act=None),
        join=Join(alternate=config.shuffle_at == "end"),
        residual=config.residual and not first,
        act=act,
        attention=_gate(config, out, place, norm),
        drop_path=place.drop_path,
    )


def _depthwise(channels: int, place: _Place, norm: NormFactory) -> ConvNormAct:
    return ConvNormAct(
        channels,
        channels,
        3,
        stride=place.stride,
        dilation=place.dilation,
        groups=channels,
        norm=norm,
        act=None,
    )


def _gate(
    config: ShuffleNetConfig, channels: int, place: _Place, norm: NormFactory
) -> nn.Module | None:
    return make_gate(
        config.attention, config.attention_args, channels, place.in_channels, norm=norm
    )


def _build(config: Any, make_unit: Callable[..., nn.Module], head_width: int = 0) -> Network:
    """Stem, stages whose first units stride, and a head with a 1x1 convolution if it has width."""
    norm = norm_factory(config.norm_layer, config.norm_args)
    act = act_factory(config.act_layer)
    stem = make_stem(
        config.stem,
        config.in_chans,
        width=config.stem_channels,
        pool=config.stem_pool,
        norm=norm,
        act=act,
    )
    strides = [config.first_stride] + [2] * (len(config.layers) - 1)
    plan = dilated(strides, stem.reduction, config.output_stride)
    rates = iter(drop_path_rates(config.drop_path_rate, sum(config.layers)))
    stages: list[nn.Module] = []
    info, channels = [], stem.out_channels
    for s, (depth, width) in enumerate(zip(config.layers, config.stage_widths, strict=True)):
        units = []
        for b in range(depth):
            place = _Place(
                in_channels=channels,
                out_channels=width,
                stride=strides[s] if b == 0 and not plan[s]["dilate"] else 1,
                dilation=plan[s]["dilation"][min(b, 1)],
                first_in_stage=b == 0,
                first_of_all=s == b == 0,
                drop_path=next(rates),
            )
            units.append(make_unit(config, place, norm, act))
            channels = width
        stages.append(nn.Sequential(*units))
        info.append(StageInfo(channels, plan[s]["reduction"]))
    final = ConvNormAct(channels, head_width, norm=norm, act=act) if head_width else None
    head = Head(
        head_width or channels,
        config.num_classes,
        final=final,
        global_pool=config.global_pool,
        drop_rate=config.drop_rate,
    )
    return Network(stem, stages, head, config, stage_info=info)
