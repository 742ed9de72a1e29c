"""The command ``benchmark``."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from json import dumps
from pathlib import Path

import torch

from ..benchmark import report
from ..benchmark.fresh import KEEP
from ..benchmark.measure import Row, measure, measure_fresh
from ..benchmark.ways import EAGER, PEERS, known_ways, peers_in, settings_of, ways_in
from ..choices import check_choice
from ..deploy.devices import PRECISIONS, check_precision
from ..storage import check_place


def benchmark(
    names: tuple[str, ...],
    /,
    *,
    batch: tuple[int, ...] = (1, 16),
    size: tuple[int, ...] = (224,),
    threads: tuple[int, ...] = (),
    ways: tuple[str, ...] = (),
    precision: tuple[str, ...] = (),
    against: tuple[str, ...] = (),
    train: bool = False,
    fresh: int = 0,
    rounds: int = 7,
    device: str = "cpu",
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Measure networks eager, deployed, and beside their peers, in turns.

    CPU time is of all threads; set OMP_WAIT_POLICY=PASSIVE so that idle threads do not spin.

    Args:
        names: models of the zoo
        batch: batch sizes
        size: sides of the images
        threads: numbers of torch's threads; its own by default
        ways: eager, channels_last, torch, inductor, onnxruntime, openvino, bfloat16-torch,
            int8-onnxruntime, int8-openvino. With --train or --device settings, of which + joins
            several: eager, channels_last, bfloat16, inductor; with --train checkpointing, too; on
            a GPU tf32, float16 and cudagraphs, and eager is exact float32. By default eager,
            channels_last and, on a CPU, torch. With --fresh each also as WAY+keep, which keeps
            freed memory in the process
        precision: float32, bfloat16, int8, on a GPU tf32 and float16: adds the back ends that are
            installed (but compilers) in each, and the peers eager and compiled in it
        against: peers that have the network: timm, torchvision, pytorchcv; each also with
            settings, as in timm+channels_last+bfloat16+inductor
        train: training steps, not inference
        fresh: that many processes of its own for each way, for peak memory and WAY+keep; 0: all
            ways in this process, beside the machine's peak and the network's floor
        rounds: repeats of each way, after one that warms up
        device: cpu, or an accelerator such as cuda
        out: folder for benchmark.csv, .json and .md and, with matplotlib, roofline.svg and
            scaling.svg
        json: print JSON instead
    """
    kind = _checked_device(device, fresh)
    known = known_ways(kind, train)
    for name in precision:
        check_choice("precision", name, PRECISIONS)
        check_precision(name, kind)
    if precision and train:
        raise ValueError("--precision is that of inference; for training name --ways bfloat16.")
    ways = ways or (EAGER if train or kind != "cpu" or precision else (*EAGER, "torch"))
    added = (way for each in precision for way in ways_in(each, kind))
    ways = tuple(dict.fromkeys((*ways, *added)))
    of_settings = train or kind != "cpu"
    for way in ways:
        plain = way.removesuffix(KEEP)
        for setting in plain.split("+") if of_settings else (plain,):
            check_choice("ways", setting, known)
        if way.endswith(KEEP) and not fresh:
            raise ValueError(f"ways={way!r} sets the whole process's allocator: it needs --fresh.")
    added = (peer for each in precision for peer in peers_in(each, against, kind))
    against = tuple(dict.fromkeys((*against, *added)))
    for way in against:
        peer, *settings = way.split("+")
        check_choice("against", peer, PEERS)
        for setting in settings:
            check_choice("against", setting, settings_of(kind, train=False))
        if importlib.util.find_spec(peer) is None:
            raise ImportError(f"against={peer!r} needs {peer}: pip install {peer}.")
    if out is not None:
        check_place(out)
    rows: list[Row] = []
    if not json:
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
                            else measure(name, each, side, rounds, against, ways, train, device)
                        )
                        rows += found
                        if not json:
                            print(*map(report.line, found), sep="\n", flush=True)
    finally:
        torch.set_num_threads(before)
    if json:
        print(dumps([asdict(row) for row in rows], indent=2))
    if out is not None:
        report.save(rows, out)


def _checked_device(device: str, fresh: int) -> str:
    """Its kind, if it is there."""
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is none that torch knows.") from error
    here = torch.accelerator.current_accelerator(check_available=True)
    if kind != "cpu":
        if here is None or here.type != kind:
            there = "cpu" if here is None else f"cpu, {here.type}"
            raise ValueError(f"device={device!r} is not on this machine. Here: {there}.")
        if fresh:
            raise ValueError("--fresh measures a process's memory on a CPU: leave it out.")
    return kind
