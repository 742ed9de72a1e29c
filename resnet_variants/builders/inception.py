"""Inception networks with the gate of SE-Inception (Hu et al., CVPR 2018).

BN-Inception (Ioffe and Szegedy, ICML 2015) has the gate on each block's concatenated output,
Inception-ResNet-v2 (Szegedy et al., AAAI 2017) at the end of each residual branch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import ClassVar

from torch import nn

from ..blocks.inception import Concat, Enlarge, Inception, MaxPoolUp, ScaledResidual
from ..blocks.layers import ConvNormAct
from ..blocks.stems import Stem
from ..config import register_builder
from ..fields import MOST_UNITS, bounded, one_of
from ..network import Network
from .staged import Parts, Place, Stage, StagedConfig, build_staged

# Channels of a block's branches: 1x1; reduction and 3x3; reduction and two 3x3; pooling's 1x1.
# Without 1x1 the block strides and the pooling has no convolution. "max" pools by the maximum.
# None: Caffe's pooling, by which the first stage of blocks strides.
Widths = tuple[int, tuple[int, int], tuple[int, int], int, str]
BN_INCEPTION: tuple[tuple[Widths | None, ...], ...] = (
    (None, (64, (64, 64), (64, 96), 32, "avg"), (64, (64, 96), (64, 96), 64, "avg")),
    (
        (0, (128, 160), (64, 96), 0, "max"),
        (224, (64, 96), (96, 128), 128, "avg"),
        (192, (96, 128), (96, 128), 128, "avg"),
        (160, (128, 160), (128, 160), 128, "avg"),
        (96, (128, 192), (160, 192), 128, "avg"),
    ),
    (
        (0, (128, 192), (192, 256), 0, "max"),
        (352, (192, 320), (160, 224), 128, "avg"),
        (352, (192, 320), (192, 224), 128, "max"),
    ),
)

Conv = Callable[..., ConvNormAct]
Window = tuple[int, int, int]
# Kernel, stride and padding of Inception-ResNet-v2's first convolutions
STEM_WINDOWS = ((3, 2, 0), (3, 1, 0), (3, 1, 1))


@dataclass(frozen=True, kw_only=True)
class InceptionConfig(StagedConfig):
    """What the Inception networks share. The gate is on every block."""

    undilatable: ClassVar[str] = "Inception's poolings stride beside its convolutions"

    stem: str = one_of("imagenet", ("imagenet", "cifar"))
    """``imagenet`` (the paper's), ``cifar`` (a 3x3 that reduces nothing)"""


@dataclass(frozen=True, kw_only=True)
class BNInceptionConfig(InceptionConfig):
    """BN-Inception."""

    builder: ClassVar[str] = "bn_inception"

    conv_bias: bool = False
    """biases before normalisation (pytorchcv, Cadene; not in the SENet authors' definition)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.drop_path_rate:
            raise ValueError(
                f"drop_path_rate={self.drop_path_rate}: BN-Inception has no residual branch."
            )
        if isinstance(self.attention, tuple) and self.attention[0] not in (None, "none"):
            raise ValueError(
                f"attention={self.attention!r}: BN-Inception's first stage has no block for a gate."
            )

    @property
    def stage_count(self) -> int:
        return 1 + len(BN_INCEPTION)


@dataclass(frozen=True, kw_only=True)
class InceptionResNetConfig(InceptionConfig):
    """Inception-ResNet-v2."""

    builder: ClassVar[str] = "inception_resnet_v2"

    layers: tuple[int, int, int] = bounded((10, 20, 9), least=1, most=MOST_UNITS)
    """residual units of each resolution; one more without activation ends the last"""
    scales: tuple[float, float, float] = (0.17, 0.10, 0.20)
    """what each resolution's residual branches are multiplied with"""

    @property
    def stage_count(self) -> int:
        return len(self.layers)


@register_builder(BNInceptionConfig)
def build_bn_inception(config: BNInceptionConfig) -> Network:
    """The network that ``config`` describes."""
    parts = Parts(config, 0)
    conv = partial(parts.conv, bias=config.conv_bias)
    cifar = config.stem == "cifar"
    stem = Stem(
        [conv(config.in_chans, 64, 3) if cifar else conv(config.in_chans, 64, 7, stride=2)],
        None if cifar else _caffe_pool(),
        out_channels=64,
        conv_reduction=1 if cifar else 2,
    )
    stages = [Stage((192,))]
    for rows in BN_INCEPTION:
        widths = accumulate(rows, _block_width, initial=stages[-1].widths[-1])
        stages.append(Stage(tuple(widths)[1:], rounds_down=None in rows))

    def unit(parts: Parts, place: Place) -> nn.Module:
        if place.stage == 0:
            return nn.Sequential(conv(64, 64), conv(64, 192, 3))
        row = BN_INCEPTION[place.stage - 1][place.index]
        if row is None:
            return _caffe_pool()
        branches = _bn_branches(place.in_channels, *row, conv)
        return Inception(branches, parts.gate(place.out_channels, place))

    return build_staged(parts, stages, unit, stem=stem, first_stride=1)


def _block_width(channels: int, row: Widths | None) -> int:
    """What a block gives of ``channels``."""
    if row is None:
        return channels
    one, three, five, pool, _ = row
    return (one or channels) + three[1] + five[1] + pool


def _bn_branches(
    channels: int,
    one: int,
    three: tuple[int, int],
    five: tuple[int, int],
    pool: int,
    kind: str,
    conv: Conv,
) -> list[nn.Module]:
    stride = 1 if one else 2
    branches: list[nn.Module] = [conv(channels, one)] if one else []
    branches += [
        nn.Sequential(conv(channels, three[0]), conv(three[0], three[1], 3, stride=stride)),
        nn.Sequential(
            conv(channels, five[0]),
            conv(five[0], five[1], 3),
            conv(five[1], five[1], 3, stride=stride),
        ),
    ]
    if not pool:
        return [*branches, MaxPoolUp()]
    pooling = nn.MaxPool2d if kind == "max" else nn.AvgPool2d
    return [*branches, nn.Sequential(pooling(3, 1, padding=1), conv(channels, pool))]


def _caffe_pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, 2, ceil_mode=True)


@register_builder(InceptionResNetConfig)
def build_inception_resnet_v2(config: InceptionResNetConfig) -> Network:
    """The network that ``config`` describes.

    Its convolutions that stride do not pad; a map smaller than their window is enlarged by
    zeros, so that images under 75 pixels work, too.
    """
    parts = Parts(config, sum(config.layers) + 1)
    conv, cifar = parts.conv, config.stem == "cifar"

    def unpadded(i: int, o: int, stride: int = 1) -> nn.Sequential:
        return nn.Sequential(Enlarge(), conv(i, o, 3, stride=stride, padding=0))

    def pool() -> nn.Sequential:
        return nn.Sequential(Enlarge(), nn.MaxPool2d(3, 2))

    # Unpadded windows cost sizes that a reduction does not say: each stage has all up to its end.
    windows: tuple[Window, ...] = ()
    if cifar:
        stem = Stem(
            [conv(config.in_chans, 32, 3), conv(32, 32, 3), conv(32, 64, 3)],
            None,
            out_channels=64,
            conv_reduction=1,
        )
        start: list[nn.Module] = [conv(64, 80), conv(80, 192, 3), nn.Identity()]
    else:
        stem = Stem(
            [unpadded(config.in_chans, 32, 2), unpadded(32, 32), conv(32, 64, 3)],
            pool(),
            out_channels=64,
            conv_reduction=2,
            conv_windows=STEM_WINDOWS,
        )
        start = [conv(64, 80), unpadded(80, 192), pool()]
        windows = (*STEM_WINDOWS, (3, 2, 0), (3, 1, 0), (3, 2, 0))
    mixed_5b = Concat(
        [
            conv(192, 96),
            nn.Sequential(conv(192, 48), conv(48, 64, 5)),
            nn.Sequential(conv(192, 64), conv(64, 96, 3), conv(96, 96, 3)),
            nn.Sequential(nn.AvgPool2d(3, 1, padding=1, count_include_pad=False), conv(192, 64)),
        ]
    )
    mixed_6a = Concat(
        [
            unpadded(320, 384, 2),
            nn.Sequential(conv(320, 256), conv(256, 256, 3), unpadded(256, 384, 2)),
            pool(),
        ]
    )
    mixed_7a = Concat(
        [
            nn.Sequential(conv(1088, 256), unpadded(256, 384, 2)),
            nn.Sequential(conv(1088, 256), unpadded(256, 288, 2)),
            nn.Sequential(conv(1088, 256), conv(256, 288, 3), unpadded(288, 320, 2)),
            pool(),
        ]
    )
    # What a stage begins with, and the branches of the residual units behind it
    starts = ([*start, mixed_5b], [mixed_6a], [mixed_7a])
    branches_of = (_block35, _block17, _block8)
    first, second, third = config.layers

    def unit(parts: Parts, place: Place) -> nn.Module:
        if place.index < len(starts[place.stage]):
            return starts[place.stage][place.index]
        branches, width = branches_of[place.stage](conv, place.in_channels)
        end = place.last and place.last_stage  # that unit is not scaled, nor activated
        return ScaledResidual(
            branches,
            width,
            place.out_channels,
            scale=1.0 if end else config.scales[place.stage],
            attention=parts.gate(place.out_channels, place),
            drop_path=parts.drop_path(),
            act=None if end else parts.act,
        )

    halved = ((3, 2, 0),)
    network = build_staged(
        parts,
        [
            Stage((80, 192, 192) + (320,) * (1 + first), windows=windows),
            Stage((1088,) * (1 + second), windows=windows + halved),
            Stage((2080,) * (2 + third), windows=windows + halved * 2),
        ],
        unit,
        stem=stem,
        first_stride=1 if cifar else 2,
        final=partial(conv, 2080, 1536),
        final_width=1536,
    )
    if not cifar:
        network.min_export_size = 75  # where no map is smaller than a window
    return network


def _block35(conv: Conv, channels: int) -> tuple[list[nn.Module], int]:
    branches = [
        conv(channels, 32),
        nn.Sequential(conv(channels, 32), conv(32, 32, 3)),
        nn.Sequential(conv(channels, 32), conv(32, 48, 3), conv(48, 64, 3)),
    ]
    return branches, 128


def _block17(conv: Conv, channels: int) -> tuple[list[nn.Module], int]:
    wide = nn.Sequential(conv(channels, 128), conv(128, 160, (1, 7)), conv(160, 192, (7, 1)))
    return [conv(channels, 192), wide], 384


def _block8(conv: Conv, channels: int) -> tuple[list[nn.Module], int]:
    wide = nn.Sequential(conv(channels, 192), conv(192, 224, (1, 3)), conv(224, 256, (3, 1)))
    return [conv(channels, 192), wide], 448
