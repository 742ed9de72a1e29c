"""Parallel branches of one input as one convolution, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..blocks.inception import Concat, Inception
from ..blocks.layers import ConvNormAct
from .cpu import FUSABLE


class MergedBranches(nn.Module):
    """An Inception unit that computes the first convolutions of its branches as one, where they
    have the same window and activation: the input is read once, and the sums are longer."""

    def __init__(self, unit: Concat) -> None:
        super().__init__()
        branches = list(unit.branches)
        self.merged = _alike(branches)
        firsts = [_first(branches[i]) for i in self.merged]
        convs = [first.conv for first in firsts if first is not None]
        self.widths = [conv.out_channels for conv in convs]
        assert firsts[0] is not None
        self.first = firsts[0]
        _merge(convs)
        self.rests = nn.ModuleList(
            _rest(branch) if i in self.merged else branch for i, branch in enumerate(branches)
        )
        self.attention = unit.attention if isinstance(unit, Inception) else nn.Identity()

    @staticmethod
    def takes(unit: nn.Module) -> bool:
        """Whether these are branches of the library, two of which begin alike."""
        return type(unit) in (Concat, Inception) and len(_alike(list(unit.branches))) > 1  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        parts = dict(zip(self.merged, self.first(x).split(self.widths, 1), strict=True))
        maps = [rest(parts.get(i, x)) for i, rest in enumerate(self.rests)]
        return self.attention(torch.cat(maps, 1))


def _first(branch: nn.Module) -> ConvNormAct | None:
    """The convolution that a branch begins with, folded and with a known activation."""
    part = branch[0] if type(branch) is nn.Sequential else branch
    known = (
        type(part) is ConvNormAct and type(part.norm) is nn.Identity and type(part.act) in FUSABLE
    )
    return part if known and part.conv.groups == 1 else None  # type: ignore[return-value, union-attr]


def _rest(branch: nn.Module) -> nn.Module:
    return branch[1:] if isinstance(branch, nn.Sequential) else nn.Identity()


def _alike(branches: Sequence[nn.Module]) -> list[int]:
    """The most branches whose first convolutions differ in width and weights alone."""
    kinds = {}
    for i, branch in enumerate(branches):
        part = _first(branch)
        if part is not None:
            conv = part.conv
            window = (conv.kernel_size, conv.stride, conv.padding, conv.dilation)
            kinds[i] = (*window, type(part.act), conv.bias is None)
    if not kinds:
        return []
    [(most, _)] = Counter(kinds.values()).most_common(1)
    return [i for i, kind in kinds.items() if kind == most]


def _merge(convs: Sequence[nn.Conv2d]) -> None:
    """Give the first convolution the channels of all."""
    first = convs[0]
    first.weight = nn.Parameter(torch.cat([conv.weight for conv in convs]), requires_grad=False)
    if first.bias is not None:
        biases = [conv.bias for conv in convs if conv.bias is not None]
        first.bias = nn.Parameter(torch.cat(biases), requires_grad=False)
    first.out_channels = sum(conv.out_channels for conv in convs)
