"""What the tests of training and comparison share: a small network, a short recipe, processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from resnet_variants import NetworkConfig, model_config
from resnet_variants.training import Recipe, Result

ROOT = Path(__file__).parents[1]


def tiny(**changes: Any) -> NetworkConfig:
    """A CIFAR ResNet of 8 layers and 8 channels."""
    base = model_config("resnet20_cifar").replace(layers=(1, 1, 1), widths=(8, 8, 16))
    return base.replace(**changes)


def short(**changes: Any) -> Recipe:
    """Two epochs of 128 digits."""
    return Recipe(train_images=128, test_images=50, epochs=2, batch_size=32).replace(**changes)


def made_up(label: str, seed: int, top1: float, **changes: Any) -> Result:
    """What a run might have given, for tests of reports."""
    history = [
        {"epoch": e, "step": e, "lr": 0.1, "train_loss": 1.0, "top1": top1 * e / 3, "top5": 99.0,
         "test_loss": 1.0, "images_per_s": 900.0, "wait": 0.01}
        for e in (1, 2, 3)
    ]  # fmt: skip
    values = dict(
        label=label, seed=seed, top1=top1, top5=99.0, test_loss=0.3, corrupted={}, params=1000,
        macs=2_000_000, memory_access=10_000, train_speed=900.0, test_speed=4000.0,
        train_memory=2**20, wait=0.01, epochs=3.0, seconds=9.0, shape=(3, 32, 32),
        classes=["a", "b"], train_images=100, test_images=50, flipped_labels=0, unreadable={},
        config=tiny().to_dict(), recipe=Recipe(seed=seed).to_dict(), history=history,
    )  # fmt: skip
    return Result(**{**values, **changes})


def scores(result: Result) -> Any:
    """What must be equal when a run is done again; speeds are not."""
    lines = [{k: v for k, v in line.items() if k not in ("images_per_s", "wait")}
             for line in result.history]  # fmt: skip
    return result.top1, result.top5, result.test_loss, result.corrupted, lines


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "model.safetensors")


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def environment(**more: str) -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **more}


def start(code: str, *args: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start Python code in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **options,
    )


def kill(process: subprocess.Popen[str], after: float, until: Path | None = None) -> bool:
    """Kill -9 some seconds after a file appears; whether it was still running."""
    deadline = time.monotonic() + 120
    while until is not None and not until.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    time.sleep(after)
    running = process.poll() is None
    if running:
        os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return running
