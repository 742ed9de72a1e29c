"""What deployment reaches on a GPU, beside the peers eager and compiled: one table, its goals.

    python benchmarks/gpu.py --out runs/gpu            # under 8 minutes on one GPU
    python benchmarks/gpu.py --device cpu --small      # tries the script, in minutes

float16, channels-last, at batch 1 and 256. ``deployed`` is ``optimize_for_inference``
with ``cuda_graphs``, ``compiled`` with ``inductor``; the peers' network as it is, and compiled and
recorded as a CUDA graph. All ways of a row take turns in one process; numbers are medians. A row
that fails or takes too long is told and left; rows that ``--out`` holds of this device are not
measured again. ``gpu.json`` and ``gpu.md`` are written after each row.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import signal
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_variants import create_model, optimize_for_inference
from resnet_variants.benchmark import PEERS, peer_network
from resnet_variants.capture import WARM_UP
from resnet_variants.deploy import pack
from resnet_variants.deploy.captured import Captured

# Times the peer's eager network, at batch 1 and 256 (without a peer: our own eager one)
GOALS: dict[str, tuple[float | None, float | None]] = {
    "resnet50": (10, 2.2),
    "seresnet50": (9, 1.7),
    "resnest50": (12, 3.0),
    "sknet50": (8, 3.0),
    "ssaresnet50": (9, 1.7),
    "regnety_032": (8, 1.3),
    "shufflenet_v2_x1_0": (8, 1.3),
    "ecaresnet50d": (8, 1.7),
    "resnet50d": (8, None),
    "res2net50_26w_4s": (8, 1.7),
    "scnet50": (8, 1.7),
    "ran56": (8, 1.7),
    "shufflenet_v1_g3_x1_0": (8, 1.3),
    "bn_inception": (8, None),
}
RELATIVE = {"seresnet50": ("resnet50", 0.92), "ecaresnet50d": ("resnet50d", 0.95)}
COMPILED = ("resnet50", "resnest50", "seresnet50")
FASTEST = ("resnet50", 28_000)
ROW_SECONDS = 75


class Repeated:
    """Instead of a CUDA graph, where there is no GPU."""

    def record(self, work: Callable[[], None]) -> None:
        """Keep the work, and do it as a graph would."""
        self.replay = work
        for _ in range(WARM_UP):
            work()


class Bench:
    """The networks at one device and size."""

    def __init__(self, device: str, size: int) -> None:
        self.device, self.size = torch.device(device), size
        self.gpu = self.device.type == "cuda"
        self.half = torch.float16 if self.gpu else torch.float32

    def like(self, net: nn.Module, layout: torch.memory_format) -> nn.Module:
        """A copy in half precision."""
        return copy.deepcopy(net).to(self.device, self.half).to(memory_format=layout)

    def model(self, name: str) -> nn.Module:
        """Ours, with statistics that are not the identity, in float32."""
        torch.manual_seed(0)
        model = create_model(name).eval()
        for key, buffer in model.named_buffers():
            if key.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
            elif key.endswith("running_mean"):
                buffer.normal_(0, 0.1)
        return model.to(self.device)

    def eager(self, net: nn.Module, batch: int, layout: torch.memory_format) -> Callable[[], Any]:
        """A network as it is, on images that are there in its type and order."""
        images = self.images(batch).to(self.half).contiguous(memory_format=layout)
        return functools.partial(self.like(net, layout), images)

    def images(self, batch: int) -> Tensor:
        """Images in float32."""
        return torch.randn(batch, 3, self.size, self.size, device=self.device)

    def deployed(self, model: Any, batch: int, backend: str) -> tuple[Callable[[], Any], str]:
        """Our network deployed, on images in half precision that are there, and its report."""
        images = self.images(batch)
        if self.gpu:
            fast: Any = optimize_for_inference(
                model, images, backend, precision="float16", rounds=1
            )
            told = str(fast.report) + f"; {fast.report.tried}"
        else:
            net = pack(model, images, target="cuda", measure=False)
            fast = Captured(
                net,
                device=self.device,
                dtype=self.half,
                layout=torch.channels_last,
                make_graph=Repeated,  # type: ignore[arg-type]
            )
            told = "stand-in"
        given = images.to(self.half).contiguous(memory_format=torch.channels_last)
        return functools.partial(fast, given), told

    def compiled(self, net: nn.Module, batch: int) -> Callable[[], Any]:
        """A peer's network compiled, and recorded on a GPU."""
        half = self.like(net, torch.channels_last)
        images = self.images(batch).to(self.half).contiguous(memory_format=torch.channels_last)
        if not self.gpu:
            return functools.partial(half, images)
        run = Captured(
            torch.compile(half),
            device=self.device,
            dtype=self.half,
            layout=torch.channels_last,
        )
        return functools.partial(run, images)

    def times(self, ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
        """Seconds of a call until it is done: medians over rounds, in which all take turns."""
        spent: dict[str, list[float]] = {name: [] for name in ways}
        with torch.inference_mode():
            for run in ways.values():
                run()
                run()
            for _ in range(rounds):
                for name, run in ways.items():
                    self.wait()
                    start = time.perf_counter()
                    for _ in range(CALLS):
                        run()
                        self.wait()
                    spent[name].append((time.perf_counter() - start) / CALLS)
        return {name: statistics.median(times) for name, times in spent.items()}

    def wait(self) -> None:
        """Until the device is done."""
        if self.gpu:
            torch.cuda.synchronize()


CALLS = 3


def row(bench: Bench, name: str, batch: int, *, compiled: bool, rounds: int) -> dict[str, Any]:
    """All ways of one network at one batch size."""
    started = time.perf_counter()
    model = bench.model(name)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(bench.images(1))
    ways = {
        "eager": bench.eager(model, batch, torch.channels_last),
        "eager NCHW": bench.eager(model, batch, torch.contiguous_format),
    }
    ways["deployed"], told = bench.deployed(model, batch, "cuda_graphs")
    peers = ((lib, peer_network(lib, name)) for lib in PEERS)
    lib, theirs = next(((lib, net) for lib, net in peers if net is not None), (None, None))
    if theirs is not None:
        ways["peer"] = bench.eager(theirs, batch, torch.channels_last)
    failed = {}
    if compiled:
        for way, make in (
            ("compiled", lambda: bench.deployed(model, batch, "inductor")[0]),
            ("peer compiled", lambda: bench.compiled(theirs, batch)),  # type: ignore[arg-type]
        ):
            try:
                ways[way] = make()
            except Exception as error:
                failed[way] = f"{type(error).__name__}: {error}"[:300]
    times = bench.times(ways, rounds)
    base = times.get("peer", times["eager"])
    return {
        "model": name,
        "batch": batch,
        "peer": lib,
        "ms": {way: 1e3 * seconds for way, seconds in times.items()},
        "images_per_second": {way: batch / seconds for way, seconds in times.items()},
        "over_peer": {way: base / seconds for way, seconds in times.items()},
        "tflops": counter.get_total_flops() * batch / times["deployed"] / 1e12,
        "report": told,
        "failed": failed,
        "seconds": time.perf_counter() - started,
    }


def goals(rows: list[dict[str, Any]], large: int) -> list[tuple[str, float | None, float, bool]]:
    """What was to be reached: its name, the number found (None where not measured), the least."""
    found = {(each["model"], each["batch"]): each for each in rows if "ms" in each}
    lines = []

    def add(name: str, value: float | None, least: float) -> None:
        lines.append((name, value, least, value is not None and value >= least))

    for model, wanted in GOALS.items():
        for batch, least in zip((1, large), wanted, strict=True):
            at = found.get((model, batch))
            if least is not None:
                value = None if at is None else max(_ours(at["over_peer"]))
                add(f"{model}, batch {batch}: times the peer's eager", value, least)
            if at is not None and "peer compiled" in at["ms"]:
                value = max(_ours(at["over_peer"])) / at["over_peer"]["peer compiled"]
                add(f"{model}, batch {batch}: times the peer's compiled", value, 1.0)
            if at is not None and batch != 1:
                value = at["ms"]["eager NCHW"] / at["ms"]["eager"]
                add(f"{model}, batch {batch}: eager NCHW time over channels-last", value, 1.0)
    for model, (plain, least) in RELATIVE.items():
        pair = [found.get((each, large)) for each in (model, plain)]
        value = None
        if all(pair):
            speeds = [each["images_per_second"]["deployed"] for each in pair]  # type: ignore[index]
            value = speeds[0] / speeds[1]
        add(f"{model} over {plain}, images/s", value, least)
    at = found.get((FASTEST[0], large))
    value = None if at is None else max(_ours(at["images_per_second"]))
    add(f"{FASTEST[0]}: images/s on an H100", value, FASTEST[1])
    return lines


def _ours(values: dict[str, float]) -> list[float]:
    return [value for way, value in values.items() if way in ("deployed", "compiled")]


def table(rows: list[dict[str, Any]], about: dict[str, Any], large: int) -> str:
    """Ratios first, then milliseconds, then what was to be reached."""
    ways = ("deployed", "compiled", "peer compiled", "eager", "eager NCHW")
    head = ["model", "batch", "peer", *ways, "images/s", "TFLOP/s", "of peak"]
    lines = [
        f"# {about['device']}, torch {about['torch']}",
        "",
        f"Speed over the peer's eager network, float16, channels-last. Peak {about['peak']:.0f} "
        "TFLOP/s: the best product of two large matrices.",
        "",
        "| " + " | ".join(head) + " |",
        "| --- | ---: | --- |" + " ---: |" * (len(head) - 3),
    ]
    for each in rows:
        start = f"| {each['model']} | {each['batch']} | "
        if "ms" not in each:
            lines.append(start + each["error"].replace("|", "/").replace("\n", " ")[:200] + " |")
            continue
        ratios = each["over_peer"]
        cells = [f"{ratios[way]:.2f}" if way in ratios else "-" for way in ways]
        cells.append(f"{each['images_per_second']['deployed']:,.0f}")
        cells.append(f"{each['tflops']:.1f}")
        cells.append(f"{each['tflops'] / about['peak']:.0%}" if about["peak"] else "-")
        lines.append(start + " | ".join([each["peer"] or "none", *cells]) + " |")
    lines += ["", "| goal | found | least | |", "| --- | ---: | ---: | --- |"]
    for name, value, least, met in goals(rows, large):
        shown = "not measured" if value is None else f"{value:,.2f}"
        lines.append(f"| {name} | {shown} | {least:,} | {'met' if met else 'not met'} |")
    return "\n".join(lines) + "\n"


def peak(bench: Bench) -> float:
    """TFLOP/s of the best product of two square matrices."""
    size = 8192 if bench.gpu else 256
    a = torch.randn(size, size, device=bench.device, dtype=bench.half)
    seconds = bench.times({"product": lambda: a @ a}, 7)["product"]
    return 2 * size**3 / seconds / 1e12


class OutOfTimeError(BaseException):
    """No Exception: a form that fails is left for another, and a way for the next."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise OutOfTimeError in what takes longer."""

    def stop(*_: object) -> None:
        raise OutOfTimeError(f"took over {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    """Measure what the time allows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="batches of 1 and 2")
    parser.add_argument("--size", type=int, default=224, help="pixels")
    parser.add_argument("--models", nargs="*", default=list(GOALS), help="of: %(default)s")
    parser.add_argument("--seconds", type=float, default=440, help="after which no row is begun")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    started = time.perf_counter()
    bench = Bench(args.device, args.size)
    large = 2 if args.small else 256
    name = torch.cuda.get_device_name() if bench.gpu else "CPU, to try the script"
    about = {"device": name, "torch": torch.__version__, "peak": peak(bench)}
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "gpu.json"
    rows: list[dict[str, Any]] = []
    if file.exists():
        kept = json.loads(file.read_text())
        if {**kept["about"], "peak": 0} == {**about, "peak": 0}:
            rows = [each for each in kept["rows"] if "ms" in each]
    # What the fewest minutes tell most of comes first; compilers last, each at both sizes.
    todo = [(each, batch, False) for each in args.models for batch in (large, 1)]
    todo += [
        (each, batch, True) for each in args.models if each in COMPILED for batch in (large, 1)
    ]
    for model, batch, compiled in todo:
        old = [each for each in rows if (each["model"], each["batch"]) == (model, batch)]
        if any("ms" in each and (not compiled or "compiled" in each["ms"]) for each in old):
            continue
        left = args.seconds - (time.perf_counter() - started)
        if left < 10:
            print(f"{model}, batch {batch}: no time left", flush=True)
            continue
        try:
            with limited(min(ROW_SECONDS * (2 if compiled else 1), left + 20)):
                found = row(bench, model, batch, compiled=compiled, rounds=args.rounds)
            print(f"{model}, batch {batch}: {found['over_peer']} ({found['seconds']:.0f} s)")
        except (Exception, OutOfTimeError) as error:
            traceback.print_exc()
            found = {"model": model, "batch": batch, "error": f"{type(error).__name__}: {error}"}
        if "ms" in found or not old:
            rows = [each for each in rows if each not in old] + [found]
        if bench.gpu:
            torch.cuda.empty_cache()
        torch._dynamo.reset()
        file.write_text(json.dumps({"about": about, "rows": rows}, indent=1))
        (args.out / "gpu.md").write_text(table(rows, about, large))
    print(table(rows, about, large))
    print(f"{time.perf_counter() - started:.0f} s; {file}")


if __name__ == "__main__":
    main()
