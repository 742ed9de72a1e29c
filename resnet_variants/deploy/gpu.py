"""The parts of a network packed for a GPU, and the choice of each convolution's form."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..blocks.gates import Gate
from ..capture import CudaGraph
from .cpu import Fast
from .forms import FORMS, Geometry, Use, Weights
from .gated import InputGate, gate_of_input
from .passes import finish, max_pool

_LOG = logging.getLogger(__name__)
REPEATS = 5
"""calls in the graph that is timed"""
CLEARLY = 0.97
"""share of the first form's time that another must take to be preferred"""
_KNOWN: dict[tuple[Any, ...], str] = {}
"""the fastest form of each geometry and use, measured once in a process"""


class GpuConv(Fast):
    """A convolution with what follows it, in one of ``FORMS``: chosen at its first use, by
    measuring with what it is given there (``measure=False``: the first that can be had)."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d, act: str = "none", *, measure: bool = True) -> None:
        super().__init__()
        self.act, self.measure = act, measure
        self.geometry = Geometry.of(conv)
        self.form = ""
        self.register_buffer("weight", conv.weight.detach())
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach())
        self.args = self.geometry[3:]

    def forward(self, x: Tensor) -> Tensor:
        return self._run(Use(x, act=self.act))

    def add(self, x: Tensor, other: Tensor, *, relu: bool, entry: Tensor | None = None) -> Tensor:
        """As ``Fast.add``."""
        return self._run(Use(x, entry=entry, other=other, act="relu" if relu else "none"))

    def with_gate(self, gate: Gate) -> nn.Module:
        """Behind a 1x1 convolution the gate is made of its narrower input, where it can be, so
        that one pass does all."""
        if self.geometry.is_pointwise and self.geometry.stride == (1, 1):
            return gate_of_input(gate, self.weight.flatten(1), self.bias) or gate
        return gate

    def gated(
        self, x: Tensor, gate: nn.Module, other: Tensor, *, relu: bool, scale: float = 1.0
    ) -> Tensor:
        """As ``Fast.gated``."""
        act = "relu" if relu else "none"
        if isinstance(gate, InputGate):
            return self._run(Use(x, gate=gate(x), other=other, scale=scale, act=act))
        assert isinstance(gate, Gate)
        branch = self._run(Use(x))
        weights = gate.weights(branch)
        return finish(branch, gate=weights, other=other, scale=scale, act=act)

    def _run(self, use: Use) -> Tensor:
        if not self.form:
            self.form = self._fastest(use)
            prepared = self._prepared(self.form)
            self.weight, self.bias, self.args = prepared.weight, prepared.bias, prepared[2:]
        return FORMS[self.form].run(Weights(self.weight, self.bias, *self.args), use)

    def _prepared(self, form: str) -> Weights:
        return FORMS[form].prepare(Weights(self.weight, self.bias, *self.args))

    def _fastest(self, use: Use) -> str:
        able = [name for name, form in FORMS.items() if form.takes(self.geometry, use)]
        if len(able) == 1:
            return able[0]
        if not self.measure:
            return next(self._times(able, use))[0]
        key = (self.geometry, *use.key())
        if key not in _KNOWN:
            times = dict(self._times(able, use))
            first, best = next(iter(times)), min(times, key=times.__getitem__)
            _KNOWN[key] = best if times[best] < CLEARLY * times[first] else first
        return _KNOWN[key]

    def _times(self, names: list[str], use: Use) -> Iterator[tuple[str, float]]:
        """Of each form that can be had here. Raises RuntimeError where none can."""
        missing: Exception | None = None
        had = False
        for name in names:
            weights, run = self._prepared(name), FORMS[name].run
            try:
                taken = seconds(lambda: run(weights, use), use.x.device)  # noqa: B023
            except Exception as error:  # a library or a compiler that lacks this case
                missing = error.with_traceback(None)  # which holds memory
                _LOG.warning("%s: form %r cannot be had here: %s", self.geometry, name, error)
                continue
            had = True
            yield name, taken
        if not had:
            raise RuntimeError(f"{self.geometry} runs in none of its forms.") from missing


def seconds(call: Callable[[], Any], device: torch.device) -> float:
    """Time of a call: the least of three. On a GPU, its own time, from a graph of some calls."""
    if device.type != "cuda":
        call()
        return min(_elapsed(call) for _ in range(3))

    def calls() -> None:
        for _ in range(REPEATS):
            call()

    graph = CudaGraph()
    graph.record(calls)
    times = []
    for _ in range(4):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / REPEATS)
    return min(times[1:])


def _elapsed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class MaxPool(nn.Module):
    """``nn.MaxPool2d`` of a channels-last map, which writes the maxima alone."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.size = pool.kernel_size
        self.args = dict(stride=pool.stride, padding=pool.padding, ceil_mode=pool.ceil_mode)

    @staticmethod
    def takes(pool: nn.Module) -> bool:
        """Whether this is a pooling of squares."""
        return (
            type(pool) is nn.MaxPool2d
            and all(isinstance(each, int) for each in (pool.kernel_size, pool.stride, pool.padding))
            and pool.dilation == 1
            and not pool.return_indices
        )

    def forward(self, x: Tensor) -> Tensor:
        return max_pool(x, self.size, **self.args)  # type: ignore[arg-type]
