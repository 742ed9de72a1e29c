"""Self-calibrated convolution: SCNet's (Liu et al., CVPR 2020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .convs import ConvSpec, register_conv
from .layers import ConvNormAct, at_most, is_exported


@register_conv("self_calibrated")
class SelfCalibratedConv(nn.Module):
    """Half of the channels are convolved (``k1``); the other half's convolution (``k3``) is
    gated by a view of its surroundings: itself plus its convolution at a quarter of the
    resolution (``k2``), through a sigmoid; ``k4`` follows.

    (N, C, H, W) to (N, C', ceil(H/s), ceil(W/s)); the authors' two 1x1 convolutions before it
    are one here, whose halves these are. ``pooling`` is the reduction of ``k2``; a map smaller
    than it is averaged whole, where the authors' code fails. Raises ValueError for channels
    without halves.
    """

    def __init__(self, spec: ConvSpec, *, pooling: int = 4) -> None:
        super().__init__()
        if spec.in_channels % 2 or spec.in_channels != spec.out_channels:
            raise ValueError(
                "conv='self_calibrated' halves as many channels as it gives: not "
                f"{spec.in_channels} to {spec.out_channels} (reduce_first=1 gives it as many)."
            )
        if pooling < 1:
            raise ValueError(f"self_calibrated: pooling must be at least 1, not {pooling!r}.")
        half = spec.in_channels // 2
        shape = dict(in_channels=half, out_channels=half)

        self.pooling = pooling
        self.normalises_squares = pooling  # what k2's normalisation sees is this much smaller
        self.k1 = ConvNormAct(**spec.args(**shape))
        self.k2 = ConvNormAct(**spec.args(**shape, stride=1, act=None))
        self.k3 = ConvNormAct(**spec.args(**shape, stride=1, act=None))
        self.k4 = ConvNormAct(**spec.args(**shape))
        self.gate = nn.Sigmoid()

    def surroundings(self, x: Tensor) -> Tensor:
        """``k2`` of the map averaged over squares, in the map's size."""
        size, step = x.shape[2:], self.pooling
        # A fixed size needs it not.
        if is_exported() and not self.training and any(isinstance(n, torch.SymInt) for n in size):
            return self._surroundings_of_any_size(x)
        squares = [at_most(size[0], step), at_most(size[1], step)]
        return F.interpolate(self.k2(F.avg_pool2d(x, squares, step)), size)

    def _surroundings_of_any_size(self, x: Tensor) -> Tensor:
        """The same in eval mode, where sizes are symbols of an exported graph.

        No step depends on whether there is one square or more: zero squares, which a convolution
        cannot tell from its padding, follow the whole ones on the right and below.
        """
        step, size = self.pooling, x.shape[2:]
        for axis in (2, 3):
            # Not by F.pad: onnxruntime would move more of it into the pooling than fits there.
            beyond = list(x.shape)
            beyond[axis] = 2 * step - 1
            x = torch.cat((x, x.new_zeros(beyond)), axis)
        y = F.avg_pool2d(x, step)
        picks = []
        for axis, side in zip((2, 3), size, strict=True):
            whole = torch.sym_max(side // step, 1)
            kept = (torch.arange(y.shape[axis], device=x.device) < whole).to(x.dtype)
            share: Tensor = kept * step / torch.sym_min(side, step)  # type: ignore[assignment]
            y = y * (share[:, None] if axis == 2 else share)
            picks.append(torch.arange(side, device=x.device) * whole // side)
        return self.k2(y).index_select(2, picks[0]).index_select(3, picks[1])

    def forward(self, x: Tensor) -> Tensor:
        plain, calibrated = x.chunk(2, 1)
        plain = self.k1(plain)
        gate = self.gate(calibrated + self.surroundings(calibrated))
        return torch.cat((plain, self.k4(self.k3(calibrated) * gate)), 1)
