"""Selective kernels: SK-Net's convolution (Li et al., CVPR 2019)."""

from __future__ import annotations

from torch import Tensor, nn

from .convs import register_conv
from .layers import ActFactory, ConvNormAct, NormFactory
from .selection import Selection


@register_conv("selective_kernel")
class SelectiveKernel(nn.Module):
    """Convolutions with receptive fields of 3x3, 5x5, ..., mixed by attention.

    Branch i is a grouped 3x3 convolution dilated i times, as in the paper. The attention's
    hidden width d is max(out_channels // reduction, min_width), without biases. The network
    released as SKNet-101 leaves that minimum out in its second stage, where d is 16:
    ``conv_args=({}, {"min_width": 16}, {}, {})`` (``legacy_sknet101``). Raises ValueError for
    fewer than 2 branches.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        first: bool = False,
        branches: int = 2,
        reduction: int = 16,
        min_width: int = 32,
        norm: NormFactory,
        act: ActFactory,
    ) -> None:
        super().__init__()
        if branches < 2 or reduction < 1 or min_width < 1:
            raise ValueError(
                f"selective_kernel selects between 2 or more branches, not {branches}; "
                f"reduction={reduction} and min_width={min_width} must be positive."
            )
        self.convs = nn.ModuleList(
            ConvNormAct(
                in_channels,
                out_channels,
                3,
                stride=stride,
                dilation=dilation * i,
                groups=groups,
                norm=norm,
                act=act,
            )
            for i in range(1, branches + 1)
        )
        hidden = max(out_channels // reduction, min_width)
        self.selection = Selection(out_channels, hidden, branches, bias=False, norm=norm, act=act)

    def forward(self, x: Tensor) -> Tensor:
        return self.selection([conv(x) for conv in self.convs])
