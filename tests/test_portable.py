"""One process needs nothing that only POSIX or Linux has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HIDDEN = """
import os, sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
import torch  # which itself calls register_at_fork on Linux
for name in ("fork", "register_at_fork", "sched_getaffinity"):
    if hasattr(os, name):
        delattr(os, name)
"""
USED = """
from pathlib import Path
import torch
from resnet_variants import create_model, list_models
from resnet_variants.checkpoints import load, save
from resnet_variants.storage import locked

model = create_model("resnet20_cifar", num_classes=4)
twin = load(save(model, Path(sys.argv[1]) / "model.safetensors"))
optimiser = torch.optim.SGD(twin.parameters(), lr=0.1)
twin(torch.randn(2, 3, 32, 32)).sum().backward()
optimiser.step()
with locked(Path(sys.argv[1])) as mine:
    assert mine
"""


def test_import_create_save_load_and_train(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN + USED, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
