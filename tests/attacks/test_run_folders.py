"""Folders of runs and trials in which something lies that no run wrote: refused in words, in the
name of the file, or the result is that without it; and no file elsewhere is touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_variants import load
from resnet_variants.checkpoints import CheckpointError
from resnet_variants.comparison import Report
from resnet_variants.training import Result, train
from resnet_variants.training.loop import RunBusy

from ..training_runs import equal, scores, start, tiny, weights
from .run_cases import RECIPE, made


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _train(folder: Path) -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return train(tiny(), RECIPE, folder, progress=False)


def _copy(stage: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made() / stage, tmp_path / "run"))


KINDS: dict[str, Callable[[Path], Any]] = {
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "link to nothing": lambda path: path.symlink_to("/nowhere/at/all"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to a file of mine": lambda path: path.symlink_to(path.parent.parent / "mine.txt"),
}
FILES = [("half", name) for name in ("run.json", "checkpoint.pt", ".lock", ".x.part")]
FILES += [
    ("whole", name)
    for name in ("run.json", "result.json", "model.safetensors", "predictions.safetensors")
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("stage", "name"), FILES)
@pytest.mark.timeout(300)
def test_what_is_no_file(stage: str, name: str, kind: str, tmp_path: Path) -> None:
    """Where a file of the run should be: nothing waits for it, fills the memory, writes there."""
    mine = tmp_path / "mine.txt"
    mine.write_text("dear diary")
    folder = _copy(stage, tmp_path)
    (folder / name).unlink(missing_ok=True)
    KINDS[kind](folder / name)
    try:
        result = _train(folder)
    except ValueError as error:
        assert name in str(error)
    else:
        assert equal(weights(folder), weights(made() / "whole"))
        assert scores(result) == scores(_train(made() / "whole"))
    assert mine.read_text() == "dear diary"


@pytest.mark.parametrize("name", ["model.safetensors", "result.json"])
def test_a_run_is_a_model_with_its_own_weights(name: str, tmp_path: Path) -> None:
    folder = _copy("whole", tmp_path)
    assert equal(dict(load(folder).state_dict()), weights(folder))
    shutil.copy(made() / "other-whole" / name, folder / name)
    with pytest.raises(CheckpointError, match="model.safetensors is damaged, or of another run"):
        load(folder)
    with pytest.raises(CheckpointError, match="of another run"):
        train(tiny(), RECIPE.replace(weights=str(folder)), label="x", progress=False)
    (folder / "result.json").write_text('{"files": [1]}')
    with pytest.raises(ValueError, match=r"result\.json is damaged: files is"):
        load(folder)


FAILED: dict[str, Any] = {"label": "x", "seed": 3, "why": "it broke"}
DAMAGED: list[tuple[str, Any]] = [
    *(("failed.json", each) for each in ([1], {}, FAILED | {"label": 3}, FAILED | {"seed": "x"})),
    *(("failed.json", FAILED | {"recipe": each}) for each in ([1], {"zz": 1}, {"epochs": "x"})),
    *(("trial.json", each) for each in ([1], {"labels": 3}, {"conditions": "x"})),
    *(("trial.json", each) for each in ({"conditions": [1]}, {"controls": [None]})),
    *(("result.json", each) for each in ([1], {}, None, "x")),
]


@pytest.mark.parametrize(("name", "content"), DAMAGED)
def test_reports_of_damaged_files(name: str, content: Any, tmp_path: Path) -> None:
    folder = _copy("whole", tmp_path)
    where = folder if name == "trial.json" else folder / "inside"
    where.mkdir(exist_ok=True)
    (where / name).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=name):
        Report.read([folder])


@pytest.mark.parametrize("change", [{"zz": 1}, {"epochs": "x"}], ids=str)
def test_recipes_of_another_version(change: dict[str, Any], tmp_path: Path) -> None:
    folder = _copy("whole", tmp_path)
    found = json.loads((folder / "result.json").read_text())
    found["recipe"] |= change
    del found["digest"]
    (folder / "result.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match=f"result.json.*{next(iter(change))}"):
        Report.read([folder])


RACE = """
import sys
import time
from pathlib import Path
from tests.attacks.run_cases import RECIPE
from tests.training_runs import tiny
from resnet_variants.training import train
import torch
torch.set_num_threads(1)
print("ready", flush=True)
while not Path(sys.argv[2]).exists():
    time.sleep(1e-4)
train(tiny(), RECIPE, sys.argv[1], progress=False)
"""


def test_three_processes_race_for_a_folder(tmp_path: Path) -> None:
    """One trains, whoever comes too late is told so or finds the result."""
    processes = [start(RACE, tmp_path / "run", tmp_path / "go") for _ in range(3)]
    for process in processes:
        assert process.stdout
        assert "ready\n" in process.stdout  # reads until there
    (tmp_path / "go").touch()
    ends = [(process.communicate(timeout=300)[0], process.returncode) for process in processes]
    assert any(code == 0 for _, code in ends)
    assert all(code == 0 or RunBusy.__name__ in said for said, code in ends)
    assert equal(weights(tmp_path / "run"), weights(made() / "whole"))


SMALL = """
import subprocess, sys
from pathlib import Path
folder, kilobytes = sys.argv[1:]
Path(folder).mkdir()
mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "small", folder])
if mounted.returncode:
    sys.exit("cannot mount")
from tests.attacks.run_cases import RECIPE
from tests.training_runs import tiny
from resnet_variants.training import train
try:
    train(tiny(), RECIPE, f"{folder}/run", progress=False)
    print("trained")
except Exception as error:
    print(f"{type(error).__name__}: {error}")
left = [path.name for path in Path(folder).glob("run/.*.part")]
subprocess.run(["mount", "-o", "remount,size=9m", folder], check=True)
result = train(tiny(), RECIPE, f"{folder}/run", progress=False)
print("then", result.top1, left)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a file system of its own size is Linux's")
@pytest.mark.parametrize(
    "kilobytes", [16, 80, *(pytest.param(size, marks=pytest.mark.slow) for size in (4, 40, 120))]
)
def test_a_disk_that_is_full(kilobytes: int, tmp_path: Path) -> None:
    """Wherever it is: told in the library's words, nothing half written, and with room the same
    command ends as if nothing had been."""
    inside = ["unshare", "--user", "--map-root-user", "--mount"]
    command = [*inside, sys.executable, "-c", SMALL, str(tmp_path / "disk"), str(kilobytes)]
    from ..training_runs import environment

    done = subprocess.run(command, env=environment(), text=True, capture_output=True, timeout=300)
    if "cannot mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip("no file system of one's own here")
    said, then = done.stdout.splitlines()[-2:]
    assert done.returncode == 0, done.stderr
    assert then == f"then {_train(made() / 'whole').top1} []"
    assert said == "trained" or "No space left on device" in said
    assert said == "trained" or said.startswith(
        ("OSError: The checkpoint", "ValueError: The output")
    )
