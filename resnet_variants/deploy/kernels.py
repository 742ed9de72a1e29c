"""The passes of ``passes`` as Triton kernels. Importing this needs Triton.

Maps are read and written as rows: channels-last a row is a position with its channels, else a
channel with its positions. ``n``, ``q`` and ``col`` are image, row in the image, and place in the
row; an operand that broadcasts has steps of zero.
"""

# mypy: ignore-errors

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _activated(y, ACT: tl.constexpr):
    if ACT == "relu":
        y = tl.where(y < 0.0, 0.0, y)  # a number that is none stays so, as torch has it
    elif ACT == "sigmoid":
        y = tl.sigmoid(y)
    elif ACT == "swish":
        y = y * tl.sigmoid(y)
    return y


@triton.jit
def _finished(
    y, n, q, col, inside, bias, gate, other, scale,
    bias_q, bias_col, gate_n, gate_q, gate_col, other_n, other_q, other_col,
    HAS_BIAS: tl.constexpr, HAS_GATE: tl.constexpr, HAS_OTHER: tl.constexpr, ACT: tl.constexpr,
):  # fmt: skip
    q, col = q.to(tl.int64), col.to(tl.int64)  # an image's places may be more than 2**31
    if HAS_BIAS:
        y += tl.load(bias + q * bias_q + col * bias_col, inside, 0.0).to(tl.float32)
    if HAS_GATE:
        y *= tl.load(gate + n * gate_n + q * gate_q + col * gate_col, inside, 0.0).to(tl.float32)
    y *= scale
    if HAS_OTHER:
        y += tl.load(other + n * other_n + q * other_q + col * other_col, inside, 0.0).to(
            tl.float32
        )
    return _activated(y, ACT)


# What takes many values is not compiled for each: rows and sizes of maps.
@triton.jit(do_not_specialize=["rows", "rows_of_image"])
def _finish(
    x, out, bias, gate, other, scale, rows, columns, rows_of_image,
    bias_q, bias_col, gate_n, gate_q, gate_col, other_n, other_q, other_col,
    HAS_BIAS: tl.constexpr, HAS_GATE: tl.constexpr, HAS_OTHER: tl.constexpr, ACT: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    # A grid's second dimension is short of what large maps take.
    blocks = tl.cdiv(columns, COLUMNS)
    row = (tl.program_id(0) // blocks * ROWS + tl.arange(0, ROWS))[:, None]
    col = (tl.program_id(0) % blocks * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    inside = (row < rows) & (col < columns)
    n = (row // rows_of_image).to(tl.int64)
    q = row % rows_of_image
    at = row.to(tl.int64) * columns + col
    y = tl.load(x + at, inside, 0.0).to(tl.float32)
    y = _finished(
        y, n, q, col, inside, bias, gate, other, scale,
        bias_q, bias_col, gate_n, gate_q, gate_col, other_n, other_q, other_col,
        HAS_BIAS, HAS_GATE, HAS_OTHER, ACT,
    )  # fmt: skip
    tl.store(out + at, y.to(out.dtype.element_ty), inside)


@triton.jit(
    do_not_specialize=["rows", "rows_of_image", "width", "in_width", "in_rows_of_image", "stride"]
)
def _pointwise(
    x, weight, entry, out, bias, gate, other, scale, rows, columns, rows_of_image, depth,
    width, in_width, in_rows_of_image, stride,
    bias_q, bias_col, gate_n, gate_q, gate_col, other_n, other_q, other_col,
    STRIDED: tl.constexpr, HAS_ENTRY: tl.constexpr, HAS_BIAS: tl.constexpr,
    HAS_GATE: tl.constexpr, HAS_OTHER: tl.constexpr, ACT: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    # The blocks of one band of rows follow one another: they read the same inputs.
    blocks = tl.cdiv(columns, COLUMNS)
    row = tl.program_id(0) // blocks * ROWS + tl.arange(0, ROWS)
    col = tl.program_id(0) % blocks * COLUMNS + tl.arange(0, COLUMNS)
    n = (row // rows_of_image).to(tl.int64)
    q = row % rows_of_image
    source = row.to(tl.int64)
    if STRIDED:
        source = n * in_rows_of_image + q // width * stride * in_width + q % width * stride
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, depth, DEPTH):
        k = start + tl.arange(0, DEPTH)
        inside = (row[:, None] < rows) & (k[None, :] < depth)
        a = tl.load(x + source[:, None] * depth + k[None, :], inside, 0.0)
        if HAS_ENTRY:
            a = (a * tl.load(entry + n[:, None] * depth + k[None, :], inside, 0.0)).to(
                x.dtype.element_ty
            )
        inside = (k[:, None] < depth) & (col[None, :] < columns)
        b = tl.load(weight + col[None, :] * depth + k[:, None], inside, 0.0)
        sums = tl.dot(a, b, sums, input_precision=PRECISION)
    inside = (row[:, None] < rows) & (col[None, :] < columns)
    y = _finished(
        sums, n[:, None], q[:, None], col[None, :], inside, bias, gate, other, scale,
        bias_q, bias_col, gate_n, gate_q, gate_col, other_n, other_q, other_col,
        HAS_BIAS, HAS_GATE, HAS_OTHER, ACT,
    )  # fmt: skip
    at = row.to(tl.int64)[:, None] * columns + col[None, :]
    tl.store(out + at, y.to(out.dtype.element_ty), inside)


@triton.jit(do_not_specialize=["rows", "height", "width", "in_height", "in_width"])
def _window(
    x, weight, bias, out, rows, columns, height, width, in_height, in_width,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, DILATION: tl.constexpr,
    MAXIMUM: tl.constexpr, HAS_BIAS: tl.constexpr, ACT: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    col = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    n = (row // (height * width)).to(tl.int64)
    top = row // width % height * STRIDE - PADDING
    left = row % width * STRIDE - PADDING
    y = tl.full((ROWS, COLUMNS), float("-inf") if MAXIMUM else 0.0, tl.float32)
    for i in tl.static_range(KERNEL):
        for j in tl.static_range(KERNEL):
            down, right = top + i * DILATION, left + j * DILATION
            inside = (down >= 0) & (down < in_height) & (right >= 0) & (right < in_width)
            inside = (inside & (row < rows))[:, None] & (col < columns)
            at = ((n * in_height + down) * in_width + right)[:, None] * columns + col
            if MAXIMUM:
                a = tl.load(x + at, inside, float("-inf")).to(tl.float32)
                y = tl.where((a > y) | (a != a), a, y)  # as above
            else:
                a = tl.load(x + at, inside, 0.0).to(tl.float32)
                w = tl.load(weight + (i * KERNEL + j) * columns + col, col < columns, 0.0)
                y += a * w.to(tl.float32)
    if HAS_BIAS:
        y += tl.load(bias + col, col < columns, 0.0).to(tl.float32)
    y = _activated(y, ACT)
    at = row.to(tl.int64)[:, None] * columns + col
    inside = (row[:, None] < rows) & (col < columns)
    tl.store(out + at, y.to(out.dtype.element_ty), inside)


def _dense(x: Tensor) -> tuple[Tensor, bool]:
    """A map without gaps, and whether it is channels-last."""
    if x.is_contiguous(memory_format=torch.channels_last):
        return x, True
    return x.contiguous(), False


def _steps(operand: Tensor | None, like: torch.Size, last: bool) -> tuple[int, int, int]:
    """Of image, row and place in the row."""
    if operand is None:
        return 0, 0, 0
    n, c, h, w = operand.expand(like).stride()
    if min(like[2:]) > 1 and h != w * like[3]:
        raise ValueError(f"positions of strides {h} and {w} do not lie in one row")
    position = w if like[3] > 1 else h
    return (n, position, c) if last else (n, c, position)


def _one_row(operand: Tensor | None, like: torch.Size) -> Tensor | None:
    """An operand whose positions lie one behind another, or broadcast."""
    if operand is None or operand.shape[2:] == (1, 1):
        return operand
    if operand.shape[2:] != like[2:]:
        operand = operand.expand(*operand.shape[:2], *like[2:])
    _, _, h, w = operand.stride()
    return operand if min(like[2:]) == 1 or h == w * like[3] else operand.contiguous()


def _block(columns: int, size: int = 2048) -> tuple[int, int]:
    wide = min(triton.next_power_of_2(columns), 256)
    return max(size // wide, 1), wide


def _operands(bias, gate, other, like: torch.Size, last: bool) -> tuple[list, list, dict]:
    gate, other = _one_row(gate, like), _one_row(other, like)
    bias_steps = (0, 1) if last else (1, 0)
    steps = [*bias_steps, *_steps(gate, like, last), *_steps(other, like, last)]
    flags = dict(HAS_BIAS=bias is not None, HAS_GATE=gate is not None, HAS_OTHER=other is not None)
    return [bias, gate, other], steps, flags


def finish(x, *, bias=None, gate=None, other=None, scale=1.0, act="none") -> Tensor:
    """As ``passes.finish``."""
    x, last = _dense(x)
    shape = x.shape
    n, c, h, w = shape
    rows, columns, rows_of_image = (n * h * w, c, h * w) if last else (n * c, h * w, c)
    operands, steps, flags = _operands(bias, gate, other, shape, last)
    out = torch.empty_like(x)
    tall, wide = _block(columns)
    grid = (triton.cdiv(rows, tall) * triton.cdiv(columns, wide),)
    with torch.cuda.device_of(x):  # Triton launches on the current device
        _finish[grid](
            x, out, *(x if each is None else each for each in operands), float(scale),
            rows, columns, rows_of_image, *steps, **flags, ACT=act, ROWS=tall, COLUMNS=wide,
        )  # fmt: skip
    return out


def pointwise(
    x, weight, *, stride=1, entry=None, tile=(64, 64, 32),
    bias=None, gate=None, other=None, scale=1.0, act="none",
) -> Tensor:  # fmt: skip
    """As ``passes.pointwise``."""
    x = x.contiguous(memory_format=torch.channels_last)
    n, depth, in_height, in_width = x.shape
    height, width = -(-in_height // stride), -(-in_width // stride)
    columns, rows = len(weight), n * height * width
    out = torch.empty(
        (n, columns, height, width),
        dtype=x.dtype, device=x.device, memory_format=torch.channels_last,
    )  # fmt: skip
    operands, steps, flags = _operands(bias, gate, other, out.shape, True)
    tall, wide, deep = tile
    precision = "ieee"
    if x.dtype == torch.float32 and torch.backends.cuda.matmul.fp32_precision == "tf32":
        precision = "tf32"
    grid = (triton.cdiv(rows, tall) * triton.cdiv(columns, wide),)
    with torch.cuda.device_of(x):  # Triton launches on the current device
        _pointwise[grid](
            x, weight, x if entry is None else entry.expand(n, depth, 1, 1).contiguous(), out,
            *(x if each is None else each for each in operands), float(scale),
            rows, columns, height * width, depth, width, in_width, in_height * in_width, stride,
            *steps, STRIDED=stride > 1, HAS_ENTRY=entry is not None, **flags, ACT=act,
            PRECISION=precision,
            ROWS=tall, COLUMNS=wide, DEPTH=deep,
            num_warps=8 if tall * wide > 128 * 64 else 4,
        )  # fmt: skip
    return out


def _windows(
    x, kernel, stride, padding, dilation, height, width, *, weight=None, bias=None, act="none"
) -> Tensor:
    x = x.contiguous(memory_format=torch.channels_last)
    n, columns, in_height, in_width = x.shape
    out = torch.empty(
        (n, columns, height, width),
        dtype=x.dtype, device=x.device, memory_format=torch.channels_last,
    )  # fmt: skip
    rows = n * height * width
    tall, wide = _block(columns, 1024)
    grid = (triton.cdiv(rows, tall), triton.cdiv(columns, wide))
    with torch.cuda.device_of(x):  # Triton launches on the current device
        _window[grid](
            x, x if weight is None else weight, x if bias is None else bias, out,
            rows, columns, height, width, in_height, in_width,
            KERNEL=kernel, STRIDE=stride, PADDING=padding, DILATION=dilation,
            MAXIMUM=weight is None, HAS_BIAS=bias is not None, ACT=act, ROWS=tall, COLUMNS=wide,
        )  # fmt: skip
    return out


def depthwise(x, taps, *, stride, padding, dilation, bias=None, act="none") -> Tensor:
    """As ``passes.depthwise``."""
    kernel = math.isqrt(len(taps))
    reach = dilation * (kernel - 1) + 1
    height, width = ((size + 2 * padding - reach) // stride + 1 for size in x.shape[2:])
    return _windows(
        x, kernel, stride, padding, dilation, height, width, weight=taps, bias=bias, act=act
    )


def max_pool(x, kernel, *, stride, padding, ceil_mode) -> Tensor:
    """As ``passes.max_pool``."""
    height, width = (_pooled(size, kernel, stride, padding, ceil_mode) for size in x.shape[2:])
    return _windows(x, kernel, stride, padding, 1, height, width)


def _pooled(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    room = size + 2 * padding - kernel
    places = (-(-room // stride) if ceil_mode else room // stride) + 1
    # The last window begins inside the map or its left padding.
    return places - (ceil_mode and (places - 1) * stride >= size + padding)
