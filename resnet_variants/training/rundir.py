"""The folder of a run: what it is, its log, its checkpoint, its result. Nothing is half written."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import platform
import subprocess
import sys
import threading
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ..checkpoints.catalogue import Weights
from ..checkpoints.models import RUN_RESULT, RUN_WEIGHTS, described
from ..config import config_from_dict
from ..storage import (
    make_folder,
    plain_file,
    read_fields,
    read_json,
    sha256,
    write_atomically,
    write_json,
)
from .identity import differences, state_digest
from .recipe import Recipe
from .snapshot import Snapshots

BEST = "best.safetensors"
RUN, LOG, CHECKPOINT, RESULT, WEIGHTS, PREDICTIONS, FAILED = (
    "run.json",
    "log.csv",
    "checkpoint.pt",
    RUN_RESULT,
    RUN_WEIGHTS,
    "predictions.safetensors",
    "failed.json",
)


class RunFolder:
    """Where a run keeps what must survive it. Every file says of which run it is, or is named
    with its checksum in one that does; what is missing, foreign or damaged is told, and what is
    still whole is taken up again.
    """

    def __init__(self, path: str | Path, what: Mapping[str, Any]) -> None:
        """Open or begin the folder of the run that ``what`` identifies.

        Raises ValueError if it cannot be written or holds another run.
        """
        self.path = make_folder(Path(path))
        self._saving: threading.Thread | None = None
        self._failed: BaseException | None = None
        self._snapshots = Snapshots()
        self.what = json.loads(json.dumps(what))
        if (self.path / RUN).exists():
            self._check_same(_part(self.path / RUN, read_json(self.path / RUN), "what"))
        else:
            self.load()  # a checkpoint without run.json says itself of which run it is
            self.result()
        for left in self.path.glob(".*.part"):  # by a process that was killed while it wrote
            if left.is_symlink() or left.is_file():
                left.unlink(missing_ok=True)
        if not (self.path / RUN).exists():
            write_json(self.path / RUN, {"what": self.what, "environment": environment()})

    def _check_same(self, old: Any) -> None:
        try:  # a recipe of an earlier version has not all fields: they had what is the default now
            old = {**old, "recipe": Recipe.from_dict(old["recipe"]).identity()}
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path / RUN} does not say which run this is ({error}): delete it, and what "
                "the checkpoint says of it decides."
            ) from error
        if "data" not in old:  # an earlier version did not look at the images
            old["data"] = self.what.get("data")
        found = differences(old, json.loads(json.dumps(self.what)))
        changed = [f"{name} was {was!r}, is {now!r}" for name, was, now in found]
        if changed:
            raise ValueError(
                f"{str(self.path)!r} holds another run: {'; '.join(changed[:5])}. "
                "Give another folder, or delete this one."
            )

    def result(self) -> dict[str, Any] | None:
        """The result of a finished run.

        Raises ValueError where it, or the weights that belong to it, are damaged or of another
        run. Without the weights the run is not finished: it is said, and begins anew.
        """
        found = read_result(self.path)
        if found is None:
            return None
        if "run" in found:
            self._check_same(found["run"])
        for name, digest in found.get("files", {WEIGHTS: None}).items():
            path = self.path / name
            if not path.exists():
                warnings.warn(f"{path} is missing: the run is done again.", stacklevel=2)
                (self.path / RESULT).unlink()
                return None
            if digest is not None and sha256(path) != digest:
                raise ValueError(
                    f"{path} is damaged, or of another run: delete it, and the run is done again."
                )
        if not (self.path / LOG).exists():
            write_log(self.path / LOG, found["history"])
        return found

    def load(self) -> dict[str, Any] | None:
        """The last complete checkpoint. Raises ValueError if it is damaged, or of another run."""
        path = self.path / CHECKPOINT
        if not path.exists():
            return None
        hint = "delete it, and the run starts anew."
        plain_file(path)
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ValueError(f"{path} is damaged ({type(error).__name__}): {hint}") from error
        if not isinstance(state, dict) or not {"step", "network", "optimizer"} <= state.keys():
            raise ValueError(f"{path} is no checkpoint of a run: {hint}")
        run, digest = state.pop("run", None), state.pop("digest", None)
        if run is None and digest is None:  # of an earlier version
            if not (self.path / RUN).exists():
                raise ValueError(f"{path} does not say of which run it is: {hint}")
            return state
        if state_digest([run, state]) != digest:
            raise ValueError(f"{path} is damaged (its checksum is another): {hint}")
        self._check_same(run)
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Begin to copy the state, and write it in the background; the last one is complete before.

        Raises OSError if the last one could not be written; what was there before stays.
        """
        self.wait()
        copied = self._snapshots.take(state)

        def write() -> None:
            try:
                snapshot = copied()
                digest = state_digest([self.what, snapshot])
                whole = {**snapshot, "run": self.what, "digest": digest}
                write_atomically(self.path / CHECKPOINT, lambda f: torch.save(whole, f))
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

    def keep(
        self, name: str, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
    ) -> None:
        """Write weights, with what they say of themselves, to a file in the folder."""
        import safetensors.torch

        plain = {key: each.detach().cpu().contiguous() for key, each in weights.items()}
        data = safetensors.torch.save(plain, dict(metadata))
        write_atomically(self.path / name, partial(_write, data))

    def finish(
        self,
        result: Mapping[str, Any],
        weights: Mapping[str, torch.Tensor],
        predictions: Mapping[str, torch.Tensor],
        known: Weights,
    ) -> None:
        """Write weights, predictions and the result; the checkpoint is no longer needed."""
        import safetensors.torch

        self.wait()
        metadata = described(config_from_dict(result["config"]), known)
        contents = {
            WEIGHTS: safetensors.torch.save(
                {k: v.detach().cpu().contiguous() for k, v in weights.items()}, metadata
            ),
            PREDICTIONS: safetensors.torch.save(dict(predictions)),
        }
        for name, data in contents.items():
            write_atomically(self.path / name, partial(_write, data))
        write_log(self.path / LOG, result["history"])
        files = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
        whole = json.loads(json.dumps({**result, "run": self.what, "files": files}))
        write_json(self.path / RESULT, {**whole, "digest": state_digest(whole)})
        for name in (CHECKPOINT, FAILED):
            (self.path / name).unlink(missing_ok=True)


def read_result(folder: Path) -> dict[str, Any] | None:
    """What ``result.json`` in a run's folder holds, or None without it.

    Raises ValueError if it is damaged: its own checksum is another.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    found = read_fields(path, files=dict, run=dict)
    if (digest := found.pop("digest", None)) is not None and state_digest(found) != digest:
        raise ValueError(f"{path} is damaged (its checksum is another): {_ANEW}")
    _part(path, found, "config", "recipe", "history", "shape")
    return found


def read_failure(folder: Path) -> dict[str, Any]:
    """What ``failed.json`` in a run's folder holds. Raises ValueError if it is damaged."""
    path = folder / FAILED
    kinds = {"label": str, "seed": int, "why": str, "recipe": dict, "data": dict}
    found = read_fields(path, **kinds, conditions=dict)
    _part(path, found, "label", "seed", "why")
    return found


def read_predictions(folder: Path, result: Mapping[str, Any]) -> dict[str, torch.Tensor] | None:
    """``label`` and ``predicted`` of each test image of a finished run, if they were kept.

    Raises ValueError if they are damaged.
    """
    import safetensors.torch

    path, digest = folder / PREDICTIONS, result.get("files", {}).get(PREDICTIONS)
    if digest is None or not path.exists():
        return None
    data = plain_file(path).read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError(f"{path} is damaged, or of another run: {_ANEW}")
    return safetensors.torch.load(data)


_ANEW = "delete it, and the run is done again."


def _part(path: Path, values: Any, *names: str) -> Any:
    """The one named part of what a JSON file holds, or all of it if several or none are named."""
    if not isinstance(values, dict) or any(name not in values for name in names):
        raise ValueError(f"{path} is damaged, it has no {' and '.join(names) or 'fields'}: {_ANEW}")
    return values[names[0]] if len(names) == 1 else values


def _write(data: bytes, file: BinaryIO) -> None:
    file.write(data)


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
