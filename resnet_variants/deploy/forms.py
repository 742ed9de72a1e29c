"""Convolutions in the forms that an NVIDIA GPU runs fastest, and the choice between them.

A form gives ``finish`` (in ``passes``) of the convolution, each in its own way. On other devices
the same forms run in torch's plain operations, so that they can be tested there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cpu import join_groups
from .passes import depthwise, finish, pointwise

TILES = ((64, 64, 64), (128, 128, 32), (128, 128, 64))
"""positions, outputs and inputs that a block of the kernel for 1x1 convolutions takes"""
WIDTHS = (32, 64, 128)
"""input channels that narrow groups are joined to, where that is faster"""


@dataclass(frozen=True)
class Use:
    """What one use of a convolution is given."""

    x: Tensor
    entry: Tensor | None = None
    """(N, C, 1, 1), which the input is multiplied with first"""
    gate: Tensor | None = None
    other: Tensor | None = None
    scale: float = 1.0
    act: str = "none"

    @property
    def fuses(self) -> bool:
        """Whether cuDNN's fused convolution gives it: ReLU, behind an addition at most."""
        return self.act == "relu" and self.gate is None and self.scale == 1

    @property
    def last(self) -> bool:
        """Whether it is channels-last."""
        return self.x.stride(1) == 1

    def key(self) -> tuple[Any, ...]:
        """What its time depends on."""
        parts = [None if t is None else tuple(t.shape) for t in (self.entry, self.gate, self.other)]
        float32 = torch.backends.cuda.matmul.fp32_precision
        x = self.x
        return (x.device, tuple(x.shape), x.dtype, float32, self.last, *parts, self.act)


class Geometry(NamedTuple):
    """What a convolution is but for its weights."""

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @classmethod
    def of(cls, conv: nn.Conv2d) -> Geometry:
        """That of a layer."""
        return cls(*(getattr(conv, field) for field in cls._fields))

    @property
    def is_pointwise(self) -> bool:
        """Whether it is a plain 1x1 convolution, of any stride."""
        down, right = self.stride
        plain = self.kernel_size == (1, 1) and self.padding == (0, 0) and self.groups == 1
        return plain and down == right


class Weights(NamedTuple):
    """A convolution as a form reads it: weights in the order of its kernel."""

    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


def _as_they_are(weights: Weights) -> Weights:
    """The form takes a convolution's own weights."""
    return weights


@dataclass(frozen=True)
class Form:
    """A way to compute a convolution."""

    takes: Callable[[Geometry, Use], bool]
    run: Callable[[Weights, Use], Tensor]
    prepare: Callable[[Weights], Weights] = _as_they_are


def _entered(use: Use) -> Tensor:
    return use.x if use.entry is None else finish(use.x, gate=use.entry)


def _fused(conv: Weights, use: Use) -> Tensor:
    """cuDNN's convolution with bias, addition and ReLU."""
    x, other = _entered(use), use.other
    weight, bias = conv[:2]
    args = conv[2:]
    if not x.is_cuda:
        y = F.conv2d(x, weight, bias, *args)
        return F.relu(y if other is None else y + other)
    if other is None:
        return torch.ops.aten.cudnn_convolution_relu(x, weight, bias, *args)
    return torch.ops.aten.cudnn_convolution_add_relu(x, weight, other, 1.0, bias, *args)


def _plain(conv: Weights, use: Use) -> Tensor:
    """The convolution alone, and the rest in a pass of its own."""
    bias = conv.bias
    y = F.conv2d(_entered(use), conv.weight, None, *conv[2:])
    if use.act == "none" and use.scale == 1 and bias is use.gate is use.other is None:
        return y
    return finish(y, bias=bias, gate=use.gate, other=use.other, scale=use.scale, act=use.act)


def _of_library(conv: Weights, use: Use) -> Tensor:
    return _fused(conv, use) if use.fuses else _plain(conv, use)


def _pointwise(conv: Weights, use: Use, *, tile: tuple[int, int, int]) -> Tensor:
    return pointwise(
        use.x,
        conv.weight,
        stride=conv.stride[0],
        entry=use.entry,
        tile=tile,
        bias=conv.bias,
        gate=use.gate,
        other=use.other,
        scale=use.scale,
        act=use.act,
    )


def _depthwise(conv: Weights, use: Use) -> Tensor:
    (stride, _), (padding, _), (dilation, _) = conv.stride, conv.padding, conv.dilation
    return depthwise(
        use.x,
        conv.weight,
        stride=stride,
        padding=padding,
        dilation=dilation,
        bias=conv.bias,
        act=use.act,
    )


def _nchw(conv: Weights, use: Use) -> Tensor:
    """In NCHW, between two changes of order."""
    other = None if use.other is None else use.other.contiguous()
    y = _of_library(conv, replace(use, x=use.x.contiguous(), other=other))
    return y.contiguous(memory_format=torch.channels_last)


def _is_depthwise(conv: Geometry, use: Use) -> bool:
    pairs = (conv.kernel_size, conv.stride, conv.padding, conv.dilation)
    return (
        conv.groups == conv.in_channels == conv.out_channels
        and all(a == b for a, b in pairs)
        and use.last
        and use.entry is use.gate is use.other is None
        and use.scale == 1
    )


def _is_grouped(conv: Geometry, use: Use) -> bool:
    return 1 < conv.groups < conv.in_channels and use.last


def _join(channels: int, groups: int, width: int) -> int:
    """How many of the groups make one of at least ``width`` input channels; all where none do."""
    counts = [n for n in range(1, groups + 1) if groups % n == 0]
    return next((n for n in counts if n * channels // groups >= width), groups)


def _takes_width(conv: Geometry, use: Use, *, width: int) -> bool:
    joins = [_join(conv.in_channels, conv.groups, each) for each in WIDTHS if each <= width]
    return _is_grouped(conv, use) and joins[-1] > max([1, *joins[:-1]])


def _with_bias(conv: Weights) -> Weights:
    """With a bias, which the fused convolution would else fill with zeros each time."""
    bias = conv.bias if conv.bias is not None else conv.weight.new_zeros(len(conv.weight))
    return conv._replace(bias=bias)


def _with_width(conv: Weights, *, width: int) -> Weights:
    channels = conv.weight.shape[1] * conv.groups
    join = _join(channels, conv.groups, width)
    weight = join_groups(conv.weight, conv.groups, join)
    weight = weight.contiguous(memory_format=torch.channels_last)
    return _with_bias(conv._replace(weight=weight, groups=conv.groups // join))


def _in_nchw(conv: Weights) -> Weights:
    return _with_bias(conv._replace(weight=conv.weight.contiguous()))


def _matrix(conv: Weights) -> Weights:
    return conv._replace(weight=conv.weight.flatten(1).contiguous())


def _taps(conv: Weights) -> Weights:
    return conv._replace(weight=conv.weight.flatten(1).t().contiguous())


FORMS: dict[str, Form] = {
    "fused": Form(lambda conv, use: use.fuses, _fused, _with_bias),
    "plain": Form(lambda conv, use: True, _plain),
    "depthwise": Form(_is_depthwise, _depthwise, _taps),
    "NCHW": Form(_is_grouped, _nchw, _in_nchw),
}
"""by name; the first that takes a use is the one without measuring"""
for _tile in TILES:
    FORMS[f"pointwise {'x'.join(map(str, _tile))}"] = Form(
        lambda conv, use: conv.is_pointwise and use.last, partial(_pointwise, tile=_tile), _matrix
    )
for _width in WIDTHS:
    FORMS[f"groups of {_width}"] = Form(
        partial(_takes_width, width=_width), _of_library, partial(_with_width, width=_width)
    )
