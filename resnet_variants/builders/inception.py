"""Inception networks with the gate of SE-Inception (Hu et al., CVPR 2018).

BN-Inception (Ioffe and Szegedy, ICML 2015) has the gate on each block's concatenated output,
Inception-ResNet-v2 (Szegedy et al., AAAI 2017) at the end of each residual branch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any, ClassVar

from torch import nn

from ..blocks.inception import Concat, Enlarge, Inception, MaxPoolUp, ResidualInception
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

Conv = Callable[..., nn.Module]
Window = tuple[int, int, int]
Layer = tuple[Any, ...]  # channels, kernel, stride where it is not 1
Branches = tuple[tuple[Layer, ...], ...]

# Inception-ResNet-v2: the branches of the units of each stage, and of what stands between stages,
# where a pooling joins them. A convolution that strides does not pad.
BLOCKS: tuple[Branches, ...] = (
    (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3))),
    (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1)))),
    (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1)))),
)
MIXED_5B: Branches = (((96, 1),), ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3)))
MIXED_6A: Branches = (((384, 3, 2),), ((256, 1), (256, 3), (384, 3, 2)))
MIXED_7A: Branches = (
    ((256, 1), (384, 3, 2)),
    ((256, 1), (288, 3, 2)),
    ((256, 1), (288, 3), (320, 3, 2)),
)
# Kernel, stride and padding of Inception-ResNet-v2's first layers: the stem's convolutions and its
# pooling, a convolution and a pooling of the first stage
WINDOWS: tuple[Window, ...] = ((3, 2, 0), (3, 1, 0), (3, 1, 1), (3, 2, 0), (3, 1, 0), (3, 2, 0))


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


@register_builder(BNInceptionConfig)
def build_bn_inception(config: BNInceptionConfig) -> Network:
    """The network that ``config`` describes."""
    parts = Parts(config, 0)
    cifar = config.stem == "cifar"

    conv = partial(parts.conv, bias=config.conv_bias)
    stem = Stem(
        [conv(config.in_chans, 64, 3) if cifar else conv(config.in_chans, 64, 7, 2)],
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
        branches = _bn_branches(conv, place.in_channels, row)
        return Inception(branches, parts.gate(place.out_channels, place))

    return build_staged(parts, stages, unit, stem=stem, first_stride=1)


def _block_width(channels: int, row: Widths | None) -> int:
    """What a block gives of ``channels``."""
    if row is None:
        return channels
    one, three, five, pool, _ = row
    return (one or channels) + three[1] + five[1] + pool


def _bn_branches(conv: Conv, channels: int, row: Widths) -> list[nn.Module]:
    one, three, five, pool, kind = row
    stride = 1 if one else 2
    layers: Branches = (
        ((three[0], 1), (three[1], 3, stride)),
        ((five[0], 1), (five[1], 3), (five[1], 3, stride)),
    )
    branches = chains(conv, channels, (((one, 1),), *layers) if one else layers)
    if not pool:
        return [*branches, MaxPoolUp()]
    pooling = nn.MaxPool2d if kind == "max" else nn.AvgPool2d
    return [*branches, nn.Sequential(pooling(3, 1, padding=1), conv(channels, pool))]


def chains(conv: Conv, channels: int, branches: Branches) -> list[nn.Module]:
    """Branches of the same input, in each convolutions one behind the other."""
    made = []
    for layers in branches:
        widths = [channels, *(width for width, *_ in layers)]
        convs = [conv(into, *layer) for into, layer in zip(widths[:-1], layers, strict=True)]
        made.append(nn.Sequential(*convs) if len(convs) > 1 else convs[0])
    return made


def _caffe_pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, 2, ceil_mode=True)


@register_builder(InceptionResNetConfig)
def build_inception_resnet_v2(config: InceptionResNetConfig) -> Network:
    """The network that ``config`` describes.

    Its convolutions that stride do not pad; a map smaller than their window is enlarged by
    zeros, so that images under 75 pixels work, too.
    """
    parts = Parts(config, sum(config.layers) + 1)
    cifar = config.stem == "cifar"

    def conv(i: int, o: int, kernel: Any = 1, stride: int = 1) -> nn.Module:
        return parts.conv(i, o, kernel) if stride == 1 else unpadded(i, o, stride)

    def unpadded(i: int, o: int, stride: int = 1) -> nn.Sequential:
        return nn.Sequential(Enlarge(), parts.conv(i, o, 3, stride=stride, padding=0))

    def pool() -> nn.Sequential:
        return nn.Sequential(Enlarge(), nn.MaxPool2d(3, 2))

    def early(i: int, o: int, stride: int = 1) -> nn.Module:
        return conv(i, o, 3) if cifar else unpadded(i, o, stride)

    # Unpadded windows cost sizes that a reduction does not say: each stage has all up to its end.
    windows = () if cifar else WINDOWS
    stem = Stem(
        [early(config.in_chans, 32, 2), early(32, 32), conv(32, 64, 3)],
        None if cifar else pool(),
        out_channels=64,
        conv_reduction=1 if cifar else 2,
        conv_windows=windows[:3],
    )
    start = [conv(64, 80), early(80, 192), nn.Identity() if cifar else pool()]
    average = nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)
    mixed_5b = Concat([*chains(conv, 192, MIXED_5B), nn.Sequential(average, conv(192, 64))])
    mixed_6a = Concat([*chains(conv, 320, MIXED_6A), pool()])
    mixed_7a = Concat([*chains(conv, 1088, MIXED_7A), pool()])
    # What a stage begins with, and the branches of the residual units behind it
    starts = ([*start, mixed_5b], [mixed_6a], [mixed_7a])
    first, second, third = config.layers

    def unit(parts: Parts, place: Place) -> nn.Module:
        if place.index < len(starts[place.stage]):
            return starts[place.stage][place.index]
        branches, out = BLOCKS[place.stage], place.out_channels
        end = place.last and place.last_stage  # that unit is not scaled, nor activated
        mixed, gate = chains(conv, place.in_channels, branches), parts.gate(out, place)
        return ResidualInception(
            mixed,
            ConvNormAct(sum(layers[-1][0] for layers in branches), out, norm=None, act=None),
            scale=1.0 if end else config.scales[place.stage],
            act=nn.Identity if end else parts.act,
            attention=gate,
            drop_path=parts.drop_path(),
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
        final=partial(parts.conv, 2080, 1536),
        final_width=1536,
    )
    if not cifar:
        network.min_export_size = 75  # where no map is smaller than a window
    return network
