"""Many cases from a seed, each within bounds: the harness of all fuzzers here.

A fuzzer is a function that makes a case from a ``random.Random``. A case acts and says what is
wrong with what came of it; the exceptions in ``allowed`` are the answers that it may be given.
"""

from __future__ import annotations

import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

SECONDS = 30
"""of the processor: a neighbour's work is not the case's"""
PATIENCE = 600
"""seconds by the clock, for what waits"""
MEGABYTES = 500
SEEDS = (0, 1, 2)


@dataclass
class Case:
    """One attack."""

    kind: str
    act: Callable[[], Any]
    allowed: tuple[type[BaseException], ...]
    taken: Callable[[Any], str | None] = lambda _: None
    """what is wrong with a result, in words; None for nothing"""
    refused: Callable[[BaseException], str | None] = lambda _: None
    """what is wrong after a refusal"""


@dataclass
class Tally:
    """What became of the cases."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{n:6} {what}" for what, n in sorted(self.counts.items())]
        return "\n".join([*lines, f"{len(self.faults)} faults", *self.faults[:40]])


class TooLongError(BaseException):
    """A case did not end. No code of the library catches it."""


def fuzz(make: Callable[[random.Random], Case], seed: int, cases: int) -> Tally:
    """Run the cases of a seed; case ``i`` is made from ``Random(f"{seed}.{i}")``, so that each can
    be had again alone. Memory is the process's greatest, so what one case took is known only if
    it took more than all before."""
    tally = Tally()
    for number in range(cases):
        case = make(random.Random(f"{seed}.{number}"))
        before, start = _megabytes(), time.process_time()
        try:
            with _alarm():
                result = case.act()
        except case.allowed as error:
            outcome, fault = "refused", case.refused(error)
        except TooLongError:
            outcome, fault = "no end", f"no end after {SECONDS} s of work or {PATIENCE} s"
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            outcome = "foreign"
            fault = f"{type(error).__name__} at {where.filename}:{where.lineno}: {str(error)[:200]}"
        else:
            outcome, fault = "taken", case.taken(result)
            if fault and fault.startswith("("):  # not a fault, but another outcome
                outcome, fault = f"taken {fault}", None
        if (grown := _megabytes() - before) > MEGABYTES:
            fault = f"{grown:.0f} MB; {fault or outcome}"
        if (seconds := time.process_time() - start) > SECONDS:
            fault = f"{seconds:.0f} s; {fault or outcome}"
        tally.counts[f"{case.kind.partition(':')[0]}: {'FAULT' if fault else outcome}"] += 1
        if fault:
            tally.faults.append(f"{seed}.{number} {case.kind}: {fault}")
    return tally


def check(make: Callable[[random.Random], Case], seed: int, cases: int) -> None:
    """Fail with all faults of the cases of a seed; ``-s`` shows the tally."""
    tally = fuzz(make, seed, cases)
    print(f"\nseed {seed}\n{tally}")
    if tally.faults:
        pytest.fail(str(tally), pytrace=False)


@contextmanager
def _alarm() -> Iterator[None]:
    if not hasattr(signal, "setitimer"):
        yield
        return

    def end(*_: Any) -> None:
        raise TooLongError

    timers = (
        (signal.ITIMER_PROF, signal.SIGPROF, SECONDS),
        (signal.ITIMER_REAL, signal.SIGALRM, PATIENCE),
    )
    before = [signal.signal(number, end) for _, number, _ in timers]
    for timer, _, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (timer, number, _), old in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, old)


def _megabytes() -> float:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e6 if sys.platform == "darwin" else 1e3)


def replay(make: Callable[[random.Random], Case], name: str) -> Case:
    """The case that a tally calls ``1.2034``."""
    return make(random.Random(name))
