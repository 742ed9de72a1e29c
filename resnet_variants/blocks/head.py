"""The head: pooling, dropout, classifier."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..choices import check_choice
from ..fields import checked
from .layers import linear

GLOBAL_POOLS = ("avg", "max", "avgmax", "catavgmax", "gem", "")


def pool_of(name: Any) -> str:
    """A global pooling by its name here, which has no ``fast`` before it, as timm's has."""
    if isinstance(name, str) and name.startswith("fast"):
        name = name.removeprefix("fast") or "avg"
    check_choice("global_pool", name, GLOBAL_POOLS)
    return str(name)


class Head(nn.Module):
    """(N, C, H, W) to (N, num_classes): ``final`` layers, global pooling, dropout, classifier.

    ``num_classes=0`` gives the pooled features (N, C) ('catavgmax': (N, 2C)), with
    ``global_pool=""`` the map.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        final: nn.Module | None = None,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.final = final or nn.Identity()
        self.drop = nn.Dropout(drop_rate)
        self.in_channels = in_channels
        self.global_pool = global_pool
        self.reset(num_classes, global_pool)

    def reset(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a new classifier in, on the device and in the type of the old one's network."""
        pool = pool_of(self.global_pool if global_pool is None else global_pool)
        num_classes = checked("num_classes", num_classes, int, {"least": 0})
        if global_pool is None and not pool and num_classes:
            pool = "avg"  # a classifier was asked for, and needs pooled features
        if not pool and num_classes:
            raise ValueError(
                f"global_pool='' keeps the map, so num_classes must be 0, not {num_classes}: "
                "a classifier needs pooled features, for instance global_pool='avg'."
            )
        self.global_pool = pool
        self.num_classes = num_classes
        self.num_features = self.in_channels * (2 if pool == "catavgmax" else 1)
        self.fc = linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self.fc.train(self.training)

    def pool(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the pooled (N, C), (N, 2C) or, without pooling, as it is."""
        if self.global_pool == "avg":
            return x.mean((2, 3))
        if self.global_pool == "max":
            return x.amax((2, 3))
        if self.global_pool == "avgmax":
            return 0.5 * (x.mean((2, 3)) + x.amax((2, 3)))
        if self.global_pool == "catavgmax":
            return torch.cat((x.mean((2, 3)), x.amax((2, 3))), 1)
        if self.global_pool == "gem":  # generalised mean, p = 3 (Radenovic et al., TPAMI 2019)
            return x.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3)
        return x

    def forward(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        x = self.drop(self.pool(x))
        return x if pre_logits else self.fc(x)
