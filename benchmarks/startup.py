"""How long the library takes to import, to create a network and to load one, beside what it is
built on and beside timm.

    python benchmarks/startup.py

Fresh processes in turn, so that whatever else the machine does falls on all alike; medians of
CPU time (user and system, of all threads), which waits of other programs do not count in. What
fills a network that is there already uses several threads: there it is the time by the clock.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

IMPORTS = {
    "import torch": "import torch",
    "import resnet_variants": "import resnet_variants",
}
PROCESSES = 15
CREATIONS = 15
LOADED = ("resnet18", "resnet50", "resnet152", "regnety_032")  # names of timm, too


def cpu_seconds(statement: str) -> float:
    """CPU time of a fresh ``python -c statement``."""
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", statement], os.environ)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise RuntimeError(f"python -c {statement!r} failed.")
    return usage.ru_utime + usage.ru_stime


def import_times(processes: int = PROCESSES) -> dict[str, float]:
    """Median CPU seconds of each import, the processes taking turns."""
    times: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for statement in IMPORTS.values():
        cpu_seconds(statement)  # fills the disk's cache and writes byte code
    for _ in tqdm(range(processes), desc="imports", leave=False):
        for name, statement in IMPORTS.items():
            times[name].append(cpu_seconds(statement))
    return {name: statistics.median(each) for name, each in times.items()}


def creation_times(creations: int = CREATIONS) -> dict[str, float]:
    """Median CPU seconds that this library and torchvision take to create a ResNet-50."""
    from torchvision.models import resnet50

    from resnet_variants import create_model

    makers: dict[str, Callable[[], object]] = {
        "torchvision resnet50()": resnet50,
        'create_model("resnet50")': lambda: create_model("resnet50"),
    }
    return _in_turns(makers, creations)


def load_times(name: str, loads: int = CREATIONS) -> dict[str, float]:
    """Median CPU seconds that timm and this library take from a local checkpoint, in timm's own
    format, to a network with its weights in memory."""
    import timm
    import torch

    from resnet_variants import create_model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.pth"
        torch.save(timm.create_model(name).state_dict(), path)

        def theirs() -> object:
            return timm.create_model(name).load_state_dict(torch.load(path))

        def ours() -> object:
            return create_model(name, checkpoint_path=path)

        return _in_turns({f"timm {name}": theirs, f"resnet_variants {name}": ours}, loads)


def fill_times(name: str, loads: int = CREATIONS) -> dict[str, float]:
    """Median seconds by the clock from a local checkpoint into a network that is there already:
    PyTorch's own two calls, which check no numbers, and ``load_checkpoint``."""
    import torch

    from resnet_variants import create_model, load_checkpoint

    network = create_model(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.pth"
        torch.save(network.state_dict(), path)
        makers: dict[str, Callable[[], object]] = {
            f"torch.load, copy: {name}": lambda: network.load_state_dict(torch.load(path)),
            f"load_checkpoint: {name}": lambda: load_checkpoint(network, path),
        }
        return _in_turns(makers, loads, time.perf_counter)


def _in_turns(
    makers: dict[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, float]:
    """Median seconds of each, after one that warms up."""
    times: dict[str, list[float]] = {name: [] for name in makers}
    for make in makers.values():
        make()
    for _ in tqdm(range(rounds), leave=False):
        for name, make in makers.items():
            start = clock()
            make()
            times[name].append(clock() - start)
    return {name: statistics.median(each) for name, each in times.items()}


def main() -> None:
    tables = (
        import_times(),
        creation_times(),
        *map(load_times, LOADED),
        *map(fill_times, LOADED[:3]),
    )
    for measured in tables:
        (_, theirs), (_, ours) = measured.items()
        for name, seconds in measured.items():
            print(f"{name:28} {seconds:7.3f} s")
        print(f"{'ratio':28} {ours / theirs:7.3f}")


if __name__ == "__main__":
    main()
