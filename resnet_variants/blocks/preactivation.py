"""The pre-activation unit (He et al., ECCV 2016), as the Residual Attention Network has it."""

from __future__ import annotations

from torch import Tensor, nn

from .drop_path import DropPath
from .layers import ActFactory, ConvNormAct, NormFactory
from .residual import add_residual
from .shortcuts import make_shortcut


class PreActivation(nn.Sequential):
    """Normalisation, then activation."""

    def __init__(self, channels: int, *, norm: NormFactory, act: ActFactory) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.act = act()
        if isinstance(self.norm, nn.Identity) and hasattr(self.act, "inplace"):
            setattr(self.act, "inplace", False)  # noqa: B010  # else the shortcut is overwritten


class PreActUnit(nn.Module):
    """1x1, 3x3, 1x1, each behind its normalisation and activation; nothing after the addition.

    (N, C, H, W) to (N, C', ceil(H/s), ceil(W/s)). Where the shape changes, the shortcut is a
    1x1 convolution of the activated input without normalisation, elsewhere the raw input.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        mid_channels: int,
        stride: int = 1,
        attention: nn.Module | None = None,
        drop_path: float = 0.0,
        norm: NormFactory,
        act: ActFactory,
    ) -> None:
        super().__init__()
        self.before = PreActivation(in_channels, norm=norm, act=act)
        self.shortcut = make_shortcut("conv", in_channels, out_channels, stride=stride, norm=None)
        self.projects = not isinstance(self.shortcut, nn.Identity)
        self.conv1 = ConvNormAct(in_channels, mid_channels, norm=norm, act=act)
        self.conv2 = ConvNormAct(mid_channels, mid_channels, 3, stride=stride, norm=norm, act=act)
        self.conv3 = ConvNormAct(mid_channels, out_channels, bias=False, norm=None, act=None)
        self.attention = attention
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def operands(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the branch's last convolution sees, and the shortcut."""
        y = self.before(x)
        shortcut = self.shortcut(y if self.projects else x)
        return self.conv2(self.conv1(y)), shortcut

    def last_conv(self) -> ConvNormAct:
        """The branch's last convolution."""
        return self.conv3

    def forward(self, x: Tensor) -> Tensor:
        hidden, shortcut = self.operands(x)
        return add_residual(shortcut, self.conv3(hidden), self.attention, self.drop_path)

    def zero_init_last(self) -> None:
        """Start as the identity: no normalisation ends the branch, so its convolution is zero."""
        nn.init.zeros_(self.conv3.conv.weight)
