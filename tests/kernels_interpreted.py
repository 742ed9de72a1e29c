"""Run by ``test_kernels.py`` in a process where Triton interprets: its kernels against the plain
statements of the same functions, on a CPU."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from resnet_variants.deploy import kernels, passes

LAST = torch.channels_last


def near(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert found.is_contiguous(memory_format=LAST) == expected.is_contiguous(memory_format=LAST)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4, equal_nan=True)


def operands(n: int, c: int, h: int, w: int, last: bool) -> list[dict[str, Tensor | None]]:
    whole = torch.randn(n, c, h, w)
    return [
        dict(bias=bias, gate=gate, other=other)
        for bias, gate, other in (
            (None, None, None),
            (torch.randn(c), torch.rand(n, c, 1, 1), whole),
            (None, torch.rand(n, 1, h, w), whole.contiguous(memory_format=LAST)),
            (torch.randn(c), torch.rand(1, c, 1, 1), torch.randn(1, c, 1, 1)),
            (None, torch.rand(n, c, h, w), None),
            (None, None, whole[:, :, :1].expand(n, c, h, w)),
        )
    ]


def finish() -> None:
    for (n, c, h, w), last in itertools.product(((3, 20, 5, 7), (1, 300, 1, 2)), (True, False)):
        x = torch.randn(n, c, h, w)
        x = x.contiguous(memory_format=LAST) if last else x
        for i, given in enumerate(operands(n, c, h, w, last)):
            act = ("none", "relu", "sigmoid", "swish")[i % 4]
            near(
                kernels.finish(x, **given, scale=0.5, act=act),
                passes.finish(x, **given, scale=0.5, act=act).contiguous(
                    memory_format=LAST if last else torch.contiguous_format
                ),
            )


def pointwise() -> None:
    for (n, c, h, w), k, stride in (((3, 20, 5, 7), 36, 1), ((2, 48, 7, 5), 17, 2)):
        x = torch.randn(n, c, h, w).contiguous(memory_format=LAST)
        weight = torch.randn(k, c)
        size = (n, k, -(-h // stride), -(-w // stride))
        for i, given in enumerate(operands(*size, True)):
            more = dict(
                act=("relu", "none")[i % 2], entry=torch.rand(n, c, 1, 1) if i % 3 else None
            )
            near(
                kernels.pointwise(x, weight, stride=stride, tile=(32, 16, 16), **given, **more),
                passes.pointwise(x, weight, stride=stride, **given, **more).contiguous(
                    memory_format=LAST
                ),
            )


def windows() -> None:
    x = torch.randn(2, 12, 9, 6).contiguous(memory_format=LAST)
    x[0, 3, 4, 2] = float("nan")
    for kernel, stride, padding, ceil in (
        (3, 2, 1, False), (3, 2, 0, True), (2, 2, 0, True), (3, 2, 1, True), (3, 1, 1, False),
    ):  # fmt: skip
        more = dict(stride=stride, padding=padding, ceil_mode=ceil)
        near(kernels.max_pool(x, kernel, **more), passes.max_pool(x, kernel, **more))
    x = torch.randn(2, 12, 9, 6).contiguous(memory_format=LAST)
    for kernel, stride, padding, dilation in ((3, 1, 1, 1), (3, 2, 1, 1), (5, 1, 4, 2)):
        given = dict(stride=stride, padding=padding, dilation=dilation, bias=torch.randn(12))
        taps = torch.randn(kernel**2, 12)
        near(
            kernels.depthwise(x, taps, **given, act="relu"),
            passes.depthwise(x, taps, **given, act="relu"),
        )


if __name__ == "__main__":
    torch.manual_seed(0)
    finish()
    pointwise()
    windows()
