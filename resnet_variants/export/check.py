"""Whether an exported network gives the network's own answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from .formats import Run, example_images, outputs


@dataclass(frozen=True)
class Difference:
    """How far the answers to one batch of random images are apart."""

    batch: int
    height: int
    width: int
    error: float
    """largest absolute difference, over the largest absolute value of the network's answer"""

    def __str__(self) -> str:
        return f"{self.batch} x {self.height} x {self.width}: {self.error:.1e}"


def check(
    model: nn.Module,
    run: Run,
    sizes: Sequence[tuple[int, int, int]],
    *,
    tolerance: float = 1e-4,
) -> list[Difference]:
    """Compare with the network on random images of each (batch, height, width).

    Raises ValueError when an answer has another shape, is further off than ``tolerance``, or
    cannot be had; the message names the size.
    """
    differences = []
    for size in sizes:
        images = example_images(model, size)
        with torch.no_grad():
            expected = outputs(model(images))
        where = "x".join(map(str, size))
        try:
            with torch.no_grad():
                got = run(images)
        except Exception as failure:
            raise ValueError(f"At {where} the exported network fails: {failure}") from failure
        shapes = [tuple(each.shape) for each in expected]
        if [tuple(each.shape) for each in got] != shapes:
            raise ValueError(f"At {where} shapes differ: {[tuple(g.shape) for g in got]}, {shapes}")
        error = max(
            float((g - e).abs().max() / e.abs().max().clamp(min=1e-12))
            for g, e in zip(got, expected, strict=True)
        )
        if not error <= tolerance:
            raise ValueError(f"At {where} answers differ by {error:.1e}, more than {tolerance:g}.")
        differences.append(Difference(*size, error))
    return differences
