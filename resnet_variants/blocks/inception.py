"""Inception units: parallel branches of convolutions, concatenated."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .drop_path import DropPath
from .layers import ActFactory, ConvNormAct, NormFactory
from .residual import add_residual
from .shortcuts import make_shortcut


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
        # torch 2.11 answers that it exports when it compiles, too.
        if torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling():
            return x  # an exported network starts at Network.min_export_size, where all fits
        below, right = self._missing(x.shape[2]), self._missing(x.shape[3])
        return F.pad(x, (0, right, 0, below), value=self.value)

    def _missing(self, side: int) -> int:
        if torch.jit.is_tracing():  # sizes are tensors then
            return torch.as_tensor(self.least - side).clamp(min=0)  # type: ignore[return-value]
        if torch.compiler.is_dynamo_compiling():  # torch 2.11's takes no sym_max of numbers
            return max(self.least - side, 0)
        return torch.sym_max(self.least - side, 0)  # type: ignore[return-value]  # or symbols


class ScaledResidual(nn.Module):
    """A unit of Inception-ResNet (Szegedy et al., AAAI 2017): act(x + scale * branch(x)).

    The branch is parallel convolutions, concatenated, and a 1x1 convolution with bias and
    without normalisation; a gate sits behind it, before the scaling.
    """

    def __init__(
        self,
        branches: Sequence[nn.Module],
        branch_channels: int,
        channels: int,
        *,
        scale: float,
        attention: nn.Module | None = None,
        drop_path: float = 0.0,
        act: ActFactory | None,
    ) -> None:
        super().__init__()
        self.mixed = Concat(branches)
        self.expand = ConvNormAct(branch_channels, channels, norm=None, act=None)
        self.scale = scale
        self.attention = attention
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.act = act() if act else nn.Identity()

    def operands(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the branch's last convolution sees, and the shortcut."""
        return self.mixed(x), x

    def last_conv(self) -> ConvNormAct:
        """The branch's last convolution."""
        return self.expand

    def forward(self, x: Tensor) -> Tensor:
        branch = self.expand(self.mixed(x))
        return self.act(add_residual(x, branch, self.attention, self.drop_path, scale=self.scale))

    def zero_init_last(self) -> None:
        """Start as the identity: no normalisation ends the branch, so its convolution is zero."""
        nn.init.zeros_(self.expand.conv.weight)


class ResidualInception(nn.Module):
    """A residual unit with three branches (1x1; 3x3; two 3x3), for the Residual Attention
    Network's Inception trunk. The paper does not say how its unit is made: this one is a
    reconstruction, with branches of a sixteenth, an eighth and an eighth of the output's
    width, which gives Attention-Inception-56 the size that the paper reports.

    (N, C, H, W) to (N, C', ceil(H/s), ceil(W/s)).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        attention: nn.Module | None = None,
        drop_path: float = 0.0,
        norm: NormFactory,
        act: ActFactory,
    ) -> None:
        super().__init__()
        wide, narrow = out_channels // 8, max(out_channels // 16, 1)

        def conv(i: int, o: int, k: int = 1, s: int = 1) -> ConvNormAct:
            return ConvNormAct(i, o, k, stride=s, norm=norm, act=act)

        self.mixed = Concat(
            [
                conv(in_channels, narrow, 1, stride),
                nn.Sequential(conv(in_channels, wide), conv(wide, wide, 3, stride)),
                nn.Sequential(
                    conv(in_channels, wide), conv(wide, wide, 3), conv(wide, wide, 3, stride)
                ),
            ]
        )
        self.shortcut = make_shortcut("conv", in_channels, out_channels, stride=stride, norm=norm)
        self.expand = ConvNormAct(2 * wide + narrow, out_channels, norm=norm, act=None)
        self.attention = attention
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.act = act()

    def operands(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the branch's last convolution sees, and the shortcut."""
        return self.mixed(x), self.shortcut(x)

    def last_conv(self) -> ConvNormAct:
        """The branch's last convolution, with its normalisation."""
        return self.expand

    def forward(self, x: Tensor) -> Tensor:
        hidden, shortcut = self.operands(x)
        branch = self.expand(hidden)
        return self.act(add_residual(shortcut, branch, self.attention, self.drop_path))

    def zero_init_last(self) -> None:
        """Start as the identity; no effect without an affine."""
        weight = getattr(self.expand.norm, "weight", None)
        if weight is not None:
            nn.init.zeros_(weight)
