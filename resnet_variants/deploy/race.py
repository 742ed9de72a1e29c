"""Which of several ways is the fastest, by the clock on the wall."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

Key = TypeVar("Key", bound=Hashable)

REST = 0.02  # seconds, in which the threads of the way before stop spinning
CALLS = 2  # timed, behind one that wakes the way's own threads and is not


def race(
    ways: Mapping[Key, Callable[[], Any]], base: Key, *, rounds: int
) -> tuple[dict[Key, float], dict[Key, float]]:
    """(wall, process CPU) time of ``base`` over each way's: of medians over rounds, so that what
    falls on ``base`` alone does not decide between two others.

    A round takes every way in turn, in random order: a rest, then calls in a row, as a user
    would make them. After ``rounds`` rounds it goes on until the middle half of the fastest
    way's times lies under the second's median, or four times as many have been run.
    """
    order = list(ways)
    chance = random.Random(0)
    wall: dict[Key, list[float]] = {key: [] for key in ways}
    cpu: dict[Key, list[float]] = {key: [] for key in ways}
    for run in ways.values():
        run()
    for done in range(1, 4 * rounds + 1):
        chance.shuffle(order)
        for key in order:
            run = ways[key]
            time.sleep(REST)
            run()
            start, busy = time.perf_counter(), time.process_time()
            for _ in range(CALLS):
                run()
            wall[key].append(max(time.perf_counter() - start, 1e-9))
            cpu[key].append(max(time.process_time() - busy, 1e-9))
        if done >= rounds and _clear([times for key, times in wall.items() if key != base]):
            break
    return _ratios(wall, base), _ratios(cpu, base)


def _clear(times: list[list[float]]) -> bool:
    if len(times) < 2 or len(times[0]) < 2:
        return True
    first, second = sorted(times, key=statistics.median)[:2]
    return statistics.quantiles(first, n=4)[2] < statistics.median(second)


def _ratios(times: dict[Key, list[float]], base: Key) -> dict[Key, float]:
    of_base = statistics.median(times[base])
    return {key: of_base / statistics.median(each) for key, each in times.items()}
