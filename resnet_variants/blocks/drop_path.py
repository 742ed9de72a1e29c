"""Stochastic depth (Huang et al. 2016): whole residual branches are dropped in training."""

from __future__ import annotations

from torch import Tensor, nn


class DropPath(nn.Module):
    """Drop a sample's residual branch with probability ``rate``, and scale the others by
    1 / (1 - rate) so that the expectation stays. Does nothing in eval mode.

    Applied to a branch (N, C, H, W), or to whatever the branch is multiplied with.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"drop_path_rate must be in [0, 1), not {rate!r}.")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = x.new_empty(x.shape[0], 1, 1, 1).bernoulli_(1 - self.rate).div_(1 - self.rate)
        return x * keep

    def extra_repr(self) -> str:
        return f"rate={self.rate:g}"


def drop_path_rates(rate: float, depth: int) -> list[float]:
    """One rate a block, rising linearly from 0 at the first to ``rate`` at the last."""
    return [rate * i / max(depth - 1, 1) for i in range(depth)]
