"""A stand-in for a CUDA graph, on any device."""

from __future__ import annotations

from collections.abc import Callable

from resnet_variants.capture import WARM_UP


class Repeated:
    """A replay calls what was recorded, on what the tensors hold."""

    def record(self, work: Callable[[], None]) -> None:
        self.work = work
        for _ in range(WARM_UP):
            work()

    def replay(self) -> None:
        self.work()
