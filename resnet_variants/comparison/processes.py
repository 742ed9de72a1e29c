"""More processes for one trial: they share its folder, and each takes the next run that is free."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from typing import Any

import torch

from ..config import check_count


@contextlib.contextmanager
def helpers(count: int, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Iterator[None]:
    """``count`` processes that call ``work``; left when all are done, ended on an error here.

    Process k computes on the k-th GPU, counted from the one after this process's, round and
    round; on a CPU the processes share the cores evenly. What a process that dies leaves, the
    others take up. ``work`` and its arguments must be picklable.
    """
    check_count("processes", count + 1, 1)
    context = multiprocessing.get_context("spawn")  # a forked process cannot use a GPU
    cards = torch.cuda.device_count()
    threads = max(1, torch.get_num_threads() // (count + 1))
    started = []
    for k in range(1, count + 1):
        with _environment(CUDA_VISIBLE_DEVICES=_card(k % cards) if cards > 1 else None):
            process = context.Process(target=_run, args=(threads, work, args, kwargs), daemon=True)
            process.start()
        started.append(process)
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(threads)
    try:
        yield
        for process in started:
            process.join()
    finally:
        torch.set_num_threads(before)
        for process in started:
            process.terminate()


def _run(threads: int, work: Callable[..., Any], args: Any, kwargs: Any) -> None:
    torch.set_num_threads(threads)
    work(*args, **kwargs)


def _card(k: int) -> str:
    """The k-th of the GPUs that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[k] if visible else str(k)


@contextlib.contextmanager
def _environment(**values: str | None) -> Iterator[None]:
    """Environment variables for processes that start here; None leaves one as it is."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: value for name, value in values.items() if value is not None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
