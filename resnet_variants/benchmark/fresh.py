"""Times and peak memory of one way, in processes of its own.

What a process did before it decides how much of its memory is fresh: peak memory, and what the
allocator's setting gains, show only where nothing else ran.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import torch

from ..deploy.memory import resident
from .timing import Times, timed
from .ways import PEERS, make_plain, make_step, make_way, peer_network

KEEP = "+keep"


@dataclass(frozen=True)
class Task:
    """What a fresh process runs. A way that ends in ``+keep`` keeps freed memory."""

    model: str
    way: str
    batch: int
    size: int
    threads: int
    train: bool
    repeats: int


def run(task: Task) -> tuple[Times, float]:
    """(CPU and wall seconds of each repeat, peak memory of this process in MiB)."""
    from ..deploy import keep_freed_memory
    from ..factory import create_model

    torch.set_num_threads(task.threads)
    if task.way.endswith(KEEP):
        keep_freed_memory()
    way = task.way.removesuffix(KEEP)
    images = torch.randn(task.batch, 3, task.size, task.size)
    peer, _, settings = way.partition("+")
    if peer in PEERS:
        net = peer_network(peer, task.model)
        assert net is not None
        go = (make_step if task.train else make_plain)(settings or "eager", net, images)
    else:
        go = (make_step if task.train else make_way)(way, create_model(task.model).eval(), images)
    with torch.inference_mode(not task.train):
        times = [timed(go) for _ in range(task.repeats + 1)][1:]
    return times, peak_memory()


def in_turns(tasks: Sequence[Task], processes: int) -> list[tuple[Times, float]]:
    """Each task in that many fresh processes, all tasks taking turns: its times, and the median
    of its peak memory."""
    results: list[list[tuple[Times, float]]] = [[] for _ in tasks]
    for _ in range(processes):
        for task, found in zip(tasks, results, strict=True):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                found.append(pool.submit(run, task).result())
    return [
        ([each for times, _ in found for each in times], statistics.median(p for _, p in found))
        for found in results
    ]


def peak_memory() -> float:
    """The largest resident size that this process had, in MiB."""
    if (most := resident("VmHWM")) is not None:  # of this process alone; rusage starts at what
        return most / 2**20  # the parent had
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024
