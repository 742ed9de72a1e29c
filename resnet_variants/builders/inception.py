"""Inception networks with the gate of SE-Inception (Hu et al., CVPR 2018).

BN-Inception (Ioffe and Szegedy, ICML 2015) has the gate on each block's concatenated output,
Inception-ResNet-v2 (Szegedy et al., AAAI 2017) at the end of each residual branch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from torch import nn

from ..blocks.drop_path import drop_path_rates
from ..blocks.gates import GateFactory, check_gate, make_gate
from ..blocks.head import Head
from ..blocks.inception import Concat, Enlarge, Inception, MaxPoolUp, ScaledResidual
from ..blocks.layers import ConvNormAct, act_factory, norm_factory
from ..blocks.stems import Stem
from ..choices import check_choice
from ..config import NetworkConfig, register_builder
from ..fields import MOST_UNITS, bounded
from ..network import Network, StageInfo

# Channels of a block's branches: 1x1; reduction and 3x3; reduction and two 3x3; pooling's 1x1.
# Without 1x1 the block strides and the pooling has no convolution. "max" pools by the maximum.
Widths = tuple[int, tuple[int, int], tuple[int, int], int, str]
BN_INCEPTION: tuple[tuple[Widths, ...], ...] = (
    ((64, (64, 64), (64, 96), 32, "avg"), (64, (64, 96), (64, 96), 64, "avg")),
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

# Kernel, stride and padding of Inception-ResNet-v2's first convolutions
STEM_WINDOWS = ((3, 2, 0), (3, 1, 0), (3, 1, 1))


@dataclass(frozen=True, kw_only=True)
class InceptionConfig(NetworkConfig):
    """What the Inception networks share."""

    stem: str = "imagenet"
    """``imagenet`` (the paper's), ``cifar`` (a 3x3 that reduces nothing)"""
    attention: str | GateFactory | None = None
    """a gate on every block: a registered name or a module class"""
    attention_args: Mapping[str, Any] = field(default_factory=dict)
    """the gate's own arguments"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("stem", self.stem, ("imagenet", "cifar"))
        check_gate(self.attention, self.attention_args)
        if self.output_stride != 32:
            raise ValueError(
                f"output_stride={self.output_stride}: Inception's poolings stride beside its "
                "convolutions, so its stages cannot be dilated."
            )


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
    norm = norm_factory(config.norm_layer, config.norm_args)
    act = act_factory(config.act_layer)
    conv = partial(ConvNormAct, bias=config.conv_bias, norm=norm, act=act)
    cifar = config.stem == "cifar"

    def gate(channels: int) -> nn.Module | None:
        return make_gate(config.attention, config.attention_args, channels, channels, norm=norm)

    stem = Stem(
        [conv(config.in_chans, 64, 3) if cifar else conv(config.in_chans, 64, 7, stride=2)],
        None if cifar else _pool(),
        out_channels=64,
        conv_reduction=1 if cifar else 2,
    )
    stages: list[nn.Module] = [nn.Sequential(nn.Sequential(conv(64, 64), conv(64, 192, 3)))]
    info, channels, reduction = [StageInfo(192, stem.reduction)], 192, stem.reduction
    for i, widths in enumerate(BN_INCEPTION):
        units: list[nn.Module] = [_pool()] if i == 0 else []
        for one, three, five, pool, kind in widths:
            units.append(_bn_block(channels, one, three, five, pool, kind, conv, gate))
            channels = (one or channels) + three[1] + five[1] + pool
        reduction *= 2
        stages.append(nn.Sequential(*units))
        info.append(StageInfo(channels, reduction, rounds_down=i == 0))
    return Network(stem, stages, _head(config, channels), config, stage_info=info)


def _bn_block(
    channels: int,
    one: int,
    three: tuple[int, int],
    five: tuple[int, int],
    pool: int,
    kind: str,
    conv: Any,
    gate: Any,
) -> Inception:
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
    if pool:
        pooling = nn.MaxPool2d if kind == "max" else nn.AvgPool2d
        branches.append(nn.Sequential(pooling(3, 1, padding=1), conv(channels, pool)))
    else:
        branches.append(MaxPoolUp())
    return Inception(branches, gate((one or channels) + three[1] + five[1] + pool))


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, 2, ceil_mode=True)  # Caffe's


def _head(config: InceptionConfig, channels: int, final: nn.Module | None = None) -> Head:
    return Head(
        channels,
        config.num_classes,
        final=final,
        global_pool=config.global_pool,
        drop_rate=config.drop_rate,
    )


@register_builder(InceptionResNetConfig)
def build_inception_resnet_v2(config: InceptionResNetConfig) -> Network:
    """The network that ``config`` describes.

    Its convolutions that stride do not pad; a map smaller than their window is enlarged by
    zeros, so that images under 75 pixels work, too.
    """
    norm = norm_factory(config.norm_layer, config.norm_args)
    act = act_factory(config.act_layer)
    conv = partial(ConvNormAct, norm=norm, act=act)
    rates = drop_path_rates(config.drop_path_rate, sum(config.layers) + 1)
    cifar = config.stem == "cifar"

    def unpadded(i: int, o: int, stride: int = 1) -> nn.Sequential:
        return nn.Sequential(Enlarge(), conv(i, o, 3, stride=stride, padding=0))

    def pool() -> nn.Sequential:
        return nn.Sequential(Enlarge(), nn.MaxPool2d(3, 2))

    def units(
        n: int, channels: int, scale: float, make: Any, last: bool = False
    ) -> list[nn.Module]:
        made: list[nn.Module] = []
        for i in range(n):
            branches, width = make(conv, channels)
            end = last and i == n - 1  # the last unit is not scaled, nor activated
            gate = make_gate(config.attention, config.attention_args, channels, channels, norm=norm)
            made.append(
                ScaledResidual(
                    branches,
                    width,
                    channels,
                    scale=1.0 if end else scale,
                    attention=gate,
                    drop_path=rates.pop(0),
                    act=None if end else act,
                )
            )
        return made

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
    first, second, third = config.layers
    stages = [
        nn.Sequential(*start, mixed_5b, *units(first, 320, config.scales[0], _block35)),
        nn.Sequential(mixed_6a, *units(second, 1088, config.scales[1], _block17)),
        nn.Sequential(mixed_7a, *units(third + 1, 2080, config.scales[2], _block8, last=True)),
    ]
    reduction = stem.reduction * (1 if cifar else 2)
    # Unpadded windows cost sizes that a reduction does not say: they are in ``windows``.
    windows: tuple[tuple[int, int, int], ...] = ()
    if not cifar:
        windows = (*STEM_WINDOWS, (3, 2, 0), (3, 1, 0), (3, 2, 0))
    info = []
    for i, channels in enumerate((320, 1088, 2080)):
        if i:
            reduction *= 2
            windows += ((3, 2, 0),)
        info.append(StageInfo(channels, reduction, windows=windows))
    head = _head(config, 1536, final=conv(2080, 1536))
    network = Network(stem, stages, head, config, stage_info=info)
    if not cifar:
        network.min_export_size = 75  # where no map is smaller than a window
    return network


def _block35(conv: Any, channels: int) -> tuple[list[nn.Module], int]:
    branches = [
        conv(channels, 32),
        nn.Sequential(conv(channels, 32), conv(32, 32, 3)),
        nn.Sequential(conv(channels, 32), conv(32, 48, 3), conv(48, 64, 3)),
    ]
    return branches, 128


def _block17(conv: Any, channels: int) -> tuple[list[nn.Module], int]:
    wide = nn.Sequential(conv(channels, 128), conv(128, 160, (1, 7)), conv(160, 192, (7, 1)))
    return [conv(channels, 192), wide], 384


def _block8(conv: Any, channels: int) -> tuple[list[nn.Module], int]:
    wide = nn.Sequential(conv(channels, 192), conv(192, 224, (1, 3)), conv(224, 256, (3, 1)))
    return [conv(channels, 192), wide], 448
