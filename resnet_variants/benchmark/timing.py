"""The time of one run, and what is made of the times of several."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

Times = list[tuple[float, float]]
"""(busy seconds, wall seconds) of each run. Busy: process CPU time; of an accelerator the time
until it is done"""


def timed(run: Callable[[], Any], device: str | torch.device = "cpu") -> tuple[float, float]:
    """(busy seconds, wall seconds) of one run."""
    if torch.device(device).type == "cpu":
        cpu, wall = time.process_time(), time.perf_counter()
        run()
        return time.process_time() - cpu, time.perf_counter() - wall
    torch.accelerator.synchronize(device)
    wall = time.perf_counter()
    run()
    torch.accelerator.synchronize(device)
    wall = time.perf_counter() - wall
    return wall, wall


def median(times: Times) -> float:
    """Median busy seconds."""
    return max(statistics.median(busy for busy, _ in times), 1e-9)


def least(times: Times) -> float:
    """Fewest busy seconds."""
    return max(min(busy for busy, _ in times), 1e-9)


def ratio(over: Times, under: Times) -> float:
    """Median ratio of the busy seconds of the same rounds."""
    pairs = zip(over, under, strict=True)
    return statistics.median(a / max(b, 1e-9) for (a, _), (b, _) in pairs)


def spread(values: list[float]) -> float:
    """Interquartile range over the median; 0 for one value."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4)
    return (high - low) / max(middle, 1e-9)
