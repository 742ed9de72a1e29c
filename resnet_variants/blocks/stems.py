"""Stems: what turns the image into the first stage's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ..choices import Registry, check_choice
from .layers import ActFactory, ConvNormAct, NormFactory

POOLS = ("max", "max_ceil", "none")


class Stem(nn.Module):
    """Convolutions, then a pooling: (N, in_chans, H, W) to (N, C, H / r, W / r).

    ``reduction`` is r, ``conv_reduction`` that of the convolutions alone: what comes between
    is the first level of a feature pyramid. Sizes are rounded up, by an unpadded pooling
    (``rounds_down``) down. ``conv_windows`` are kernel, stride and padding of convolutions that
    do not simply halve the size.
    """

    def __init__(
        self,
        convs: Sequence[nn.Module],
        pool: nn.Module | None,
        *,
        out_channels: int,
        conv_reduction: int,
        conv_windows: tuple[tuple[int, int, int], ...] = (),
    ) -> None:
        super().__init__()
        self.convs = nn.Sequential(*convs)
        self.pool = pool or nn.Identity()
        self.out_channels = out_channels
        self.conv_reduction = conv_reduction
        self.conv_windows = conv_windows
        self.reduction = conv_reduction * (2 if pool else 1)
        self.rounds_down = isinstance(pool, nn.MaxPool2d) and pool.padding == 0

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.convs(x))


@dataclass(frozen=True)
class StemSpec:
    """A stem as numbers: kernel, stride and share of the stem's width of each convolution."""

    convs: tuple[tuple[int, int, float], ...]
    width: int | None  # None: that of the first stage
    pool: bool


STEMS: Registry[StemSpec] = Registry("stem")
STEMS.register("conv7", StemSpec(((7, 2, 1),), 64, pool=True))
# ResNet-C (He et al., CVPR 2019): three 3x3 instead of one 7x7; 32, 32, 64 channels
STEMS.register("deep", StemSpec(((3, 2, 1 / 2), (3, 1, 1 / 2), (3, 1, 1)), 64, pool=True))
# the same, twice as wide (SENet-154, ResNeSt-101 and up): 64, 64, 128
STEMS.register("deep64", StemSpec(((3, 2, 1 / 2), (3, 1, 1 / 2), (3, 1, 1)), 128, pool=True))
# the same, widening step by step: 24, 32, 64
STEMS.register("tiered", StemSpec(((3, 2, 3 / 8), (3, 1, 1 / 2), (3, 1, 1)), 64, pool=True))
# RegNet: one 3x3 and no pooling, so the first stage strides
STEMS.register("conv3", StemSpec(((3, 2, 1),), 32, pool=False))
# ShuffleNet: one 3x3 and a pooling
STEMS.register("conv3_pool", StemSpec(((3, 2, 1),), 24, pool=True))
# small images: nothing is reduced
STEMS.register("cifar", StemSpec(((3, 1, 1),), None, pool=False))


def make_pool(pool: str) -> nn.Module | None:
    """A stem's 3x3 pooling with stride 2. ``max_ceil`` is Caffe's, which the networks trained
    there need: it rounds the size up and does not pad. At 224 pixels the sizes agree, the
    values do not."""
    check_choice("stem_pool", pool, POOLS)
    if pool == "max":
        return nn.MaxPool2d(3, stride=2, padding=1)
    return nn.MaxPool2d(3, stride=2, ceil_mode=True) if pool == "max_ceil" else None


def make_stem(
    stem: str,
    in_chans: int,
    *,
    width: int | None = None,
    pool: str = "max",
    norm: NormFactory,
    act: ActFactory,
) -> Stem:
    """Build the stem called ``stem``; ``width`` overrides its output channels.

    Raises ValueError for ``cifar`` without width: it has none of its own.
    """
    spec = STEMS[stem]
    width = width or spec.width
    if width is None:
        raise ValueError(f"stem={stem!r} has no width of its own: give width.")
    convs, reduction = [], 1
    for kernel, stride, share in spec.convs:
        out = int(width * share)
        convs.append(ConvNormAct(in_chans, out, kernel, stride=stride, norm=norm, act=act))
        in_chans, reduction = out, reduction * stride
    return Stem(
        convs,
        make_pool(pool) if spec.pool else None,
        out_channels=width,
        conv_reduction=reduction,
    )
