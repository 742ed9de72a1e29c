"""Nothing is lost: killed, out of disk, interrupted, a run goes on to the same result, bitwise."""

from __future__ import annotations

import io
import random
import resource
from pathlib import Path

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

from resnet_variants.storage import locked, read_json, write_atomically
from resnet_variants.training import Recipe, Result, train
from resnet_variants.training.identity import state_digest
from resnet_variants.training.loop import RunBusy
from resnet_variants.training.snapshot import Snapshots

from .training_runs import equal, kill, scores, short, start, tiny, weights

# everything that has a state or draws: dropout, drop path, mixing, averaging, saving within epochs
RECIPE = short(
    epochs=4, train_images=160, drop_rate=0.1, drop_path_rate=0.1, mixup=0.2, cutmix=1.0, ema=0.9,
    flip=True, random_erasing=0.2, accumulate=2, clip_norm=1.0, save_steps=1,
)  # fmt: skip

CODE = """
import sys, torch
from tests.training_runs import tiny
from resnet_variants.training import Recipe, train
torch.set_num_threads(1)
train(tiny(attention="se"), Recipe.load(sys.argv[1]), sys.argv[2])
"""


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _reference(tmp_path: Path, recipe: Recipe) -> Result:
    return train(tiny(attention="se"), recipe, tmp_path / "whole", progress=False)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    RECIPE.save(tmp_path / "recipe.yaml")
    whole = _reference(tmp_path, RECIPE)
    folder = tmp_path / "killed"
    draw = random.Random(0)
    killed = 0
    for _ in range(3):
        process = start(CODE, tmp_path / "recipe.yaml", folder)
        killed += kill(process, draw.uniform(0, 0.25), until=folder / "checkpoint.pt")
    assert killed >= 1, "the runs ended before they could be killed"
    assert not list(folder.glob("result.json"))
    resumed = train(tiny(attention="se"), RECIPE, folder, progress=False)
    assert scores(resumed) == scores(whole)
    assert equal(weights(folder), weights(tmp_path / "whole"))


@pytest.mark.parametrize(("seconds", "saves"), [(0, 3), (1e-9, 6), (1e9, 1)])
def test_saved_by_time(tmp_path: Path, monkeypatch, seconds: float, saves: int) -> None:
    """After each epoch, after each step, or at the end alone; what is trained is the same."""
    from resnet_variants.training.trainer import Trainer

    recipe = RECIPE.replace(epochs=3, train_images=128, batch_size=64, save_steps=0)
    whole = _reference(tmp_path, recipe)
    saved: list[int] = []
    save = Trainer.save
    monkeypatch.setattr(Trainer, "save", lambda self: (saved.append(self.step), save(self)))
    folder = tmp_path / "run"
    result = train(
        tiny(attention="se"), recipe.replace(save_seconds=seconds), folder, progress=False
    )
    assert len(saved) == saves and saved[-1] == 6
    assert scores(result) == scores(whole)
    assert equal(weights(folder), weights(tmp_path / "whole"))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "rmsprop"])
def test_stopped_at_every_step(tmp_path: Path, optimizer: str, monkeypatch) -> None:
    """Each process does one step and dies: the result is that of one which did them all."""
    from resnet_variants.training.trainer import Trainer

    recipe = RECIPE.replace(optimizer=optimizer, epochs=2, lr=0.01, corruptions=("gaussian_noise",))
    whole = _reference(tmp_path, recipe)
    folder = tmp_path / "stopped"
    one_step = Trainer._step
    steps = []

    def stopping(self, batches):
        if steps and steps[-1] != self.step:
            steps.clear()
            self.folder.wait()
            raise KeyboardInterrupt
        one_step(self, batches)
        steps.append(self.step)

    monkeypatch.setattr(Trainer, "_step", stopping)
    for _ in range(100):
        steps.clear()
        steps.append(-1)
        steps[:] = []
        try:
            resumed = train(tiny(attention="se"), recipe, folder, progress=False)
            break
        except KeyboardInterrupt:
            pass
    assert scores(resumed) == scores(whole)
    assert equal(weights(folder), weights(tmp_path / "whole"))


def test_finished_run_is_only_read(tmp_path: Path, monkeypatch) -> None:
    first = train(tiny(), short(), tmp_path / "run", progress=False)
    monkeypatch.setattr("resnet_variants.training.trainer.Trainer.steps", None)
    again = train(tiny(), short(), tmp_path / "run", progress=False)
    assert again == first


def test_full_disk(tmp_path: Path, monkeypatch) -> None:
    """The checkpoint that does not fit is reported, the one before it stays, the run goes on."""
    from resnet_variants.training.trainer import Trainer

    save = Trainer.save

    def stopping(self):
        save(self)
        self.folder.wait()
        raise KeyboardInterrupt

    whole = _reference(tmp_path, RECIPE)
    RECIPE.save(tmp_path / "recipe.yaml")
    folder = tmp_path / "full"
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(tiny(attention="se"), RECIPE, folder, progress=False)
    before = (folder / "checkpoint.pt").read_bytes()
    process = start(
        CODE, tmp_path / "recipe.yaml", folder,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )  # fmt: skip
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "could not be written" in output and "the same command" in output
    assert (folder / "checkpoint.pt").read_bytes() == before
    assert not list(folder.glob("*.part")) and not list(folder.glob(".*.part"))
    resumed = train(tiny(attention="se"), RECIPE, folder, progress=False)
    assert scores(resumed) == scores(whole)
    assert equal(weights(folder), weights(tmp_path / "whole"))


def test_atomic_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, lambda file: file.write(b"old"))

    def fails(file):
        file.write(b"ne")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_atomically(path, fails)
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_another_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    train(tiny(), short(), tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match=r"recipe\.lr was 0\.1, is 0\.2"):
        train(tiny(), short(lr=0.2), tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match=r"config\.attention was None, is 'se'"):
        train(tiny(attention="se"), short(), tmp_path / "run", label="resnet", progress=False)


def test_machine_fields_may_change(tmp_path: Path) -> None:
    first = train(tiny(), short(), tmp_path / "run", progress=False)
    again = train(tiny(), short(workers=1, save_steps=3), tmp_path / "run", progress=False)
    assert again == first


def test_damaged_files_are_named(tmp_path: Path) -> None:
    train(tiny(), short(), tmp_path / "run", progress=False)
    (tmp_path / "run" / "result.json").unlink()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"PK half a checkpoint")
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged"):
        train(tiny(), short(), tmp_path / "run", progress=False)
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        train(tiny(), short(), tmp_path / "run", progress=False)


def test_a_folder_has_one_process(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with locked(folder) as mine:
        assert mine
        with pytest.raises(RunBusy, match="Another process"):
            train(tiny(), short(), folder, progress=False)
    train(tiny(), short(), folder, progress=False)


def test_run_folder_says_what_it_is(tmp_path: Path) -> None:
    train(tiny(), short(), tmp_path / "run", progress=False)
    run = read_json(tmp_path / "run" / "run.json")
    assert run["what"]["recipe"]["lr"] == 0.1
    assert run["what"]["config"]["builder"] == "resnet"
    assert torch.__version__.startswith(run["environment"]["versions"]["torch"])
    assert {"python", "system", "cpus", "threads", "git", "command"} <= run["environment"].keys()
    log = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert log[0].startswith("epoch,step,lr,train_loss,top1") and len(log) == 3


def test_a_checkpoint_is_copied_when_it_is_asked_for() -> None:
    """Byte by byte the file of the state as it was, whatever the training does meanwhile."""
    draw = torch.Generator().manual_seed(0)
    state = {
        "step": 3, "history": [], "loss": torch.tensor(2.5), "network": {
            "a": torch.rand(4, 3, 3, 3, generator=draw).to(memory_format=torch.channels_last),
            "b": torch.rand(5, 4, generator=draw).T, "count": torch.tensor(7),
            "half": torch.rand(6, generator=draw).half(), "none": torch.empty(0),
        }, "optimizer": {"flags": [True, None]},
    }  # fmt: skip
    state["network"]["param"] = torch.nn.Parameter(torch.rand(3, generator=draw))
    wanted = tree_map(lambda v: v.detach().clone() if torch.is_tensor(v) else v, state)
    snapshots = Snapshots()
    for _ in range(2):  # the second time in the buffer that is there
        waits = snapshots.take(state)
        with torch.no_grad():
            changed = [v for v in tree_leaves(state) if torch.is_tensor(v)]
            before = [v.clone() for v in changed]
            for value in changed:
                value.zero_()
        copied = waits()
        for value, old in zip(changed, before, strict=True):
            with torch.no_grad():
                value.copy_(old)
        mine, theirs = io.BytesIO(), io.BytesIO()
        torch.save(copied, mine)
        torch.save(wanted, theirs)
        assert mine.getvalue() == theirs.getvalue()
        assert state_digest(copied) == state_digest(wanted)
