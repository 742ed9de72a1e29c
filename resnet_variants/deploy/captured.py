"""A network on a GPU whose work is recorded, once for each shape, and replayed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from ..capture import ALONE, CudaGraph, Graph, Pool
from .devices import current
from .memory import weight_bytes

MOST = 8
"""shapes whose graphs are held"""
PATIENCE = 8
"""calls after which a shape takes the place of one that did not come meanwhile"""


class Captured:
    """Calls ``net`` on images of any batch and size, from any thread.

    The first ``MOST`` shapes are recorded when they first come, and replayed from then on. With
    that many held, another shape runs as it is, until it has come ``PATIENCE`` times since the
    least recently used of them came last: then it takes that one's place. All graphs share one
    pool of memory, so what is held is what the largest needs, and the inputs and outputs of each.

    ``net`` gets images of type ``dtype`` in the order ``layout`` on ``device``, copied there once.
    Outputs have the type of the images, and are the caller's own. ``settings`` makes what is in
    force, in the whole process, while the network runs or is recorded, of which there is one at a
    time. Calls wait for one another. To be called in inference mode; while a shape comes the first
    time, no other thread may call ``torch.cuda.synchronize``, which ends a recording.
    """

    def __init__(
        self,
        net: Callable[[Tensor], Any],
        *,
        device: torch.device,
        dtype: torch.dtype,
        layout: torch.memory_format,
        settings: Callable[[], AbstractContextManager[Any]] = nullcontext,
        make_graph: Callable[[], Graph] | None = None,
    ) -> None:
        self.net, self.device, self.dtype, self.layout = net, device, dtype, layout
        self.settings = settings
        if make_graph is None:
            with current(device):
                pool = Pool()
            self.make_graph: Callable[[], Graph] = lambda: CudaGraph(pool)
        else:
            self.make_graph = make_graph
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[int, ...], _Recorded] = OrderedDict()  # least recent first
        self._waiting: OrderedDict[tuple[int, ...], list[int]] = OrderedDict()
        self._calls = 0
        self._stream: Any = None

    def __call__(self, images: Tensor) -> Any:
        with self._lock, self._in_turn():
            recorded = self._recorded(tuple(images.shape))
            if recorded is None:
                with ALONE, self.settings():
                    return _own(self.net(self._inputs(images)), images.dtype)
            recorded.images.copy_(images)
            recorded.graph.replay()
            return _own(recorded.outputs, images.dtype)

    @property
    def nbytes(self) -> int | None:
        """Bytes of the network's tensors."""
        return weight_bytes(self.net)

    def _inputs(self, images: Tensor) -> Tensor:
        inputs = torch.empty(
            images.shape, dtype=self.dtype, device=self.device, memory_format=self.layout
        )
        return inputs.copy_(images)

    def _recorded(self, shape: tuple[int, ...]) -> _Recorded | None:
        """The graph of a shape, or None where the network is to run as it is."""
        self._calls += 1
        found = self._held.get(shape)
        if found is None and self._has_room(shape):
            images = torch.zeros(shape, dtype=self.dtype, device=self.device).contiguous(
                memory_format=self.layout
            )
            with ALONE, self.settings():
                found = self._held[shape] = _Recorded(self.net, images, self.make_graph())
        if found is not None:
            found.last = self._calls
            self._held.move_to_end(shape)
        return found

    def _has_room(self, shape: tuple[int, ...]) -> bool:
        if len(self._held) < MOST:
            return True
        since = self._waiting.setdefault(shape, [])
        self._waiting.move_to_end(shape)
        if len(self._waiting) > MOST:
            self._waiting.popitem(last=False)
        since.append(self._calls)
        oldest = next(iter(self._held))
        if len(since) <= PATIENCE or self._held[oldest].last > since.pop(0):
            return False
        if self.device.type == "cuda":
            # It may still be running, in turn; not for the device, which others may record on.
            torch.cuda.current_stream(self.device).synchronize()
        del self._held[oldest], self._waiting[shape]
        return True

    def _in_turn(self) -> AbstractContextManager[Any]:
        """On a GPU: the caller's stream, behind what others put on theirs before, since all
        share the memory of the graphs."""
        if self.device.type != "cuda":
            return nullcontext()
        stream = torch.cuda.current_stream(self.device)
        if self._stream is not None and self._stream != stream:
            stream.wait_stream(self._stream)
        self._stream = stream
        return current(self.device)


class _Recorded:
    """A shape's graph, with the tensors that it reads and writes."""

    def __init__(self, net: Callable[[Tensor], Any], images: Tensor, graph: Graph) -> None:
        self.net, self.images, self.graph = net, images, graph
        self.outputs: Any = None
        self.last = 0  # call
        graph.record(self._work)

    def _work(self) -> None:
        self.outputs = self.net(self.images)


def _own(outputs: Any, dtype: torch.dtype) -> Any:
    """Outputs in new memory."""
    if isinstance(outputs, Tensor):
        return outputs.to(dtype, copy=True)
    return [_own(each, dtype) for each in outputs]
