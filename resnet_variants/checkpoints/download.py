"""Published files: from a local directory, from the cache, or from their URL, checked."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .catalogue import Weights
from .errors import HashError, WeightsUnavailableError
from .files import atomic

LOCAL_DIR = "RESNET_VARIANTS_WEIGHTS"  # a directory with files that were downloaded before
OFFLINE = "RESNET_VARIANTS_OFFLINE"  # any value but 0: never use the network
_TIMEOUT = 30.0  # seconds without an answer


def cache_dir() -> Path:
    """Where downloads are kept: PyTorch's folder of checkpoints, shared with torch.hub."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def fetch(weights: Weights, *, progress: bool = True) -> Path:
    """The file of published weights, downloaded if need be, its hash checked.

    Looked for in the directory that the environment variable RESNET_VARIANTS_WEIGHTS names, then
    in the cache, then at its URL unless RESNET_VARIANTS_OFFLINE is set. Two processes that ask
    at once download once; a download that breaks off leaves nothing behind. Raises
    ``WeightsUnavailableError``, which says which file to put where, and ``HashError``.
    """
    name = weights.filename
    folders = [Path(local).expanduser()] if (local := os.environ.get(LOCAL_DIR)) else []
    cache = cache_dir()
    for path in (folder / name for folder in [*folders, cache]):
        if path.is_file():
            _verify(path, weights, f"in {path.parent} is not the published file (delete it)")
            return path
    if os.environ.get(OFFLINE, "0") not in ("", "0"):
        raise WeightsUnavailableError(_where_to_put(weights, "the network is switched off", cache))
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / f".{name}.lock"):
            if not (cache / name).is_file():  # another process may have been faster
                with atomic(cache / name) as temporary:
                    _download(weights.url, temporary, name if progress else None)
                    _verify(temporary, weights, "arrived broken or was changed")
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise WeightsUnavailableError(
            _where_to_put(weights, f"the download failed ({reason})", cache)
        ) from error
    except PermissionError as error:
        raise WeightsUnavailableError(
            _where_to_put(weights, f"the cache {cache} cannot be written", cache)
        ) from error
    return cache / name


def _where_to_put(weights: Weights, why: str, cache: Path) -> str:
    digits = weights.hash.replace(":", " ") if weights.hash != "unknown" else "of unknown hash"
    return (
        f"{weights.name}: {why}. Put the file {weights.filename} ({digits}…), from {weights.url}, "
        f"into {cache}, or into a directory of your own named by the environment variable "
        f"{LOCAL_DIR}."
    )


def _verify(path: Path, weights: Weights, problem: str) -> None:
    kind, _, digits = weights.hash.partition(":")
    if not digits:
        return
    digest = hashlib.new(kind)
    for chunk in _chunks(path, zipped=weights.filename.endswith(".zip")):
        digest.update(chunk)
    found = digest.hexdigest()
    if not found.startswith(digits):
        raise HashError(
            f"{weights.filename} {problem}: its {kind} starts with {found[: len(digits)]}, "
            f"published is {digits}."
        )


def _chunks(path: Path, *, zipped: bool) -> Iterator[bytes]:
    """The bytes that were hashed: those inside of a zip archive around one file."""
    with contextlib.ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(path.open("rb"))
        if zipped and zipfile.is_zipfile(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            if len(names := archive.namelist()) == 1:
                file = stack.enter_context(archive.open(names[0]))
        while chunk := file.read(1 << 20):
            yield chunk


def _download(url: str, to: Path, label: str | None) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "resnet-variants"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer, to.open("wb") as file:
        total = int(answer.headers.get("Content-Length") or 0)
        done, shown = 0, 0.0
        while chunk := answer.read(1 << 20):
            file.write(chunk)
            done += len(chunk)
            if label and time.monotonic() - shown > 0.5:
                shown = time.monotonic()
                _show(label, done, total)
        if label:
            _show(label, done, total, end="\n")
    if total and done != total:
        raise ConnectionError(f"broke off after {done:,} of {total:,} bytes")


def _show(label: str, done: int, total: int, end: str = "") -> None:
    share = f"{100 * done / total:4.0f} %" if total else ""
    print(f"\r{label}: {done / 1e6:.1f} MB {share}", end=end, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time. The lock belongs to the open file, so it ends with its process."""
    try:
        with path.open("a") as file:
            if sys.platform == "win32":
                import msvcrt

                while True:  # msvcrt gives up after ten seconds
                    with contextlib.suppress(OSError):
                        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                        break
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
            yield  # closing the file unlocks it
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
