"""Work on a GPU recorded once and repeated: a replay costs the host one call, not hundreds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

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


class CudaGraph:
    """Work on the current CUDA device, recorded on a stream of its own.

    Graphs of one ``pool`` (``torch.cuda.graph_pool_handle()``) share their memory: they may be
    replayed one after another only, and what one gave is lost in the next one's replay.
    """

    def __init__(self, pool: Any = None) -> None:
        self.graph, self.stream, self.pool = torch.cuda.CUDAGraph(), torch.cuda.Stream(), pool

    def record(self, work: Callable[[], None]) -> None:
        """Do the work ``WARM_UP`` times, then record it."""
        with ALONE:
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                for _ in range(WARM_UP):
                    work()
            torch.cuda.current_stream().wait_stream(self.stream)
            # What other threads do meanwhile is their own: it must not end the recording.
            with torch.cuda.graph(
                self.graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"
            ):
                work()

    def replay(self) -> None:
        """Do what was recorded once more."""
        self.graph.replay()
