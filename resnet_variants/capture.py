"""Work on a GPU recorded once and repeated: a replay costs the host one call, not hundreds."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import torch

WARM_UP = 3
"""times that work is done before it is recorded, in which kernels are chosen and state is made"""
ALONE = threading.RLock()
"""held by who records: each recording begins by waiting for the whole GPU, which ends another's"""


class Graph(Protocol):
    """What records work on a device and repeats it."""

    def record(self, work: Callable[[], None]) -> None:
        """Do the work ``WARM_UP`` times, then record it."""

    def replay(self) -> None:
        """Do what was recorded once more."""


class NotRecordedError(RuntimeError):
    """What was to be recorded cannot be."""


class Pool:
    """Memory that graphs share, and the stream that they are recorded on: what was freed on a
    stream torch gives to work on the same one alone."""

    def __init__(self) -> None:
        self.handle, self.stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()


class CudaGraph:
    """Work on the current CUDA device, recorded on a stream of its own.

    Graphs of one ``pool`` share their memory: they may be replayed one after another only, and
    what one gave is lost in the next one's replay.
    """

    def __init__(self, pool: Pool | None = None) -> None:
        self.graph, self.pool = torch.cuda.CUDAGraph(), pool or Pool()

    def record(self, work: Callable[[], None]) -> None:
        """Do the work ``WARM_UP`` times, then record it. Raises NotRecordedError for what a graph
        cannot do: wait for the device, or let its values decide on the host."""
        stream = self.pool.stream
        with ALONE:
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    work()
            torch.cuda.current_stream().wait_stream(stream)
            # torch.cuda.graph stays on its stream where a recording fails: the outer one returns.
            with torch.cuda.stream(stream), _own_workspace():
                try:
                    # What other threads do meanwhile is their own: it must not end the recording.
                    with torch.cuda.graph(
                        self.graph,
                        pool=self.pool.handle,
                        stream=stream,
                        capture_error_mode="thread_local",
                    ):
                        work()
                except torch.OutOfMemoryError:
                    raise
                except RuntimeError as error:
                    raise NotRecordedError(
                        "This work cannot be recorded as a CUDA graph, in which nothing may wait "
                        f"for the GPU (.item(), sizes or branches that its values decide): {error}"
                    ) from error

    def replay(self) -> None:
        """Do what was recorded once more."""
        self.graph.replay()


@contextlib.contextmanager
def _own_workspace() -> Iterator[None]:
    """Lets cuBLAS take the memory that it works in from the graph's pool. Else it is one of a
    stream, which other graphs of the stream use at once, and which is freed with the first of
    them, or when a compiler records a graph."""
    torch._C._cuda_clearCublasWorkspaces()
    try:
        yield
    finally:
        torch._C._cuda_clearCublasWorkspaces()
