"""Shortcuts: from a unit's input to its output's shape. Nothing changes: ``nn.Identity``."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..choices import check_choice
from .layers import ConvNormAct, NormFactory

SHORTCUTS = ("conv", "avg", "max", "pad")


class Projection(ConvNormAct):
    """A projection by a convolution, with a pooling before it that does the striding, if given.

    (N, C, H, W) to (N, C', ceil(H/s), ceil(W/s)). The pooling sees every input position, where
    a 1x1 convolution with stride 2 sees a quarter of them (ResNet-D, He et al., CVPR 2019).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int,
        kernel_size: int = 1,
        pool: str | None = None,
        norm: NormFactory | None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=1 if pool else stride,
            bias=False,
            norm=norm,
            act=None,
        )
        self.pool = _pool(pool, stride) if pool and stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.pool(x))


def _pool(pool: str, stride: int) -> nn.Module:
    # Rounded up, so that odd sizes agree with a strided convolution's.
    if pool == "max":
        return nn.MaxPool2d(stride, stride, ceil_mode=True)
    return nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)


class PadShortcut(nn.Module):
    """The parameter-free shortcut of the CIFAR ResNets (He et al. 2016, option A): every s-th
    position, the new channels zero, half of them on each side."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise ValueError(
                f"shortcut='pad' adds channels: it cannot go from {in_channels} to {out_channels}."
            )
        before = (out_channels - in_channels) // 2
        self.padding = (0, 0, 0, 0, before, out_channels - in_channels - before)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], self.padding)


def make_shortcut(
    shortcut: str,
    in_channels: int,
    out_channels: int,
    *,
    stride: int,
    kernel_size: int = 1,
    norm: NormFactory | None,
) -> nn.Module:
    """The shortcut called ``shortcut``, or the identity where the shape stays."""
    check_choice("shortcut", shortcut, SHORTCUTS)
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if shortcut == "pad":
        return PadShortcut(in_channels, out_channels, stride=stride)
    return Projection(
        in_channels,
        out_channels,
        stride=stride,
        kernel_size=kernel_size,
        pool=None if shortcut == "conv" else shortcut,
        norm=norm,
    )
