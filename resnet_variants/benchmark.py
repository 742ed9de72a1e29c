"""How fast networks run on this machine, side by side with their peers, in one process."""

from __future__ import annotations

import csv
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .choices import check_choice
from .deploy import optimize_for_inference
from .deploy.pack import PackedConv
from .network import Network
from .profiling import profile
from .registry import create_model, resolve_name

PEERS = ("timm", "torchvision", "pytorchcv")


@dataclass(frozen=True)
class Row:
    """One way of running a network, measured in rounds that ran every way in turn."""

    model: str
    batch: int
    way: str
    """``eager NCHW``, ``eager channels_last``, a back end, or a peer"""
    images_per_second: float
    """by wall time, median"""
    cpu_ms: float
    """process CPU time of one batch over all threads, median"""
    spread: float
    """interquartile range of the CPU time over its median"""
    to_peer: float | None
    """median ratio of CPU times, the fastest peer's eager NCHW over this; None without peer"""
    of_peak: float
    """share of the machine's float32 peak: a large matrix product in the same rounds"""
    of_floor: float
    """CPU time over that of the network's convolutions and linear layers alone"""
    intensity: float
    """FLOPs for each byte of memory access, of the network at this batch size"""
    roof: float
    """share of the peak that memory allows at this intensity: a large copy in the same rounds"""


def benchmark(
    names: tuple[str, ...],
    /,
    *,
    batch: tuple[int, ...] = (1, 16),
    size: int = 224,
    rounds: int = 7,
    against: tuple[str, ...] = (),
    backends: tuple[str, ...] = ("torch",),
    threads: int | None = None,
    out: Path | None = None,
) -> None:
    """Measure networks eager, deployed, and beside their peers, interleaved in one process.

    CPU time is of all threads; set OMP_WAIT_POLICY=PASSIVE so that idle threads do not spin.

    Args:
        names: models of the zoo
        batch: batch sizes
        size: side of the images
        rounds: rounds after one that warms up
        against: peers that have the network: timm, torchvision, pytorchcv
        backends: of optimize_for_inference: torch, inductor, onnxruntime, openvino
        threads: of torch; its own number by default
        out: folder for benchmark.csv, benchmark.json and, with matplotlib, roofline.svg
    """
    for peer in against:
        check_choice("against", peer, PEERS)
        if importlib.util.find_spec(peer) is None:
            raise ImportError(f"against={peer!r} needs {peer}: pip install {peer}.")
    if threads is not None:
        torch.set_num_threads(threads)
    rows: list[Row] = []
    print(_HEAD)
    for name in names:
        for each in batch:
            for row in measure(name, each, size, rounds, against, backends):
                rows.append(row)
                print(_line(row), flush=True)
    if out is not None:
        save(rows, out)


def measure(
    name: str,
    batch: int,
    size: int = 224,
    rounds: int = 7,
    against: tuple[str, ...] = (),
    backends: tuple[str, ...] = ("torch",),
) -> list[Row]:
    """The rows of one network at one batch size."""
    model = create_model(name).eval()
    images = torch.randn(batch, model.config.in_chans, size, size)
    last = images.contiguous(memory_format=torch.channels_last)
    ways: dict[str, Callable[[], Any]] = {"eager NCHW": lambda: model(images)}
    twin = create_model(name).eval().to(memory_format=torch.channels_last)
    ways["eager channels_last"] = lambda: twin(last)
    for backend in backends:
        deployed = optimize_for_inference(model, images, backend, rounds=1)
        ways[backend] = partial(deployed, images)
    peers = {f"{p} eager": net for p in against if (net := peer_network(p, name)) is not None}
    for way, net in peers.items():
        ways[way] = partial(net, images)
    matrix = torch.randn(1024, 1024)
    ways["peak"] = lambda: matrix @ matrix
    block = torch.randn(1 << 24)
    copied = torch.empty_like(block)
    ways["copy"] = lambda: copied.copy_(block)
    floor = _floor(model, images)
    ways["floor"] = floor
    times = _rounds(ways, rounds, f"{name}, batch {batch}")

    counts = profile(model, input_size=size)
    flops = counts.flops * batch
    weights = 4 * counts.params  # bytes, read once a batch
    intensity = flops / (weights + batch * (counts.memory_access - weights))
    bandwidth = 2 * 4 * block.numel() / _median(times["copy"])
    peak = 2 * 1024**3 / _median(times["peak"])
    reference = min(peers, key=lambda way: _median(times[way]), default=None)
    return [
        Row(
            model=resolve_name(name),
            batch=batch,
            way=way,
            images_per_second=batch / statistics.median(wall for _, wall in times[way]),
            cpu_ms=1e3 * _median(times[way]),
            spread=_spread([cpu for cpu, _ in times[way]]),
            to_peer=_ratio(times[reference], times[way]) if reference else None,
            of_peak=flops / _median(times[way]) / peak,
            of_floor=_ratio(times[way], times["floor"]),
            intensity=intensity,
            roof=min(intensity * bandwidth / peak, 1.0),
        )
        for way in times
        if way not in ("peak", "copy", "floor")
    ]


def peer_network(peer: str, name: str) -> nn.Module | None:
    """The same network in another library, or None where that has none of this name."""
    name = resolve_name(name)
    if peer == "timm":
        import timm

        known = _PEER_NAMES.get(("timm", name), name)
        return timm.create_model(known).eval() if timm.is_model(known) else None
    if peer == "torchvision":
        import torchvision

        known = _PEER_NAMES.get(("torchvision", name), name)
        if known not in torchvision.models.list_models():
            return None
        return torchvision.models.get_model(known, weights=None).eval()
    from pytorchcv.model_provider import get_model

    there = _PEER_NAMES.get(("pytorchcv", name))
    return get_model(there).eval() if there else None


_PEER_NAMES = {
    ("timm", "sknet50"): "skresnext50_32x4d",
    ("timm", "resnest50"): "resnest50d",
    ("timm", "res2net50_v1b"): "res2net50d",
    ("torchvision", "regnetx_032"): "regnet_x_3_2gf",
    ("torchvision", "regnety_032"): "regnet_y_3_2gf",
    ("pytorchcv", "resnet50"): "resnet50b",
    ("pytorchcv", "resnet50a"): "resnet50",
    ("pytorchcv", "resnext50_32x4d"): "resnext50_32x4d",
    ("pytorchcv", "scnet50"): "scnet50",
    ("pytorchcv", "ran56"): "resattnet56",
    ("pytorchcv", "shufflenet_v1_g3_x1_0"): "shufflenet_g3_w1",
    ("pytorchcv", "shufflenet_v2_x1_0"): "shufflenetv2_w1",
    ("pytorchcv", "bn_inception"): "bninception",
}


def _rounds(
    ways: dict[str, Callable[[], Any]], rounds: int, title: str
) -> dict[str, list[tuple[float, float]]]:
    """(CPU seconds, wall seconds) of each way, every round running all of them."""
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    with torch.inference_mode():
        for each in tqdm(range(rounds + 1), desc=title, leave=False):
            for way, run in ways.items():
                cpu, wall = time.process_time(), time.perf_counter()
                run()
                spent = time.process_time() - cpu, time.perf_counter() - wall
                if each:
                    times[way].append(spent)
    return times


def _floor(model: Network, images: Tensor) -> Callable[[], None]:
    """The network's convolutions and linear layers alone, on inputs of their sizes, packed and
    in channels-last: what no arrangement of the rest can go below with torch's kernels."""
    work: list[tuple[nn.Module, Tensor]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = torch.randn(inputs[0].shape)
        if isinstance(layer, nn.Conv2d) and torch.backends.mkldnn.is_available():
            x = x.contiguous(memory_format=torch.channels_last)
            layer = PackedConv(layer, relu=False, input_size=tuple(x.shape))
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


def _median(times: list[tuple[float, float]]) -> float:
    return statistics.median(cpu for cpu, _ in times)


def _ratio(over: list[tuple[float, float]], under: list[tuple[float, float]]) -> float:
    return statistics.median(a / b for (a, _), (b, _) in zip(over, under, strict=True))


def _spread(values: list[float]) -> float:
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4)
    return (high - low) / middle


_HEAD = (
    f"{'model':24} {'batch':>5} {'way':22} {'images/s':>9} {'CPU ms':>9} {'spread':>7} "
    f"{'to peer':>8} {'of peak':>8} {'of floor':>8}"
)


def _line(row: Row) -> str:
    peer = f"{row.to_peer:.2f}" if row.to_peer is not None else "-"
    return (
        f"{row.model:24} {row.batch:5} {row.way:22} {row.images_per_second:9.1f} "
        f"{row.cpu_ms:9.1f} {row.spread:7.0%} {peer:>8} {row.of_peak:8.0%} {row.of_floor:8.2f}"
    )


def save(rows: list[Row], out: Path) -> None:
    """Write ``benchmark.csv`` and ``benchmark.json`` into a folder, and ``roofline.svg`` where
    matplotlib is installed."""
    out.mkdir(parents=True, exist_ok=True)
    records: list[dict[str, Any]] = [asdict(row) for row in rows]
    (out / "benchmark.json").write_text(json.dumps(records, indent=1) + "\n")
    with (out / "benchmark.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    if importlib.util.find_spec("matplotlib") is not None:
        _roofline(rows, out / "roofline.svg")


def _roofline(rows: list[Row], path: Path) -> None:
    """Each row a dot: the share of the peak against arithmetic for each byte, under the roof."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    roof = sorted({(row.intensity, row.roof) for row in rows})
    axes.plot(*zip(*roof, strict=True), color="black", label="roof: matrix product and copy")
    for way in dict.fromkeys(row.way for row in rows):
        dots = [row for row in rows if row.way == way]
        axes.scatter([d.intensity for d in dots], [d.of_peak for d in dots], s=16, label=way)
    labelled = {(row.model, row.batch): row for row in rows}  # a name once, at its last way
    for (model, batch), row in labelled.items():
        axes.annotate(f"{model}, {batch}", (row.intensity, row.of_peak), fontsize=6)
    axes.set(xscale="log", yscale="log", xlabel="FLOPs a byte", ylabel="share of float32 peak")
    axes.legend(fontsize=7)
    figure.savefig(path)
