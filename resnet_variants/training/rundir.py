"""The folder of a run: what it is, its log, its checkpoint, its result. Nothing is half written."""

from __future__ import annotations

import contextlib
import copy
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch.utils._pytree import tree_map

from .recipe import Recipe

RUN, LOG, CHECKPOINT, RESULT, WEIGHTS = (
    "run.json",
    "log.csv",
    "checkpoint.pt",
    "result.json",
    "model.safetensors",
)


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file so that a reader, or a machine after a power cut, finds the old or the new."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with open(part, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: Path, values: Any) -> None:
    """Write JSON atomically."""
    text = json.dumps(values, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def read_json(path: Path) -> Any:
    """Read JSON. Raises ValueError that names a file which is none."""
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged, not JSON: {error}") from error


def make_folder(path: Path) -> Path:
    """A folder that can be written, or ValueError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as file:  # a name of its own: others may try, too
            file.write(b"1")
    except OSError as error:
        raise ValueError(f"The output folder {str(path)!r} cannot be written: {error}") from error
    return path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a folder against other processes; False when one holds it. Ends with the process."""
    if os.name != "posix":
        yield True
        return
    import fcntl

    with open(path / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


class RunFolder:
    """Where a run keeps what must survive it."""

    def __init__(self, path: str | Path, what: Mapping[str, Any]) -> None:
        """Open or begin the folder of the run that ``what`` identifies.

        Raises ValueError if it cannot be written or holds another run.
        """
        self.path = make_folder(Path(path))
        self._saving: threading.Thread | None = None
        self._failed: BaseException | None = None
        what = json.loads(json.dumps(what))
        if (self.path / RUN).exists():
            self._check_same(read_json(self.path / RUN)["what"], what)

        else:
            write_json(self.path / RUN, {"what": what, "environment": environment()})

    def _check_same(self, old: Any, new: Any) -> None:
        # a recipe of an earlier version has not all fields: they had what is the default now
        old["recipe"] = Recipe.from_dict(old["recipe"]).identity()
        found = _differences(old, json.loads(json.dumps(new)))
        changed = [f"{name} was {was!r}, is {now!r}" for name, was, now in found]
        if changed:
            raise ValueError(
                f"{str(self.path)!r} holds another run: {'; '.join(changed[:5])}. "
                "Give another folder, or delete this one."
            )

    @property
    def result(self) -> dict[str, Any] | None:
        """The result of a finished run."""
        path = self.path / RESULT
        return read_json(path) if path.exists() else None

    def load(self) -> dict[str, Any] | None:
        """The last complete checkpoint."""
        path = self.path / CHECKPOINT
        if not path.exists():
            return None
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ValueError(
                f"{path} is damaged ({type(error).__name__}): delete it, and the run starts anew."
            ) from error

    def save(self, state: dict[str, Any]) -> None:
        """Copy the state, then write it in the background; the last one is complete before.

        Raises OSError if the last one could not be written; what was there before stays.
        """
        self.wait()
        snapshot = tree_map(_copied, state)

        def write() -> None:
            try:
                write_atomically(self.path / CHECKPOINT, lambda f: torch.save(snapshot, f))
                write_log(self.path / LOG, snapshot["history"])
            except BaseException as error:
                self._failed = error

        self._saving = threading.Thread(target=write, name="checkpoint")
        self._saving.start()

    def wait(self) -> None:
        """Until what was saved is on the disk."""
        if self._saving is not None:
            self._saving.join()
            self._saving = None
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise OSError(
                f"The checkpoint {self.path / CHECKPOINT} could not be written: {failed}. The one "
                "before it is kept: make room and give the same command to go on."
            ) from failed

    def finish(self, result: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> None:
        """Write the weights and the result; the checkpoint is no longer needed."""
        import safetensors.torch

        self.wait()
        config = json.dumps(result["config"])
        data = safetensors.torch.save(
            {k: v.detach().cpu().contiguous() for k, v in weights.items()}, {"config": config}
        )
        write_atomically(self.path / WEIGHTS, lambda file: file.write(data))
        write_log(self.path / LOG, result["history"])
        write_json(self.path / RESULT, result)
        (self.path / CHECKPOINT).unlink(missing_ok=True)


def _copied(value: Any) -> Any:
    return value.detach().cpu().clone() if isinstance(value, torch.Tensor) else copy.copy(value)


def _differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            inner = f"{name}.{key}" if name else key
            yield from _differences(old.get(key), new.get(key), inner)
    elif old != new:
        yield name, old, new


def write_log(path: Path, history: list[dict[str, Any]]) -> None:
    """The curve of a run, a line an epoch, as CSV."""
    if not history:
        return

    def write(file: BinaryIO) -> None:
        import io

        text = io.TextIOWrapper(file, newline="")
        rows = csv.DictWriter(text, list(history[0]), lineterminator="\n")
        rows.writeheader()
        rows.writerows(history)
        text.flush()
        text.detach()

    write_atomically(path, write)


def environment() -> dict[str, Any]:
    """Versions, machine and the git state of the code."""
    from importlib.metadata import PackageNotFoundError, version

    from .. import __version__

    versions = {"resnet_variants": __version__}
    for name in ("torch", "torchvision", "accelerate", "torchmetrics", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    gpus = range(torch.cuda.device_count())
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in gpus],
        "versions": versions,
        "command": sys.argv,
        "git": git_state(Path(__file__).parent),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit, and whether tracked files differ from it; None outside a repository."""

    def git(*args: str) -> str:
        command = ["git", "-C", str(folder), *args]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "changed": bool(git("status", "--porcelain", "--untracked-files=no", ".")),
        }
    except (OSError, subprocess.SubprocessError):
        return None
