"""Controls: the plain network, made wider until it costs what a gated one costs.

A gate that wins over the network without it may win by its parameters or its work alone. The
control has these, too, spent on width: what the gate wins over it is the gate's own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ..benchmark.timing import Times, median, ratio, timed
from ..builders import build_on
from ..choices import check_choice
from ..config import NetworkConfig
from ..profiling import profile
from ..registry import model_config

Cost = Literal["params", "macs", "latency"]
COSTS = ("params", "macs", "latency")
WIDEST = 16.0
"""how much wider a control may be"""
STEPS = (1, 2, 3, 4, 8, 16, 32, 64)
"""by how many channels a stage grows; the first that the family allows"""
LATENCY_STEP = 8
"""the same for latency: libraries of convolutions compute blocks of so many channels"""
ROUNDS, FINAL_ROUNDS = 5, 21


@dataclass(frozen=True)
class Control:
    """A plain network beside the gated one whose cost it has."""

    config: NetworkConfig
    """without gate, and as wide as it takes"""
    cost: Cost
    wanted: float
    """of the gated network: parameters, multiply-accumulates of an image, or milliseconds of a
    batch"""
    reached: float
    """the same of this one"""

    @property
    def ratio(self) -> float:
        """What was reached over what was wanted: 1 is equal."""
        return self.reached / self.wanted

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return widths_of(self.config)


def has_gate(config: NetworkConfig) -> bool:
    """Whether the network has a gate anywhere."""
    gates: Any = getattr(config, "attention", None)
    return any(gate not in (None, "none") for gate in (gates if _many(gates) else (gates,)))


def without_gate(config: NetworkConfig) -> NetworkConfig:
    """The same network without gate."""
    defaults = {each.name: each.default for each in dataclasses.fields(config)}
    ours = ("attention", "attention_at", "attention_every", "se_ratio")
    return config.replace(**{name: defaults[name] for name in ours if name in defaults})


def equal_cost(
    network: str | NetworkConfig,
    cost: Cost = "params",
    *,
    image_size: int | tuple[int, int] = 224,
    batch: int = 1,
    device: str | torch.device = "cpu",
) -> Control:
    """The network without its gate, its stages wider until it costs what the gated one does.

    All stages grow alike; parameters and MACs are then met as nearly as single channels of a
    stage allow. Latency is that of ``batch`` images of ``image_size`` in inference mode, measured
    in turns with the gated network, in steps of eight channels; as time grows by leaps, a ratio far
    from 1 may be the nearest. A gate without cost has the plain network as its control.

    Raises ValueError for a network without gate, one whose stages have no widths of their own
    (RegNet: an AnyNet has; Inception), and a cost beyond 16 times the width.
    """
    check_choice("cost", cost, COSTS)
    gated = model_config(network) if isinstance(network, str) else network
    if not has_gate(gated):
        raise ValueError("A control has the cost of a gated network, and this one has no gate.")
    plain = without_gate(gated)
    if cost == "latency":
        least = LATENCY_STEP if min(widths_of(plain)) >= LATENCY_STEP else 1
        ratios = _Ratios(gated, image_size, batch, torch.device(device))
        found = _nearest(plain, 1.0, ratios, least)
        reached, wanted_ms = ratios.measured(found, FINAL_ROUNDS)
        return Control(found, cost, wanted_ms, reached)

    def count(config: NetworkConfig) -> int:
        if cost == "macs":
            return profile(config, image_size).macs
        return sum(each.numel() for each in build_on(config, device="meta").parameters())

    wanted = count(gated)
    found = _nearest(plain, wanted, count, 1)
    return Control(found, cost, wanted, count(found))


def _many(value: object) -> bool:
    return isinstance(value, (tuple, list))


def widths_of(config: NetworkConfig) -> tuple[int, ...]:
    """Channels of each stage. Raises ValueError for a family whose stages have none to give."""
    if "widths" not in {each.name for each in dataclasses.fields(config)}:
        raise ValueError(
            f"A control is a wider network, and the stages of a {config.builder!r} network have "
            "no widths that could be given."
        )
    widths: tuple[int, ...] = getattr(config, "stage_widths", None) or getattr(config, "widths")  # noqa: B009
    return widths


def _added(plain: NetworkConfig, step: int, channels: list[float]) -> NetworkConfig:
    widths = zip(widths_of(plain), channels, strict=True)
    return plain.replace(widths=tuple(w + round(more / step) * step for w, more in widths))


def _step(plain: NetworkConfig, least: int) -> int:
    """The fewest channels by which any one stage can grow, a multiple of ``least``."""
    stages = len(widths_of(plain))
    for step in (least * each for each in STEPS):
        try:
            for stage in range(stages):
                _added(plain, step, [step * (i >= stage) for i in range(stages)])
        except ValueError:
            continue
        return step
    raise ValueError(f"No step of {least * STEPS[-1]} channels or fewer widens {widths_of(plain)}.")


Measure = Callable[[NetworkConfig], float]


def _nearest(plain: NetworkConfig, wanted: float, measure: Measure, least: int) -> NetworkConfig:
    """By bisection over a common factor, then by single steps of single stages."""
    step, known = _step(plain, least), dict[tuple[int, ...], float]()

    def cost(config: NetworkConfig) -> float:
        widths = widths_of(config)
        if widths not in known:
            known[widths] = measure(config)
        return known[widths]

    def off(config: NetworkConfig) -> float:
        try:
            return abs(cost(config) - wanted)
        except ValueError:  # not every family lets a stage grow alone
            return math.inf

    def wider(factor: float) -> NetworkConfig:
        return _added(plain, step, [(factor - 1) * width for width in widths_of(plain)])

    low = high = 1.0
    while cost(wider(high)) < wanted:
        low, high = high, high * 1.25
        if high > WIDEST:
            raise ValueError(f"The gate costs more than {WIDEST:g} times the width.")
    while wider(low) != wider(high) and high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (low, middle) if cost(wider(middle)) >= wanted else (middle, high)
    best = min((wider(low), wider(high)), key=off)
    while True:
        nearer = min((best, *_neighbours(plain, best, step)), key=off)
        if off(nearer) >= off(best):
            return best
        best = nearer


def _neighbours(plain: NetworkConfig, config: NetworkConfig, step: int) -> list[NetworkConfig]:
    """One stage wider or narrower by a step, or one wider and another narrower."""
    found, widths = [], widths_of(config)
    stages = range(len(widths))
    moves = [{i: d} for i in stages for d in (step, -step)]
    moves += [{i: step, j: -step} for i in stages for j in stages if i != j]
    for move in moves:
        changed = tuple(w + move.get(i, 0) for i, w in enumerate(widths))
        if any(new < old for new, old in zip(changed, widths_of(plain), strict=True)):
            continue
        with contextlib.suppress(ValueError):
            found.append(plain.replace(widths=changed))
    return found


class _Ratios:
    """Times of networks over the gated one's: each pair in turns, so that whatever else the
    machine does falls on both."""

    def __init__(
        self,
        gated: NetworkConfig,
        image_size: int | tuple[int, int],
        batch: int,
        device: torch.device,
    ) -> None:
        size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.images = torch.randn(batch, gated.in_chans, *size, device=device)
        self.gated = build_on(gated, device=device).eval()

    def __call__(self, config: NetworkConfig) -> float:
        ours, theirs = self.measured(config, ROUNDS)
        return ours / theirs

    def measured(self, config: NetworkConfig, rounds: int) -> tuple[float, float]:
        """Milliseconds of the network, by the median ratio, and of the gated one."""
        network = build_on(config, device=self.images.device).eval()
        ours: Times = []
        theirs: Times = []
        with torch.inference_mode():
            for turn in range(rounds + 1):  # the first warms up
                for each, spent in ((network, ours), (self.gated, theirs)):
                    took = timed(functools.partial(each, self.images), self.images.device)
                    if turn:
                        spent.append(took)
        wanted = 1e3 * median(theirs)
        return wanted * ratio(ours, theirs), wanted
