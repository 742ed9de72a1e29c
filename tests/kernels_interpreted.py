"""The GPU's kernels against the plain statements of the same functions on a CPU: run by
``test_gpu_forms.py``, in a process where Triton interprets, or on a GPU."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from resnet_variants.deploy import passes

LAST = torch.channels_last


# The last of several, which is not the current one
DEVICE = f"cuda:{torch.cuda.device_count() - 1}" if torch.cuda.is_available() else "cpu"


def check(name: str, *args: Any, **given: Any) -> None:
    """A kernel gives what its statement gives, in the same order in memory."""
    expected = getattr(passes, name)(*args, **given)
    last = args[0].is_contiguous(memory_format=LAST)
    args = tuple(each.to(DEVICE) if isinstance(each, Tensor) else each for each in args)
    given = {k: v.to(DEVICE) if isinstance(v, Tensor) else v for k, v in given.items()}
    from resnet_variants.deploy import kernels

    found = getattr(kernels, name)(*args, **given)
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert found.is_contiguous(memory_format=LAST) == last
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-4, equal_nan=True)


def operands(n: int, c: int, h: int, w: int) -> list[dict[str, Tensor | None]]:
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
            (None, torch.rand(n, 1, w, h).mT, None),
        )
    ]


def finish() -> None:
    sizes = (3, 20, 5, 7), (2, 300, 3, 2), (2, 12, 4, 1)
    for (n, c, h, w), last in itertools.product(sizes, (True, False)):
        x = torch.randn(n, c, h, w)
        x[0, 0, 0, 0] = float("nan")
        x = x.contiguous(memory_format=LAST) if last else x
        for i, given in enumerate(operands(n, c, h, w)):
            act = ("none", "relu", "sigmoid", "swish")[i % 4]
            check("finish", x, **given, scale=0.5, act=act)


def pointwise() -> None:
    for (n, c, h, w), k, stride in (((3, 20, 5, 7), 36, 1), ((2, 48, 7, 5), 17, 2)):
        x = torch.randn(n, c, h, w).contiguous(memory_format=LAST)
        weight = torch.randn(k, c)
        size = (n, k, -(-h // stride), -(-w // stride))
        for i, given in enumerate(operands(*size)):
            act, entry = ("relu", "none")[i % 2], torch.rand(n, c, 1, 1) if i % 3 else None
            more = dict(stride=stride, tile=(32, 16, 16), entry=entry, act=act)
            check("pointwise", x, weight, **given, **more)


def windows() -> None:
    x = torch.randn(2, 12, 9, 6).contiguous(memory_format=LAST)
    x[0, 3, 4, 2] = float("nan")
    for kernel, stride, padding, ceil in (
        (3, 2, 1, False), (3, 2, 0, True), (2, 2, 0, True), (3, 2, 1, True), (3, 1, 1, False),
    ):  # fmt: skip
        check("max_pool", x, kernel, stride=stride, padding=padding, ceil_mode=ceil)
    x = torch.randn(2, 12, 9, 6).contiguous(memory_format=LAST)
    for kernel, stride, padding, dilation in ((3, 1, 1, 1), (3, 2, 1, 1), (5, 1, 4, 2)):
        given = dict(stride=stride, padding=padding, dilation=dilation, bias=torch.randn(12))
        check("depthwise", x, torch.randn(kernel**2, 12), **given, act="relu")


def main() -> None:
    """All kernels."""
    torch.manual_seed(0)
    finish()
    pointwise()
    windows()


if __name__ == "__main__":
    main()
