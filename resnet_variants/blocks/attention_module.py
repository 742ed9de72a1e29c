"""The attention module of the Residual Attention Network (Wang et al., CVPR 2017)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..choices import Registry, check_choice
from .layers import is_traced

LEARNING = ("residual", "naive")

MASKS: Registry[Callable[[], nn.Module]] = Registry("mask")


@MASKS.register("mixed")
class MixedMask(nn.Sigmoid):
    """A sigmoid for each channel and position: no constraint."""


@MASKS.register("channel")
class ChannelMask(nn.Module):
    """Each position's channels, divided by their Euclidean norm."""

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=1)


@MASKS.register("spatial")
class SpatialMask(nn.Module):
    """Each channel's map standardised over its positions, then a sigmoid."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        deviation = x.var((2, 3), correction=0, keepdim=True).add(1e-5).sqrt()
        return torch.sigmoid((x - mean) / deviation)


class Mask(nn.Module):
    """The mask branch: down to a small map that sees everything, and up again.

    (N, C, H, W) and a size to (N, C, *size). ``down`` are the units of each level, behind
    ``pool``; ``up`` those behind each bilinear upsampling but the last (aligned corners) and
    the addition of what ``skip`` makes of that level. At full resolution nothing is added;
    ``linear`` follows, and what makes weights of it, ``gate``. A single level without pooling is
    a mask without a bottom.
    """

    def __init__(
        self,
        down: Sequence[nn.Module],
        skip: Sequence[nn.Module],
        up: Sequence[nn.Module],
        *,
        pool: nn.Module | None,
        linear: nn.Sequential,
        gate: nn.Module,
    ) -> None:
        super().__init__()
        self.pool = pool or nn.Identity()
        self.down = nn.ModuleList(down)
        self.skip = nn.ModuleList(skip)
        self.up = nn.ModuleList(up)
        self.linear = linear
        self.gate = gate

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        levels = []
        for units in self.down:
            x = units(self.pool(x))
            levels.append(x)
        for i in reversed(range(len(self.skip))):
            x = self.up[i](_resize(x, levels[i].shape[2:]) + self.skip[i](levels[i]))
        return self.gate(self.linear(_resize(x, size)))


@torch.fx.wrap  # one node of a traced graph, so that layout and type are seen when it runs
def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear interpolation with aligned corners.

    Of a float32 or float64 map in NCHW as two products with the matrices that interpolate a row
    and a column: torch's own kernel goes through a position's channels one after the other
    there, and took 73 % of RAN-56's time on a GPU. Fewer bits would round the matrices, too;
    and counted (on the meta device) is what papers count, who leave interpolation out.
    """
    if is_traced(x) or x.is_meta or x.stride(1) == 1 or _is_short(x):
        return F.interpolate(x, size, mode="bilinear", align_corners=True)
    down, right = (_interpolating(x, n, to) for n, to in zip(x.shape[2:], size, strict=True))
    return down.t() @ (x @ right)


def _is_short(x: Tensor) -> bool:
    """Whether a product with it has fewer bits than float32."""
    kind = x.device.type
    autocast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return autocast or x.dtype not in (torch.float32, torch.float64)


def _interpolating(like: Tensor, n: int, to: int) -> Tensor:
    """The (n, to) matrix that a row of n numbers is multiplied with."""
    unit = torch.eye(n, dtype=like.dtype, device=like.device)
    return F.interpolate(unit[None], to, mode="linear", align_corners=True)[0]


class AttentionModule(nn.Module):
    """p units, then the trunk of t units, weighed by a mask, then p units.

    (N, C, H, W) to the same. ``learning="residual"`` gives (1 + M) T, so that a mask of zeros
    leaves the trunk as it is; ``naive`` gives M T, which weakens features with depth.
    """

    def __init__(
        self,
        before: nn.Module,
        trunk: nn.Module,
        mask: Mask,
        after: nn.Module,
        *,
        learning: str = "residual",
    ) -> None:
        super().__init__()
        check_choice("learning", learning, LEARNING)
        self.before = before
        self.trunk = trunk
        self.mask = mask
        self.after = after
        self.learning = learning

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        trunk = self.trunk(x)
        mask = self.mask(x, trunk.shape[2:])
        weighed = trunk * mask if self.learning == "naive" else torch.addcmul(trunk, trunk, mask)
        return self.after(weighed)
