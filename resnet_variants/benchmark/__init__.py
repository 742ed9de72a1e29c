"""How fast networks run on this machine, side by side with their peers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

from ..choices import check_choice
from . import report
from .fresh import KEEP
from .measure import Row, measure, measure_fresh
from .ways import PEERS, TRAINING_WAYS, WAYS, peer_network

__all__ = ["PEERS", "TRAINING_WAYS", "WAYS", "Row", "benchmark", "measure", "peer_network"]


def benchmark(
    names: tuple[str, ...],
    /,
    *,
    batch: tuple[int, ...] = (1, 16),
    size: tuple[int, ...] = (224,),
    threads: tuple[int, ...] = (),
    ways: tuple[str, ...] = (),
    against: tuple[str, ...] = (),
    train: bool = False,
    fresh: int = 0,
    rounds: int = 7,
    out: Path | None = None,
) -> None:
    """Measure networks eager, deployed, and beside their peers, in turns.

    CPU time is of all threads; set OMP_WAIT_POLICY=PASSIVE so that idle threads do not spin.

    Args:
        names: models of the zoo
        batch: batch sizes
        size: sides of the images
        threads: numbers of torch's threads; its own by default
        ways: eager, channels_last, torch, inductor, onnxruntime, openvino, int8-onnxruntime,
            int8-openvino; with --train: eager, channels_last, bfloat16, checkpointing, inductor;
            the first three, or two, by default. With --fresh each also as WAY+keep, which
            keeps freed memory in the process
        against: peers that have the network: timm, torchvision, pytorchcv
        train: training steps, not inference
        fresh: that many processes of its own for each way, for peak memory and WAY+keep; 0: all
            ways in this process, beside the machine's peak and the network's floor
        rounds: repeats of each way, after one that warms up
        out: folder for benchmark.csv, .json and .md and, with matplotlib, roofline.svg and
            scaling.svg
    """
    known = TRAINING_WAYS if train else WAYS
    ways = ways or known[: 2 if train else 3]
    for way in ways:
        check_choice("ways", way.removesuffix(KEEP), known)
        if way.endswith(KEEP) and not fresh:
            raise ValueError(f"ways={way!r} sets the whole process's allocator: it needs --fresh.")
    for peer in against:
        check_choice("against", peer, PEERS)
        if importlib.util.find_spec(peer) is None:
            raise ImportError(f"against={peer!r} needs {peer}: pip install {peer}.")
    rows: list[Row] = []
    print(report.head())
    before = torch.get_num_threads()
    try:
        for number in threads or (before,):
            torch.set_num_threads(number)
            for name in names:
                for side in size:
                    for each in batch:
                        found = (
                            measure_fresh(name, each, side, rounds, against, ways, train, fresh)
                            if fresh
                            else measure(name, each, side, rounds, against, ways, train)
                        )
                        rows += found
                        print(*map(report.line, found), sep="\n", flush=True)
    finally:
        torch.set_num_threads(before)
    if out is not None:
        report.save(rows, out)
