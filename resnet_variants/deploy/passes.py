"""What stands between convolutions, in one pass over memory each: on an NVIDIA GPU a kernel of
``kernels``, where Triton is installed, elsewhere the plain statement of the same function here."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from functools import cache
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor

ACTIVATE: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "swish": F.silu,
}
"""besides ``none``"""


@cache
def has_triton() -> bool:
    """Whether the kernels can be compiled here."""
    return importlib.util.find_spec("triton") is not None


def _kernels(x: Tensor) -> ModuleType | None:
    if not (x.is_cuda and has_triton()):
        return None
    from . import kernels

    return kernels


def finish(
    x: Tensor,
    *,
    bias: Tensor | None = None,
    gate: Tensor | None = None,
    other: Tensor | None = None,
    scale: float = 1.0,
    act: str = "none",
) -> Tensor:
    """act(scale * gate * (x + bias) + other): (N, C, H, W) to the same.

    ``bias`` is (C,); ``gate`` and ``other`` broadcast to ``x``.
    """
    if (kernels := _kernels(x)) is not None:
        return kernels.finish(x, bias=bias, gate=gate, other=other, scale=scale, act=act)
    y = x if bias is None else x + bias[:, None, None]
    if other is not None:
        y = y if gate is None else y * gate
        y = torch.add(other, y, alpha=scale)
    elif gate is not None:
        y = y * (gate * scale)
    elif scale != 1:
        y = y * scale
    return ACTIVATE[act](y) if act != "none" else y


def pointwise(
    x: Tensor,
    weight: Tensor,
    *,
    stride: int = 1,
    entry: Tensor | None = None,
    tile: tuple[int, int, int] = (64, 64, 32),
    bias: Tensor | None = None,
    gate: Tensor | None = None,
    other: Tensor | None = None,
    scale: float = 1.0,
    act: str = "none",
) -> Tensor:
    """``finish`` of the 1x1 convolution of ``entry * x`` with ``weight`` (K, C), channels-last.

    ``entry`` (N, C, 1, 1) is what a gate before the convolution multiplies with. ``tile`` is how
    many positions, outputs and inputs a block of the GPU's kernel takes at once.
    """
    if (kernels := _kernels(x)) is not None:
        return kernels.pointwise(
            x,
            weight,
            stride=stride,
            entry=entry,
            tile=tile,
            bias=bias,
            gate=gate,
            other=other,
            scale=scale,
            act=act,
        )
    y = F.conv2d(x if entry is None else x * entry, weight[:, :, None, None], stride=stride)
    return finish(y, bias=bias, gate=gate, other=other, scale=scale, act=act)


def depthwise(
    x: Tensor,
    taps: Tensor,
    *,
    stride: int,
    padding: int,
    dilation: int,
    bias: Tensor | None = None,
    act: str = "none",
) -> Tensor:
    """A convolution of each channel by itself, channels-last, with bias and activation in the
    same pass. ``taps`` is (k * k, C): the weights of a position lie together."""
    if (kernels := _kernels(x)) is not None:
        return kernels.depthwise(
            x, taps, stride=stride, padding=padding, dilation=dilation, bias=bias, act=act
        )
    size = math.isqrt(len(taps))
    weight = taps.t().unflatten(1, (1, size, size))
    y = F.conv2d(x, weight, bias, stride, padding, dilation, len(weight))
    return ACTIVATE[act](y) if act != "none" else y


def max_pool(x: Tensor, kernel: int, *, stride: int, padding: int, ceil_mode: bool) -> Tensor:
    """``F.max_pool2d`` of a channels-last map, without the places of the maxima, which torch
    writes beside them."""
    if (kernels := _kernels(x)) is not None:
        return kernels.max_pool(x, kernel, stride=stride, padding=padding, ceil_mode=ceil_mode)
    return F.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil_mode)
