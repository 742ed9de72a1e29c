"""Selective kernels: SK-Net's convolution (Li et al., CVPR 2019)."""

from __future__ import annotations

from torch import Tensor, nn

from .convs import ConvSpec, register_conv
from .layers import ConvNormAct
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
        spec: ConvSpec,
        *,
        branches: int = 2,
        reduction: int = 16,
        min_width: int = 32,
    ) -> None:
        super().__init__()
        if branches < 2 or reduction < 1 or min_width < 1:
            raise ValueError(
                "selective_kernel selects between 2 or more branches, and reduction and min_width "
                f"are at least 1: not branches={branches}, reduction={reduction}, "
                f"min_width={min_width}."
            )
        self.convs = nn.ModuleList(
            ConvNormAct(**spec.args(dilation=spec.dilation * i)) for i in range(1, branches + 1)
        )
        out, hidden = spec.out_channels, max(spec.out_channels // reduction, min_width)
        self.selection = Selection(out, hidden, branches, bias=False, norm=spec.norm, act=spec.act)

    def forward(self, x: Tensor) -> Tensor:
        return self.selection([conv(x) for conv in self.convs])
