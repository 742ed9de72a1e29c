"""Two processes (gloo) give what one gives, up to the order of sums: DDP and FSDP."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from resnet_variants.storage import read_json
from resnet_variants.training import train

from .training_runs import environment, short, tiny, weights

CODE = """
import sys, torch
from tests.training_runs import tiny
from resnet_variants.training import Recipe, train
torch.set_num_threads(1)
try:
    train(tiny(), Recipe(batch_size=31, device="cpu"))
except ValueError as error:
    print(error)
for name in sys.argv[2:]:
    recipe = Recipe.load(f"{sys.argv[1]}/{name}.yaml")
    train(tiny(attention="se"), recipe, f"{sys.argv[1]}/{name}", progress=False)
"""


# Stops both processes once the first checkpoint is on the disk.
STOPPED = """
import sys
import torch.distributed
from resnet_variants.training.trainer import Trainer
save = Trainer.save
def stop(self):
    save(self)
    if self.folder is not None:
        self.folder.wait()
    torch.distributed.barrier()
    sys.exit(1)
Trainer.save = stop
"""


def _two(folder: Path, *names: str, code: str = CODE) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(code)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    return subprocess.run(
        [*command, str(script), str(folder), *names],
        env=environment(),
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )


def test_two_processes_equal_one(tmp_path: Path) -> None:
    # 47 test images: the last batch is not the same on both; 0.05 keeps the error from growing
    recipe = short(lr=0.05, test_images=47, ema=0.9, clip_norm=1.0, device="cpu")
    for name, each in {
        "ddp": recipe,
        "parts": recipe.replace(accumulate=2, corruptions=("contrast:3",)),
        "fsdp": recipe.replace(sharding="fsdp"),
    }.items():
        each.save(tmp_path / f"{name}.yaml")
    done = _two(tmp_path, "ddp", "parts", "fsdp")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "batch_size=31 cannot be shared by 2 processes" in done.stdout
    # accumulated parts have batch statistics of their own: one process must have the same parts
    for name in ("ddp", "parts", "fsdp"):
        alone = recipe.replace(accumulate=2) if name == "parts" else recipe
        one = train(tiny(attention="se"), alone, tmp_path / f"one-{name}", progress=False)
        two = read_json(tmp_path / name / "result.json")
        assert two["test_images"] == 47
        for mine, theirs in zip(one.history, two["history"], strict=True):
            assert theirs["train_loss"] == pytest.approx(mine["train_loss"], rel=1e-4)
            assert theirs["test_loss"] == pytest.approx(mine["test_loss"], rel=1e-3)
        assert two["top1"] == pytest.approx(one.top1, abs=100 / 47 + 1e-3)
        mine, theirs = weights(tmp_path / f"one-{name}"), weights(tmp_path / name)
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            torch.testing.assert_close(theirs[key], value, rtol=1e-2, atol=2e-4)


def test_fsdp_needs_processes() -> None:
    with pytest.raises(ValueError, match="sharding='fsdp' shards over several processes"):
        train(tiny(), short(sharding="fsdp"), progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_two_processes_resume(tmp_path: Path, sharding: str) -> None:
    recipe = short(epochs=3, ema=0.9, device="cpu", sharding=sharding, optimizer="adamw", lr=1e-3)
    for name in ("whole", "stopped"):
        recipe.save(tmp_path / f"{name}.yaml")
    whole = _two(tmp_path, "whole")
    assert whole.returncode == 0, whole.stderr[-3000:]
    assert _two(tmp_path, "stopped", code=STOPPED + CODE).returncode != 0
    assert len(torch.load(tmp_path / "stopped" / "checkpoint.pt")["history"]) == 1
    done = _two(tmp_path, "stopped")
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (read_json(tmp_path / name / "result.json") for name in ("whole", "stopped"))
    for mine, theirs in zip(one["history"], two["history"], strict=True):
        assert theirs["test_loss"] == pytest.approx(mine["test_loss"], rel=1e-5)
    theirs = weights(tmp_path / "stopped")
    for key, value in weights(tmp_path / "whole").items():
        torch.testing.assert_close(theirs[key], value, rtol=1e-4, atol=1e-6)


TRIAL = """
import sys
from tests.training_runs import short, tiny
from resnet_variants.comparison import Trial, run_trial
recipe = short(epochs=1, warmup_epochs=0, device="cpu")
trial = Trial(networks={"net": tiny()}, recipe=recipe, vary={"attention": GATES}, seeds=(0,))
report = run_trial(trial, sys.argv[1] + "/out", progress=False)
assert len(report.rows) == COUNT, report.rows
"""


@pytest.mark.slow
@pytest.mark.parametrize("runs", [1, 2])
def test_a_trial_in_two_processes(tmp_path: Path, runs: int) -> None:
    """Again and again: a race of the processes shows only sometimes."""
    gates = ["none", "eca"][:runs]
    for turn in range(4):
        code = TRIAL.replace("GATES", repr(gates)).replace("COUNT", str(runs))
        folder = tmp_path / str(turn)
        folder.mkdir()
        done = _two(folder, code=code)
        assert done.returncode == 0, done.stderr[-3000:]
