"""Res2Net's convolution (Gao et al., TPAMI 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..choices import check_choice
from .convs import ConvSpec, register_conv
from .layers import ConvNormAct, chunk


@register_conv("res2net")
class Res2Conv(nn.Module):
    """The channels are split ``scale`` times; each split but one is added to the result of the
    split before it and convolved, so that receptive fields grow inside a block.

    A stage's first unit has no such hierarchy: its splits are convolved apart, and the
    unfiltered one is average-pooled. The released code leaves the last split unfiltered, the
    paper's figure the first (``unfiltered="first"``; the weights do not fit). ``scale=1`` is a
    plain convolution. ``groups`` are those of each split's convolution (Res2NeXt).
    """

    def __init__(self, spec: ConvSpec, *, scale: int = 4, unfiltered: str = "last") -> None:
        super().__init__()
        check_choice("unfiltered", unfiltered, ("last", "first"))
        channels, stride = spec.in_channels, spec.stride
        if channels != spec.out_channels or channels % scale:
            raise ValueError(
                f"conv='res2net' splits as many channels as it gives into scale={scale} widths: "
                f"not {channels} to {spec.out_channels} (reduce_first=1 gives it as many)."
            )
        width = channels // scale
        self.scale = scale
        self.unfiltered = unfiltered
        self.first = first = spec.first or stride > 1  # splits cannot be added to smaller results
        self.convs = nn.ModuleList(
            ConvNormAct(**spec.args(in_channels=width, out_channels=width))
            for _ in range(max(scale - 1, 1))
        )
        # The released weights were trained with an average that counts the padding.
        self.pool = nn.AvgPool2d(3, stride, padding=1) if first and scale > 1 else nn.Identity()

    @staticmethod
    def mid_channels(width: int, scale: int = 4, **_: object) -> int:
        """``width`` is that of one split."""
        if scale < 1:
            raise ValueError(f"conv='res2net': scale must be at least 1, not {scale!r}.")
        return width * scale

    def forward(self, x: Tensor) -> Tensor:
        if self.scale == 1:
            return self.convs[0](x)
        splits = chunk(x, self.scale)
        rest = self.pool(splits.pop(-1 if self.unfiltered == "last" else 0))
        out: list[Tensor] = []
        for conv, split in zip(self.convs, splits, strict=True):
            out.append(conv(split if self.first or not out else split + out[-1]))
        return torch.cat([*out, rest] if self.unfiltered == "last" else [rest, *out], 1)
