"""Two processes (gloo) give what one gives, up to the order of sums: DDP and FSDP."""

from __future__ import annotations

import socket
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


EQUAL = {
    "parts": {"accumulate": 2, "corruptions": ("contrast:3",)},
    "ddp": {},
    "fsdp": {"sharding": "fsdp"},
}


@pytest.mark.parametrize(
    "name", ["parts", *(pytest.param(each, marks=pytest.mark.slow) for each in ("ddp", "fsdp"))]
)
def test_two_processes_equal_one(name: str, tmp_path: Path) -> None:
    # 47 test images: the last batch is not the same on both; 0.05 keeps the error from growing
    recipe = short(lr=0.05, test_images=47, ema=0.9, clip_norm=1.0, device="cpu")
    recipe.replace(**EQUAL[name]).save(tmp_path / f"{name}.yaml")
    done = _two(tmp_path, name)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "batch_size=31 cannot be shared by 2 processes" in done.stdout
    # accumulated parts have batch statistics of their own: one process must have the same parts
    alone = recipe.replace(accumulate=2) if name == "parts" else recipe
    one = train(tiny(attention="se"), alone, tmp_path / "one", progress=False)
    two = read_json(tmp_path / name / "result.json")
    assert two["test_images"] == 47
    for mine, theirs in zip(one.history, two["history"], strict=True):
        assert theirs["train_loss"] == pytest.approx(mine["train_loss"], rel=1e-4)
        assert theirs["test_loss"] == pytest.approx(mine["test_loss"], rel=1e-3)
    assert two["top1"] == pytest.approx(one.top1, abs=100 / 47 + 1e-3)
    own, shared = weights(tmp_path / "one"), weights(tmp_path / name)
    assert own.keys() == shared.keys()
    for key, value in own.items():
        torch.testing.assert_close(shared[key], value, rtol=1e-2, atol=2e-4)


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


# Node 1 dies once there is a checkpoint: one of its processes, or all of it with torchrun.
DIES = """
import os, signal, sys
from pathlib import Path
import torch
from tests.training_runs import tiny
from resnet_variants.training import Recipe, train
from resnet_variants.training.trainer import Trainer
torch.set_num_threads(1)
folder, whole = Path(sys.argv[1]), sys.argv[2] == "machine"
save, steps = Trainer.save, Trainer.steps
def dies(self):
    save(self)
    if self.folder is not None:
        self.folder.wait()
    self.accelerator.wait_for_everyone()
    if os.environ["NODE"] == "1" and not (folder / "died").exists():
        (folder / "died").touch()
        if whole:
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
def told(self, *args):
    world = self.accelerator.num_processes
    print(f"node {os.environ['NODE']}: {world} processes from step {self.step}", flush=True)
    return steps(self, *args)
Trainer.save, Trainer.steps = dies, told
train(tiny(), Recipe.load(folder / "recipe.yaml"), folder / "run", progress=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("dead", ["process", "machine"])
def test_what_dies_on_one_of_two_machines_is_made_up_for(dead: str, tmp_path: Path) -> None:
    """Two torchrun on one machine stand for two machines: a process that is killed is started
    again with all others; without a whole machine the other goes on alone (``--nnodes 1:2``)."""
    recipe = short(
        lr=0.05, epochs=3, data="fake", image_size=32, train_images=64, test_images=20,
        batch_size=32, device="cpu",
    )  # fmt: skip
    recipe.save(tmp_path / "recipe.yaml")
    (tmp_path / "script.py").write_text(DIES)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    quickly = "keep_alive_interval=1,keep_alive_max_attempt=3,last_call_timeout=2"
    agents = [
        subprocess.Popen(
            [
                sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=1",
                f"--nnodes={'1:2' if dead == 'machine' else '2'}", "--max-restarts=5",
                "--monitor-interval=0.2", "--rdzv-backend=c10d", "--rdzv-id=test",
                f"--rdzv-endpoint=localhost:{port}", f"--rdzv-conf=is_host={1 - node},{quickly}",
                str(tmp_path / "script.py"), str(tmp_path), dead,
            ],
            env=environment(NODE=str(node)), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for node in (0, 1)
    ]  # fmt: skip
    try:
        said = [agent.communicate(timeout=300)[0] for agent in agents]
    finally:
        for agent in agents:
            agent.terminate()  # and it its processes
    assert (tmp_path / "died").exists(), said
    assert [agent.returncode for agent in agents] == [0, -9 if dead == "machine" else 0], said
    starts = [line for line in said[0].splitlines() if line.startswith("node 0")]
    left = 1 if dead == "machine" else 2
    assert starts == ["node 0: 2 processes from step 0", f"node 0: {left} processes from step 2"]
    alone = train(tiny(), recipe, progress=False)
    history = read_json(tmp_path / "run" / "result.json")["history"]
    assert len(history) == 3
    for mine, theirs in zip(alone.history, history, strict=True):
        assert theirs["train_loss"] == pytest.approx(mine["train_loss"], rel=1e-3)
