"""Soft selection between branches: what split attention and selective kernels share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .layers import ActFactory, NormFactory, conv2d, is_exported


class Selection(nn.Module):
    """Mix ``branches`` maps (N, C, H, W) into one, with weights a channel that sum to one.

    The weights come from the mean over positions of the maps' sum, through two 1x1 convolutions
    with ``hidden`` channels between, and a softmax over the branches. A single branch has no
    other to be weighed against: its weight is a sigmoid (ResNeSt with radix 1).

    The rows of ``fc2`` are ordered (group, branch, channel of the group), as ResNeSt's are.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        branches: int,
        *,
        groups: int = 1,
        bias: bool,
        norm: NormFactory,
        act: ActFactory,
    ) -> None:
        super().__init__()
        self.branches = branches
        self.groups = groups
        self.fc1 = conv2d(channels, hidden, 1, groups=groups, bias=bias)
        self.norm = pooled_norm(norm, hidden)
        self.act = act()
        self.fc2 = conv2d(hidden, channels * branches, 1, groups=groups, bias=bias)
        self.gate: nn.Module = nn.Softmax(1) if branches > 2 else nn.Sigmoid()
        self.normalises_pooled = isinstance(self.norm, _BatchNorm)

    def weights(self, maps: Sequence[Tensor]) -> Tensor:
        """The weight of each branch and channel, (N, branches, C); of two, only the first's."""
        # Pooling before adding, so that the maps' sum is never formed.
        y = reduce(torch.add, (x.mean((2, 3), keepdim=True) for x in maps))
        y = self.fc2(self.act(self.norm(self.fc1(y))))
        each = y.shape[1] // (self.groups * self.branches)
        y = y.view(y.shape[0], self.groups, self.branches, each).transpose(1, 2).flatten(2)
        if self.branches == 2:  # the softmax of two is the sigmoid of their difference
            y = y[:, :1] - y[:, 1:]
        return self.gate(y)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        weights = self.weights(maps)[..., None, None].to(maps[0].dtype)
        if self.branches == 2:
            if is_exported():  # runtimes spell a lerp out, twice: for each half of weights
                return maps[1] + weights[:, 0] * (maps[0] - maps[1])
            return torch.lerp(maps[1], maps[0], weights[:, 0])
        mixed = maps[0] * weights[:, 0]
        for i, x in enumerate(maps[1:], 1):
            mixed = torch.addcmul(mixed, x, weights[:, i])
        return mixed


def pooled_norm(norm: NormFactory, channels: int) -> nn.Module:
    """``norm(channels)`` for pooled features (N, C, 1, 1), which are one number a channel.

    Group normalisation takes all channels as one group there, since a group of one number is
    always zero. Raises ValueError for instance normalisation, which has nothing to normalise.
    """
    module = norm(channels)
    if isinstance(module, nn.InstanceNorm2d):
        raise ValueError(
            "norm_layer='instancenorm' normalises each channel over its positions, and pooled "
            "features have one: this conv needs norm_layer='batchnorm' or 'groupnorm'."
        )
    if isinstance(module, nn.GroupNorm):
        module.num_groups = 1
    return module
