"""Every way in turn: so whatever else the machine does falls on all alike."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..deploy import float32_as
from ..deploy.cpu import PackedConv
from ..factory import create_model
from ..network import Network
from ..profiling import profile
from ..registry import resolve_name
from .fresh import Task, in_turns
from .timing import Times, least, median, ratio, spread, timed
from .ways import (
    COMPILED,
    EAGER,
    PEERS,
    make_plain,
    make_step,
    make_way,
    peer_network,
    precision_of,
    share_weights,
)


@dataclass(frozen=True)
class Row:
    """One way of running a network, measured in rounds that ran every way in turn."""

    model: str
    batch: int
    size: int
    """side of the images"""
    threads: int
    device: str
    mode: str
    """``inference`` or ``training``: a step with its backward pass and SGD"""
    way: str
    """one of the known ways, or a peer, whose network is eager in NCHW but for its settings"""
    precision: str
    """what the way computes in"""
    images_per_second: float
    """by wall time, median"""
    wall_ms: float
    """latency of one batch, median"""
    busy_ms: float
    """process CPU time of one batch over all threads, median; on an accelerator wall time"""
    spread: float
    """interquartile range of the busy time over its median"""
    to_peer: float | None
    """median ratio of busy times, the fastest eager float32 peer's over this; None without peer"""
    to_compiled: float | None
    """the same of the fastest compiled peer, in this way's precision where there is one"""
    of_peak: float | None
    """share of the machine's peak in this precision: a large matrix product in the same rounds.
    A training step counts as three forward passes"""
    of_floor: float | None
    """CPU time over that of the network's convolutions and linear layers alone; of a CPU"""
    gflops: float
    """floating-point operations of an image's forward pass, in billions"""
    intensity: float
    """FLOPs for each byte of memory access, of the network at this batch size"""
    roof: float | None
    """share of the peak that memory allows at this intensity: a large copy in the same rounds"""
    peak_mib: float | None
    """largest resident memory of a process that runs nothing else; on an accelerator its most
    memory in use during a run"""
    difference: float | None
    """greatest difference from the eager network's outputs over their greatest value; a peer's
    with our weights, None where the bridge does not reach it"""


def measure(
    name: str,
    batch: int,
    size: int = 224,
    rounds: int = 7,
    against: tuple[str, ...] = (),
    ways: tuple[str, ...] = (*EAGER, "torch"),
    train: bool = False,
    device: str = "cpu",
) -> list[Row]:
    """The rows of one network at one batch and image size, all in this process."""
    model = create_model(name).to(device).eval()
    images = torch.randn(batch, model.config.in_chans, size, size, device=device)
    make: Callable[..., Callable[[], Any]] = make_step if train else make_way
    runs = {way: make(way, model, images) for way in ways}
    comparable = set(runs)
    for peer in against:
        library, _, settings = peer.partition("+")
        net = peer_network(library, name)
        if net is not None:
            if share_weights(model, library, net):
                comparable.add(peer)
            plain = make_step if train else make_plain
            runs[peer] = plain(settings or "eager", net.to(device), images)
    differences: dict[str, float | None] = {}
    if not train:
        with torch.inference_mode():
            with float32_as("ieee"):
                expected = model(images)
            for way in comparable:
                differences[way] = _difference(runs[way](), expected)
    cpu = images.device.type == "cpu"
    side = 1024 if cpu else 8192
    precisions = {precision_of(way) for way in runs}
    block = torch.randn(1 << (24 if cpu else 28), device=device)
    copied = torch.empty_like(block)
    yardsticks: dict[str, Callable[[], Any]] = {
        **{f"peak {each}": product(each, side, device) for each in precisions},
        "copy": lambda: copied.copy_(block),
    }
    if cpu and not train:
        yardsticks["floor"] = floor(model, images)
    times, memory = _rounds(
        runs | yardsticks, rounds, f"{name}, batch {batch}", device, inference=not train
    )
    # What the machine can do at best: nothing else may have run beside it.
    peak = {each: 2 * side**3 / least(times[f"peak {each}"]) for each in precisions}
    bandwidth = 2 * 4 * block.numel() / least(times["copy"])
    return _rows(
        name,
        batch,
        size,
        train,
        {way: times[way] for way in runs},
        device=device,
        differences=differences,
        memory=memory,
        peak=peak,
        bandwidth=bandwidth,
        floor_times=times.get("floor"),
    )


def measure_fresh(
    name: str,
    batch: int,
    size: int = 224,
    rounds: int = 7,
    against: tuple[str, ...] = (),
    ways: tuple[str, ...] = (*EAGER, "torch"),
    train: bool = False,
    processes: int = 3,
) -> list[Row]:
    """The same with ``processes`` processes of its own for each way: with peak memory, without
    the machine's peak and the floor."""
    ways += tuple(
        peer for peer in against if peer_network(peer.partition("+")[0], name) is not None
    )
    tasks = [Task(name, way, batch, size, torch.get_num_threads(), train, rounds) for way in ways]
    found = dict(zip(ways, in_turns(tasks, processes), strict=True))
    return _rows(
        name,
        batch,
        size,
        train,
        {way: times for way, (times, _) in found.items()},
        memory={way: memory for way, (_, memory) in found.items()},
    )


def _rows(
    name: str,
    batch: int,
    size: int,
    train: bool,
    times: dict[str, Times],
    *,
    device: str = "cpu",
    differences: dict[str, float | None] | None = None,
    memory: dict[str, float] | None = None,
    peak: dict[str, float] | None = None,
    bandwidth: float | None = None,
    floor_times: Times | None = None,
) -> list[Row]:
    counts = profile(name, input_size=size)
    flops = counts.flops * batch * (3 if train else 1)
    weights = 4 * counts.params  # bytes, read once a batch
    intensity = counts.flops * batch / (weights + batch * (counts.memory_access - weights))

    def roof(peak: float) -> float | None:
        return min(intensity * bandwidth / peak, 1.0) if bandwidth else None

    def fastest(ways: Iterable[str]) -> Times | None:
        return min((times[way] for way in ways), key=median, default=None)

    eager = fastest(way for way in times if way in PEERS)
    compiled = [way for way in times if way.startswith(PEERS) and {*way.split("+")} & {*COMPILED}]

    def fastest_compiled(precision: str) -> Times | None:
        alike = [way for way in compiled if precision_of(way) == precision]
        return fastest(alike or compiled)

    return [
        Row(
            model=resolve_name(name),
            batch=batch,
            size=size,
            threads=torch.get_num_threads(),
            device=device,
            mode="training" if train else "inference",
            way=way,
            precision=precision,
            images_per_second=batch / statistics.median(wall for _, wall in spent),
            wall_ms=1e3 * statistics.median(wall for _, wall in spent),
            busy_ms=1e3 * median(spent),
            spread=spread([busy for busy, _ in spent]),
            to_peer=ratio(eager, spent) if eager else None,
            to_compiled=ratio(alike, spent) if alike else None,
            of_peak=flops / median(spent) / peak[precision] if peak else None,
            of_floor=ratio(spent, floor_times) if floor_times else None,
            gflops=counts.flops / 1e9,
            intensity=intensity,
            roof=roof(peak[precision]) if peak else None,
            peak_mib=memory[way] if memory else None,
            difference=differences.get(way) if differences else None,
        )
        for way, spent in times.items()
        for precision in (precision_of(way),)
        for alike in (fastest_compiled(precision),)
    ]


def _rounds(
    runs: dict[str, Callable[[], Any]], rounds: int, title: str, device: str, *, inference: bool
) -> tuple[dict[str, Times], dict[str, float] | None]:
    """The times of each way, and on an accelerator the most memory of each, in MiB. Every round
    runs all of them, in an order of its own: what ran before leaves its mark on caches and free
    memory. The first round warms up."""
    times: dict[str, Times] = {way: [] for way in runs}
    memory: dict[str, float] | None = None if torch.device(device).type == "cpu" else {}
    order = random.Random(0)
    with torch.inference_mode(inference):
        for each in tqdm(range(rounds + 1), desc=title, leave=False):
            for way, run in order.sample(list(runs.items()), len(runs)):
                if memory is not None:
                    torch.accelerator.reset_peak_memory_stats(device)
                spent = timed(run, device)
                if each:
                    times[way].append(spent)
                    if memory is not None:
                        memory[way] = torch.accelerator.max_memory_allocated(device) / 2**20
    return times, memory


def product(precision: str, side: int, device: str) -> Callable[[], Any]:
    """A product of two square matrices."""
    if precision == "int8":
        whole = torch.randint(-128, 128, (side, side), dtype=torch.int8, device=device)
        return lambda: torch._int_mm(whole, whole)
    matrix = torch.randn(side, side, device=device)
    if precision not in ("float32", "tf32"):
        matrix = matrix.to(getattr(torch, precision))

    def run() -> None:
        with float32_as("tf32" if precision == "tf32" else "ieee"):
            matrix @ matrix

    return run


def floor(model: Network, images: Tensor) -> Callable[[], None]:
    """The network's convolutions and linear layers alone, on inputs of their sizes, packed and
    in channels-last: what no arrangement of the rest goes below with torch's direct kernels."""
    work: list[tuple[nn.Module, Tensor]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = torch.randn(inputs[0].shape)
        if isinstance(layer, nn.Conv2d) and torch.backends.mkldnn.is_available():
            x = x.contiguous(memory_format=torch.channels_last)
            layer = PackedConv(layer, input_size=tuple(x.shape))
        work.append((layer, x))

    layers = [m for m in model.modules() if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Linear))]
    handles = [layer.register_forward_pre_hook(note) for layer in layers]
    with torch.inference_mode():
        model(images)
    for handle in handles:
        handle.remove()

    def run() -> None:
        for layer, x in work:
            layer(x)

    return run


def _difference(found: Any, expected: Any) -> float:
    a, b = (x if isinstance(x, Tensor) else x[0] for x in (found, expected))
    return ((a.float() - b).abs().max() / b.abs().max().clamp_min(1e-12)).item()
