"""Parallel branches of one input as one convolution: side by side, or summed."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.inception import Concat, Inception
from ..blocks.layers import ConvNormAct
from ..blocks.repvgg import RepConv
from ..network import Network
from .cpu import FUSABLE
from .folding import as_conv, folds_into


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


def sum_branches(unit: RepConv) -> None:
    """Make a reparameterised unit one 3x3 convolution, where all its normalisations fold.

    A 1x1 convolution is the 3x3 with its weights in the middle and zeros around, the input itself
    one whose middle picks each channel's own; what reads the same input is added by its weights.
    """
    parts = [part for part in unit.branches if isinstance(part, ConvNormAct)]
    for part in parts:
        if folds_into(part.conv, part.norm):
            part.norm = nn.Identity()
    own = None if unit.identity is None else as_conv(unit.identity)
    plain = all(type(part.norm) is nn.Identity for part in parts)
    if not plain or (own is None and unit.identity is not None) or len(parts) == 1:
        return
    first = parts[0].conv
    convs = [part.conv for part in parts]
    kernels = [_centred(conv.weight) for conv in convs]
    biases = [conv.bias for conv in convs if conv.bias is not None]
    if own is not None:
        assert own.bias is not None
        each = torch.arange(len(own.weight), device=own.weight.device)
        picks = torch.zeros_like(first.weight)
        picks[each, each % first.weight.shape[1], 1, 1] = own.weight.flatten()
        kernels.append(picks)
        biases.append(own.bias)
    first.weight = nn.Parameter(torch.stack(kernels).sum(0), requires_grad=False)
    first.bias = nn.Parameter(torch.stack(biases).sum(0), requires_grad=False) if biases else None
    parts[0].act, unit.act = unit.act, nn.Identity()  # a packed convolution takes it along
    unit.branches = nn.ModuleList(parts[:1])
    unit.identity = None


def summed(model: Network) -> Network:
    """The network for runtimes that sum no branches: a copy where there are some to sum."""
    if not any(type(each) is RepConv for each in model.modules()):
        return model
    model = copy.deepcopy(model)
    with torch.no_grad():
        for unit in list(model.modules()):
            if type(unit) is RepConv:
                sum_branches(unit)
    return model


def _centred(weight: Tensor) -> Tensor:
    """The weights of a 1x1 or 3x3 convolution as those of a 3x3."""
    return weight if weight.shape[-1] == 3 else F.pad(weight, (1, 1, 1, 1))
