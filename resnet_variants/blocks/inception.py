"""Inception units: parallel branches of convolutions, concatenated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import ConvNormAct, at_most, is_exported
from .residual import ResidualUnit, Slots


class Concat(nn.Module):
    """Branches of the same input, side by side: their channels are concatenated."""

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Inception(Concat):
    """A BN-Inception block (Ioffe and Szegedy 2015) with a gate on the concatenated output.

    The SE-Inception module (Hu et al., CVPR 2018) is this with an SE gate.
    """

    def __init__(self, branches: Sequence[nn.Module], attention: nn.Module | None = None) -> None:
        super().__init__(branches)
        self.attention = attention or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(super().forward(x))


class MaxPoolUp(nn.Module):
    """3x3 max pooling with stride 2 whose size is rounded up: (N, C, ceil(H/2), ceil(W/2)).

    On even sizes what Caffe's unpadded pooling gives; on odd ones, where that gives a row less
    than the strided convolutions beside it, the last row is pooled alone.
    """

    def forward(self, x: Tensor) -> Tensor:
        # A copy of the edge changes no maximum; minus infinity would leave a quantiser no range.
        return F.max_pool2d(F.pad(x, (0, 2, 0, 2), mode="replicate"), 3, 2)


class Enlarge(nn.Module):
    """``value`` beside a map that is smaller than ``least``, so that an unpadded window fits."""

    def __init__(self, least: int = 3, value: float = 0.0) -> None:
        super().__init__()
        self.least = least
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        if is_exported():
            return x  # such a network starts at Network.min_export_size, where all fits
        below = self.least - at_most(x.shape[2], self.least)
        right = self.least - at_most(x.shape[3], self.least)
        return F.pad(x, (0, right, 0, below), value=self.value)


class ResidualInception(ResidualUnit):
    """A residual unit of parallel branches: act(shortcut(x) + scale * expand(mixed(x))).

    ``expand`` is a 1x1 convolution to the output's width. Inception-ResNet's (Szegedy et al.,
    AAAI 2017) has a bias and no normalisation. A gate sits behind it, before the scaling.
    """

    mixed: nn.Module
    expand: ConvNormAct

    def __init__(
        self,
        branches: Sequence[nn.Module],
        expand: ConvNormAct,
        *,
        scale: float = 1.0,
        **slots: Unpack[Slots],
    ) -> None:
        super().__init__({"mixed": Concat(branches), "expand": expand}, **slots)
        self.scale = scale

    def hidden(self, x: Tensor) -> Tensor:
        return self.mixed(x)

    def zero_init_last(self) -> None:
        if self.expand.conv.bias is None:
            super().zero_init_last()
        else:  # no normalisation ends the branch
            nn.init.zeros_(self.expand.conv.weight)
