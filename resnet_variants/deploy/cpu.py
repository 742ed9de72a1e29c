"""Convolutions in the forms that torch runs fastest on a CPU, and the choice between them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.gates import Gate

# Activations that oneDNN computes in a convolution's own pass
FUSABLE: dict[type[nn.Module], str] = {
    nn.Identity: "none",
    nn.ReLU: "relu",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "swish",
}


class Fast(nn.Module):
    """A convolution that can add, and activate, in fewer passes than a part behind it."""

    def add(self, x: Tensor, other: Tensor, *, relu: bool, entry: Tensor | None = None) -> Tensor:
        """The convolution of ``x``, plus ``other``, then ReLU if asked; not its own activation.

        ``entry`` (N, C, 1, 1) is what ``x`` is multiplied with first.
        """
        raise NotImplementedError(f"{type(self).__name__} must define add(x, other)")

    def with_gate(self, gate: Gate) -> nn.Module:
        """A gate of this convolution's output, in the form that ``gated`` takes."""
        return gate

    def gated(
        self, x: Tensor, gate: nn.Module, other: Tensor, *, relu: bool, scale: float = 1.0
    ) -> Tensor:
        """``other`` plus ``scale`` times the gated convolution of ``x``, then ReLU if asked."""
        assert isinstance(gate, Gate)
        branch = self(x)
        y = torch.addcmul(other, branch, gate.weights(branch), value=scale)
        return y.relu_() if relu else y


class PackedConv(Fast):
    """A convolution of oneDNN with its weights in the order that its kernels read, and an
    activation or an addition in the same pass."""

    def __init__(
        self, conv: nn.Conv2d, *, act: str = "none", input_size: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        self.args = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        # An opaque tensor of oneDNN: it cannot move, nor be saved, so it is no buffer.
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            conv.weight.detach(), *self.args, list(input_size) if input_size else None
        )
        self.bias = None if conv.bias is None else conv.bias.detach()
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self._convolve(x, self.act)

    def _convolve(self, x: Tensor, act: str) -> Tensor:
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self.args, act, [], ""
        )

    def add(self, x: Tensor, other: Tensor, *, relu: bool, entry: Tensor | None = None) -> Tensor:
        """As ``Fast.add``."""
        x = x if entry is None else x * entry
        if other.shape[2] == other.shape[3] == 1:
            # torch 2.11 cannot add to maps of one place: "could not create a memory"
            y = self._convolve(x, "none").add_(other)
            return y.relu_() if relu else y
        return torch.ops.mkldnn._convolution_pointwise.binary(
            x,
            other,
            self.weight,
            self.bias,
            *self.args,
            "add",
            1.0,
            "relu" if relu else None,
            [],
            None,
        )


class WinogradConv(Fast):
    """A 3x3 convolution with stride 1 by Winograd's minimal filtering (Lavin and Gray, CVPR
    2016): squares of ``tile`` x ``tile`` outputs, with 2.25 (tile 2) or 4 (tile 4) times fewer
    multiplications, and as much more for the transformed weights. Channels-last.

    Rounding differs from the direct sum's: by about 1e-6 (tile 2) and 1e-5 (tile 4) of the
    greatest output.
    """

    # The matrices B^T, G and A^T of F(tile, 3)
    TRANSFORMS = {  # noqa: RUF012
        2: (
            ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
            ((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
            ((1, 1, 1, 0), (0, 1, -1, -1)),
        ),
        4: (
            (
                (4, 0, -5, 0, 1, 0),
                (0, -4, -4, 1, 1, 0),
                (0, 4, -4, -1, 1, 0),
                (0, -2, -1, 2, 1, 0),
                (0, 2, -1, -2, 1, 0),
                (0, 4, 0, -5, 0, 1),
            ),
            (
                (1 / 4, 0, 0),
                (-1 / 6, -1 / 6, -1 / 6),
                (-1 / 6, 1 / 6, -1 / 6),
                (1 / 24, 1 / 12, 1 / 6),
                (1 / 24, -1 / 12, 1 / 6),
                (0, 0, 1),
            ),
            (
                (1, 1, 1, 1, 1, 0),
                (0, 1, -1, 2, -2, 0),
                (0, 1, 1, 4, 4, 0),
                (0, 1, -1, 8, -8, 1),
            ),
        ),
    }
    weight: Tensor
    into: Tensor
    out: Tensor
    bias: Tensor
    CACHE = 4 << 20  # bytes of transformed input that one go may take

    def __init__(self, conv: nn.Conv2d, *, act: str = "none", tile: int) -> None:
        super().__init__()
        into, kernel, out = (torch.tensor(m, dtype=torch.float64) for m in self.TRANSFORMS[tile])
        weight = conv.weight.detach()
        k, c = weight.shape[:2]
        both = torch.einsum("ia,kcab,jb->ijck", kernel, weight.double(), kernel)
        self.register_buffer("weight", both.reshape(-1, c, k).float().contiguous())
        # A transform of rows and columns as one product over the positions of a square
        self.register_buffer("into", torch.kron(into, into).float())
        self.register_buffer("out", torch.kron(out, out).float())
        self.register_buffer("bias", torch.zeros(k) if conv.bias is None else conv.bias.detach())
        self.tile = tile
        self.act = act

    @staticmethod
    def takes(conv: nn.Conv2d) -> bool:
        """Whether Winograd's algorithm is for this convolution."""
        return (
            conv.kernel_size == (3, 3)
            and conv.stride == conv.dilation == conv.padding == (1, 1)
            and conv.groups == 1
            and conv.padding_mode == "zeros"
            and min(conv.in_channels, conv.out_channels) >= 16
        )

    def _sums(self, x: Tensor) -> Tensor:
        """The convolution with its bias: (N, C, H, W) to a map of whole squares, (N, H', W', K)."""
        n, c, h, w = x.shape
        tile, side = self.tile, self.tile + 2
        rows, columns = -(-h // tile), -(-w // tile)
        k = self.bias.numel()
        y = x.new_empty(n, rows, tile, columns, tile, k)
        step = max(1, self.CACHE // (4 * side**2 * rows * columns * max(c, k)))
        below, right = rows * tile + 1 - h, columns * tile + 1 - w
        for start in range(0, n, step):
            part = x[start : start + step].permute(0, 2, 3, 1)
            squares = F.pad(part, (0, 0, 1, right, 1, below)).unfold(1, side, tile)
            squares = squares.unfold(2, side, tile).permute(4, 5, 0, 1, 2, 3)
            spectrum = (self.into @ squares.reshape(side**2, -1)).view(side**2, -1, c)
            products = torch.bmm(spectrum, self.weight).view(side**2, -1)
            outputs = (self.out @ products).view(tile, tile, -1, rows, columns, k)
            torch.add(outputs, self.bias, out=y[start : start + step].permute(2, 4, 0, 1, 3, 5))
        return y.view(n, rows * tile, columns * tile, k)[:, :h, :w].permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self._sums(x)
        if self.act == "relu":
            return y.relu_() if _dense(y) else y.relu()
        y = y.contiguous(memory_format=torch.channels_last)
        if self.act == "sigmoid":
            return y.sigmoid_()
        return F.silu(y, inplace=True) if self.act == "swish" else y

    def add(self, x: Tensor, other: Tensor, *, relu: bool, entry: Tensor | None = None) -> Tensor:
        """As ``Fast.add``."""
        x = x if entry is None else x * entry
        y = self._sums(x)
        y = y.add_(other) if _dense(y) else y + other
        return y.relu_() if relu else y


class UndilatedConv(Fast):
    """A dilated convolution as one without holes: positions that lie a multiple of the dilation
    apart see each other alone, so each of these grids is an image of its own (the a-trous
    algorithm). oneDNN has no kernel of its own for dilated depthwise convolutions of more than
    3x3, and takes 16 to 28 times as long with holes. Channels-last.
    """

    def __init__(
        self, conv: nn.Conv2d, *, act: str = "none", input_size: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        near = nn.Conv2d(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            padding=tuple(size // 2 for size in conv.kernel_size),  # type: ignore[arg-type]
            groups=conv.groups,
            device="meta",
        )
        near.weight, near.bias = conv.weight, conv.bias
        self.dilation = conv.dilation[0]
        if input_size is not None:
            n, c, h, w = input_size
            rows, columns = self._grid(h, w)
            input_size = (n * self.dilation**2, c, rows, columns)
        self.near = PackedConv(near, act=act, input_size=input_size)

    @staticmethod
    def takes(conv: nn.Conv2d) -> bool:
        """Whether a convolution is depthwise, dilated, and keeps the size of its input."""
        kernel, dilation = conv.kernel_size, conv.dilation
        keeps = all(
            p == d * (k // 2) for p, d, k in zip(conv.padding, dilation, kernel, strict=True)
        )
        return (
            dilation[0] == dilation[1] > 1
            and kernel[0] % 2 == kernel[1] % 2 == 1
            and keeps
            and conv.stride == (1, 1)
            and conv.groups == conv.in_channels
            and conv.padding_mode == "zeros"
        )

    def _grid(self, h: int, w: int) -> tuple[int, int]:
        return -(-h // self.dilation), -(-w // self.dilation)

    def forward(self, x: Tensor) -> Tensor:
        return self._convolve(x, self.near.act)

    def _convolve(self, x: Tensor, act: str) -> Tensor:
        n, c, h, w = x.shape
        d, (rows, columns) = self.dilation, self._grid(h, w)
        x = F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, columns * d - w, 0, rows * d - h))
        grids = x.view(n, rows, d, columns, d, c).permute(0, 2, 4, 1, 3, 5)
        grids = grids.reshape(n * d * d, rows, columns, c).permute(0, 3, 1, 2)
        y = self.near._convolve(grids, act)
        y = y.permute(0, 2, 3, 1).view(n, d, d, rows, columns, -1).permute(0, 3, 1, 4, 2, 5)
        return y.reshape(n, rows * d, columns * d, -1)[:, :h, :w].permute(0, 3, 1, 2)

    def add(self, x: Tensor, other: Tensor, *, relu: bool, entry: Tensor | None = None) -> Tensor:
        """As ``Fast.add``."""
        y = self._convolve(x if entry is None else x * entry, "none") + other
        return y.relu_() if relu else y


def _dense(y: Tensor) -> bool:
    return y.is_contiguous(memory_format=torch.channels_last)


Form = Callable[[nn.Conv2d, str, "tuple[int, ...] | None"], Fast]


def _direct(conv: nn.Conv2d, act: str, size: tuple[int, ...] | None) -> Fast:
    return PackedConv(conv, act=act, input_size=size)


def _wide_groups(conv: nn.Conv2d, act: str, size: tuple[int, ...] | None) -> Fast:
    return PackedConv(_widened(conv), act=act, input_size=size)


def _winograd(conv: nn.Conv2d, act: str, size: tuple[int, ...] | None, *, tile: int) -> Fast:
    return WinogradConv(conv, act=act, tile=tile)


def _undilated(conv: nn.Conv2d, act: str, size: tuple[int, ...] | None) -> Fast:
    return UndilatedConv(conv, act=act, input_size=size)


def _forms(conv: nn.Conv2d) -> list[Form]:
    """The forms that a convolution has, the direct one first."""
    if UndilatedConv.takes(conv):
        return [_direct, _undilated]
    if WinogradConv.takes(conv):
        return [_direct, partial(_winograd, tile=2), partial(_winograd, tile=4)]
    if 1 < conv.groups < conv.in_channels < 8 * conv.groups and conv.groups % 2 == 0:
        return [_direct, _wide_groups]  # kernels work on 8 channels at once
    return [_direct]


def fastest(
    conv: nn.Conv2d, input_size: tuple[int, ...] | None, *, act: str = "none", measure: bool = True
) -> Fast:
    """The form of a convolution that is fastest for an input of this size, by measuring.

    Without measuring, or a size to measure for, it is the direct form.
    """
    which = 0
    if measure and input_size is not None and len(_forms(conv)) > 1 and _is_large(conv, input_size):
        which = _fastest(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            conv.stride,
            conv.padding,
            conv.dilation,
            conv.groups,
            input_size=input_size,
            threads=torch.get_num_threads(),
        )
    return _forms(conv)[which](conv, act, input_size)


def _is_large(conv: nn.Conv2d, input_size: tuple[int, ...]) -> bool:
    """Whether there is time to win: 30 million FLOPs take about half a millisecond, but with holes
    between them much longer."""
    if UndilatedConv.takes(conv):
        return True
    n, _, h, w = input_size
    positions = n * h * w // (conv.stride[0] * conv.stride[1])
    return 2 * positions * conv.weight.numel() > 30e6


@cache
def _fastest(*geometry: Any, input_size: tuple[int, ...], threads: int) -> int:
    """Which form is fastest: measured once in a process for each geometry, size and number of
    threads, with any weights."""
    with torch.no_grad():
        conv = nn.Conv2d(*geometry)
        x = torch.randn(input_size).contiguous(memory_format=torch.channels_last)
        forms = [form(conv, "relu", input_size) for form in _forms(conv)]
        times: list[list[float]] = [[] for _ in forms]
        # In a network the layers between leave nothing of the weights in the cache.
        between = torch.empty(1 << 23)
        for i in range(5):
            for form, spent in zip(forms, times, strict=True):
                between.fill_(i)
                start = time.process_time()
                form(x)
                spent.append(time.process_time() - start)
    medians = [statistics.median(spent[1:]) for spent in times]  # the first warms up
    best = min(range(len(medians)), key=medians.__getitem__)
    return best if medians[best] < 0.9 * medians[0] else 0  # the direct one, unless clearly


def _widened(conv: nn.Conv2d) -> nn.Conv2d:
    """The same convolution with half as many groups."""
    wide = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        conv.dilation,  # type: ignore[arg-type]
        conv.groups // 2,
        device="meta",
    )
    wide.weight = nn.Parameter(join_groups(conv.weight, conv.groups, 2), requires_grad=False)
    wide.bias = conv.bias
    return wide


def join_groups(weight: Tensor, groups: int, join: int) -> Tensor:
    """The weights of a convolution in which ``join`` groups are one, zero between them."""
    parts = weight.detach().unflatten(0, (groups // join, join, len(weight) // groups))
    _, _, rows, columns, *window = parts.shape
    wide = weight.new_zeros(groups // join, join, rows, join, columns, *window)
    for i in range(join):
        wide[:, i, :, i] = parts[:, i]
    return wide.flatten(3, 4).flatten(0, 2)
