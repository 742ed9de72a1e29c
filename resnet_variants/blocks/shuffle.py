"""Channel shuffle, and the unit of the ShuffleNets.

Everything here stays in four dimensions where it is exported: several mobile back ends refuse
the usual view of (N, groups, C / groups, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from ..choices import check_choice
from .layers import is_traced
from .residual import ResidualUnit, Slots

SHUFFLE_ORDERS = ("released", "paper")


def _is_channels_last(x: Tensor) -> bool:
    # Compilers choose layouts themselves, and an exported network must not depend on one. The
    # stride first: under torch.func.vmap nothing else can be asked.
    return (
        not is_traced(x)
        and x.stride(1) == 1
        and x.is_contiguous(memory_format=torch.channels_last)
        and not x.is_contiguous()
    )


@torch.fx.wrap  # one node of a traced graph, so that size and layout are seen when it runs
def shuffle(x: Tensor, groups: int, order: str = "paper") -> Tensor:
    """Mix the channels of ``groups`` groups, see ``ChannelShuffle``."""
    c = x.shape[1]
    if c % groups:
        raise ValueError(f"{c} channels do not divide into {groups} groups.")
    return _shuffle(x, groups if order == "paper" else c // groups)


def _shuffle(x: Tensor, rows: int) -> Tensor:
    """Read the channels as ``rows`` rows, and give them column by column."""
    n, c, h, w = x.shape
    if rows in (1, c):
        return x
    if _is_channels_last(x):  # transpose the innermost dimension, and keep the layout
        last = x.permute(0, 2, 3, 1)
        if rows <= c // rows:
            return _interleave(last.chunk(rows, 3))
        last = last.view(n, h * w, rows, c // rows).transpose(2, 3)
        return last.reshape(n, h, w, c).permute(0, 3, 1, 2)
    return x.reshape(n, rows, c // rows, h * w).transpose(1, 2).reshape(n, c, h, w)


def _interleave(maps: Sequence[Tensor]) -> Tensor:
    """Maps (N, H, W, C), channel by channel in turn: (N, len(maps) * C, H, W), channels-last."""
    n, h, w, c = maps[0].shape
    if torch.is_grad_enabled() and any(x.requires_grad for x in maps):
        y = torch.stack(list(maps), 4)
    else:  # a copy of each map at a time is several times as fast as that of single numbers
        y = maps[0].new_empty(n, h, w, c, len(maps))
        for i, x in enumerate(maps):
            y[..., i] = x
    return y.view(n, h, w, c * len(maps)).permute(0, 3, 1, 2)


class ChannelShuffle(nn.Module):
    """Mix the channels of ``groups`` groups: (N, C, H, W) to the same shape.

    ``paper`` (Zhang et al., CVPR 2018): channel i of group j goes to i * groups + j, so that
    each group of the next layer sees all groups. ``released`` is the inverse, as the authors'
    code has it; with their weights nothing else gives their outputs. Raises ValueError in
    forward when the channels do not divide.
    """

    def __init__(self, groups: int, order: str = "paper") -> None:
        super().__init__()
        check_choice("shuffle_order", order, SHUFFLE_ORDERS)
        if groups < 1:
            raise ValueError(f"groups must be at least 1, not {groups!r}.")
        self.groups = groups
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        return shuffle(x, self.groups, self.order)

    def extra_repr(self) -> str:
        return f"groups={self.groups}, order={self.order!r}"


@torch.fx.wrap
def alternate(maps: Sequence[Tensor]) -> Tensor:
    """Concatenation and a channel shuffle, see ``Join``."""
    n, c, h, w = maps[0].shape
    if any(x.shape[1] != c for x in maps):
        return _shuffle(torch.cat(list(maps), 1), len(maps))
    if _is_channels_last(maps[-1]):
        return _interleave([x.permute(0, 2, 3, 1) for x in maps])
    # Below each other a channel's maps lie where consecutive channels do.
    return torch.cat(list(maps), 2).reshape(n, len(maps) * c, h, w)


class Split(nn.Module):
    """(N, C, H, W) to two of (N, C / 2, H, W): the halves, or the even and the odd channels."""

    def __init__(self, *, alternate: bool = False) -> None:
        super().__init__()
        self.alternate = alternate

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.alternate:
            return x[:, 0::2], x[:, 1::2]
        first, second = x.chunk(2, 1)
        return first, second

    def extra_repr(self) -> str:
        return f"alternate={self.alternate}"


class Join(nn.Module):
    """Maps to one with all their channels: one map behind the other, or ``alternate``.

    Alternating is concatenation and a channel shuffle, in one pass over memory where the maps
    have the same number of channels.
    """

    def __init__(self, *, alternate: bool = False, reverse: bool = False) -> None:
        super().__init__()
        self.alternate = alternate
        self.reverse = reverse

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        if self.reverse:
            maps = maps[::-1]
        return alternate(list(maps)) if self.alternate else torch.cat(list(maps), 1)

    def extra_repr(self) -> str:
        return f"alternate={self.alternate}, reverse={self.reverse}"


class ShuffleUnit(ResidualUnit):
    """1x1, depthwise 3x3, 1x1, and the slots in which the ShuffleNets differ.

    V1 (Zhang et al., CVPR 2018) groups the 1x1 convolutions, shuffles between them, and adds
    the input; where it strides it concatenates the pooled input instead: ``projection`` and
    ``join``. V2 (Ma et al., ECCV 2018) has no groups: ``split`` leaves half of the channels as
    they are, ``projection`` replaces them where it strides, ``join`` puts them back.

    ``residual`` adds the branch's input to its output; the gate stands before the addition, the
    activation behind it. (N, C, H, W) to (N, C', ceil(H/s), ceil(W/s)).
    """

    split: nn.Module | None
    projection: nn.Module | None
    conv1: nn.Module
    shuffle_before: nn.Module
    conv2: nn.Module
    shuffle_after: nn.Module
    conv3: nn.Module

    def __init__(
        self,
        *,
        conv1: nn.Module,
        conv2: nn.Module,
        conv3: nn.Module,
        shuffle_before: nn.Module | None = None,
        shuffle_after: nn.Module | None = None,
        split: nn.Module | None = None,
        projection: nn.Module | None = None,
        join: nn.Module | None = None,
        residual: bool,
        **slots: Unpack[Slots],
    ) -> None:
        branch = {
            "split": split,
            "projection": projection,
            "conv1": conv1,
            "shuffle_before": shuffle_before or nn.Identity(),
            "conv2": conv2,
            "shuffle_after": shuffle_after or nn.Identity(),
            "conv3": conv3,
        }
        if not residual:
            slots["drop_path"] = 0.0
        super().__init__(branch, **slots)
        self.residual = residual
        self.join = join

    def hidden(self, x: Tensor) -> Tensor:
        return self.shuffle_after(self.conv2(self.shuffle_before(self.conv1(x))))

    def take(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What goes past the branch, and what goes into it."""
        if self.projection is not None:
            return self.projection(x), x
        assert self.split is not None
        return self.split(x)

    def transform(self, x: Tensor) -> Tensor:
        """The branch with its gate, addition and activation."""
        if self.residual:
            return super().forward(x)
        return self.act(self._gated("standard", self.branch(x)))

    def forward(self, x: Tensor) -> Tensor:
        if self.join is None:
            return self.transform(x)
        kept, x = self.take(x)
        return self.join((kept, self.transform(x)))

    def zero_init_last(self) -> None:
        # Without an addition zero would cut the branch off, not make it the identity.
        if self.residual:
            super().zero_init_last()
