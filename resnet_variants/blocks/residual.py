"""Residual units: slots in a fixed order, filled with parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Required, TypedDict, Unpack

import torch
from torch import Tensor, nn

from ..choices import check_choice
from .drop_path import DropPath
from .gates import Gate
from .layers import is_writable

ATTENTION_AT = ("standard", "inner", "pre", "post", "identity", "between")


def add_residual(
    shortcut: Tensor,
    branch: Tensor,
    gate: nn.Module | None,
    drop_path: nn.Module,
    *,
    scale: float = 1.0,
) -> Tensor:
    """``shortcut + scale * drop_path(gate(branch))``, in one pass over memory where the gate
    allows."""
    if isinstance(gate, Gate):
        # Dropping the (small) weights drops the branch.
        return torch.addcmul(shortcut, branch, drop_path(gate.weights(branch)), value=scale)
    if gate is None and scale == 1:
        branch = drop_path(branch)
        # Nothing else reads what the branch ends in.
        return branch.add_(shortcut) if is_writable(branch) else branch + shortcut
    if gate is not None:
        branch = gate(branch)
    return torch.add(shortcut, drop_path(branch), alpha=scale)


class Slots(TypedDict, total=False):
    """What every residual unit has beside its convolutions; an activation always. Without
    ``shortcut`` the input itself is added."""

    act: Required[Callable[[], nn.Module]]
    shortcut: nn.Module
    attention: nn.Module | None
    attention_at: str
    drop_path: float


class ResidualUnit(nn.Module):
    """What every residual unit shares: act(shortcut(x) + branch(x)), with a gate somewhere.

    ``attention_at`` is where the gate sits (SE paper, Table 14): ``standard``, at the end of
    the branch; ``inner``, after the 3x3 convolution; ``pre``, before the branch; ``post``,
    after the addition and its activation; ``identity``, on the shortcut. (``between`` stages, as
    in BAM, is ``post`` in the last unit of each stage but the last.)
    """

    shortcut: nn.Module
    attention: nn.Module | None
    drop_path: nn.Module
    act: nn.Module
    scale: float = 1.0
    """what the branch is multiplied with"""

    def __init__(
        self,
        branch: Mapping[str, nn.Module | None],
        *,
        act: Callable[[], nn.Module],
        shortcut: nn.Module | None = None,
        attention: nn.Module | None = None,
        attention_at: str = "standard",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        parts: list[tuple[str, nn.Module | None]] = [
            *branch.items(),
            ("shortcut", shortcut or nn.Identity()),
            ("drop_path", DropPath(drop_path) if drop_path else nn.Identity()),
            ("act", act()),
        ]
        n = len(branch)
        places = {"pre": 0, "inner": n - 1, "identity": n, "standard": n + 1, "post": n + 3}
        check_choice("attention_at", attention_at, tuple(places))
        parts.insert(places[attention_at], ("attention", attention))
        # Registered as they run: others' tools (grad-cam's FullGrad) take that for the order.
        for name, part in parts:
            setattr(self, name, part)
        self._last = [*branch][-1]
        self.attention_at = attention_at if attention is not None else None

    def hidden(self, x: Tensor) -> Tensor:
        """The residual branch up to its last convolution."""
        raise NotImplementedError(f"{type(self).__name__} must define hidden(x)")

    def last_conv(self) -> nn.Module:
        """The branch's last convolution, with its normalisation: the last of its parts."""
        return getattr(self, self._last)

    def branch(self, x: Tensor) -> Tensor:
        """The residual branch without what follows its last normalisation."""
        return self.last_conv()(self.hidden(x))

    def operands(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the branch's last convolution sees, and the shortcut: a deployed unit adds both
        in one pass."""
        return self.hidden(self._gated("pre", x)), self.shortcut(self._gated("identity", x))

    def _gated(self, where: str, x: Tensor) -> Tensor:
        return self.attention(x) if self.attention_at == where else x  # type: ignore[misc]

    def forward(self, x: Tensor) -> Tensor:
        gate = self.attention if self.attention_at == "standard" else None
        branch = self.branch(self._gated("pre", x))
        shortcut = self.shortcut(self._gated("identity", x))
        y = add_residual(shortcut, branch, gate, self.drop_path, scale=self.scale)
        return self._gated("post", self.act(y))

    def last_norm(self) -> nn.Module:
        """The branch's last normalisation: zero in it makes the unit an identity at first."""
        return self.last_conv().norm  # type: ignore[return-value]

    def zero_init_last(self) -> None:
        """Start as the identity (Goyal et al. 2017); no effect without an affine."""
        weight = getattr(self.last_norm(), "weight", None)
        if weight is not None:
            nn.init.zeros_(weight)


class BasicUnit(ResidualUnit):
    """Two 3x3 convolutions (ResNet-18, -34 and the CIFAR nets). A stride is in the first."""

    conv1: nn.Module
    conv2: nn.Module

    def __init__(self, *, conv1: nn.Module, conv2: nn.Module, **slots: Unpack[Slots]) -> None:
        super().__init__({"conv1": conv1, "conv2": conv2}, **slots)

    def hidden(self, x: Tensor) -> Tensor:
        return self._gated("inner", self.conv1(x))


class Bottleneck(ResidualUnit):
    """1x1 to the width, the ``conv`` part, 1x1 to the output.

    ``conv2`` is a part of ``blocks.convs``; ``pool_before`` and ``pool_after`` stand around it
    where an average pooling takes its stride (ResNeSt, SCNet-v1d).
    """

    conv1: nn.Module
    pool_before: nn.Module
    conv2: nn.Module
    pool_after: nn.Module
    conv3: nn.Module

    def __init__(
        self,
        *,
        conv1: nn.Module,
        conv2: nn.Module,
        conv3: nn.Module,
        pool_before: nn.Module | None = None,
        pool_after: nn.Module | None = None,
        **slots: Unpack[Slots],
    ) -> None:
        branch = {
            "conv1": conv1,
            "pool_before": pool_before or nn.Identity(),
            "conv2": conv2,
            "pool_after": pool_after or nn.Identity(),
            "conv3": conv3,
        }
        super().__init__(branch, **slots)

    def hidden(self, x: Tensor) -> Tensor:
        x = self.pool_before(self.conv1(x))
        return self._gated("inner", self.pool_after(self.conv2(x)))
