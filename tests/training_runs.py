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
