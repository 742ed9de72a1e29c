"""Reparameterised convolution: RepVGG's and MobileOne's (Ding et al., CVPR 2021; Vasu et al.,
CVPR 2023)."""

from __future__ import annotations

from torch import Tensor, nn

from .convs import ConvSpec, register_conv
from .layers import ConvNormAct


@register_conv("repvgg")
class RepConv(nn.Module):
    """Parallel branches, each with a normalisation of its own, added and then activated.

    (N, C, H, W) to (N, C', ceil(H/s), ceil(W/s)). RepVGG (Ding et al., RepVGG: Making VGG-style
    ConvNets Great Again, CVPR 2021, section 3.3) trains a 3x3 convolution, a 1x1 convolution and,
    where the shape stays, the input itself; MobileOne (Vasu et al., MobileOne: An Improved One
    Millisecond Mobile Backbone, CVPR 2023, section 3.2) has ``branches`` 3x3 convolutions instead
    of one. Without activation between, their sum is one 3x3 convolution with bias once the
    statistics are fixed, and deployed networks run it as that (batch normalisation alone has
    fixed statistics: with another the branches stay). Raises ValueError for fewer than one branch.

    The papers build networks of these units alone; here it stands where a bottleneck's 3x3 does.
    """

    def __init__(self, spec: ConvSpec, *, branches: int = 1) -> None:
        super().__init__()
        if branches < 1:
            raise ValueError(f"repvgg: branches must be at least 1, not {branches!r}.")
        self.branches = nn.ModuleList(
            ConvNormAct(**spec.args(kernel_size=size, act=None)) for size in (*[3] * branches, 1)
        )
        keeps = spec.stride == 1 and spec.in_channels == spec.out_channels
        self.identity = spec.norm(spec.out_channels) if keeps else None
        self.act = spec.act()

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.branches
        y = first(x)
        for branch in others:
            y = y + branch(x)
        return self.act(y if self.identity is None else y + self.identity(x))
