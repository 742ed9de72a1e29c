"""Reading and writing files of weights, safely.

A file is recognised by its content, not by its name: safetensors, PyTorch's zip format, the old
pickle before it, and a zip archive around one of these. Nothing in a file is ever executed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ..storage import atomic
from .containers import directory, read_pickle, read_safetensors, read_zip
from .errors import BadTensorError, BrokenFileError, CheckpointError, UnsafeFileError
from .pickle_names import CodeError, MalformedError, Odd
from .report import first_few
from .wrappers import find_weights

NESTED = 2  # archives in one another
GROWTH = 50  # times its own size that an archive may unpack to, beyond
SMALL = 1 << 26  # bytes


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file, on the CPU, by name."""

    tensors: dict[str, Tensor]
    path: Path | None = None
    format: str = "state dict"
    wrappers: tuple[str, ...] = ()
    """keys under which the tensors were nested"""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """text that safetensors files can carry"""


def read_checkpoint(
    path: str | os.PathLike[str],
    *,
    key: str | None = None,
    check: Callable[[Checkpoint], None] = lambda _: None,
) -> Checkpoint:
    """Read a file of weights: .safetensors, .pth, .pt, .bin, .th, .pyth, .pth.tar, zipped .pth.

    The tensors have memory of their own: the file may be overwritten afterwards. ``key`` chooses
    among several sets of weights in the file (``"state_dict_ema"``). ``check`` is called with the
    names and shapes, as meta tensors, before any numbers are read. Raises FileNotFoundError,
    IsADirectoryError, ``BrokenFileError`` for what is no checkpoint, ``UnsafeFileError`` for a
    pickle that would run code and ``CheckpointError`` where several sets could be meant.
    """
    path = _regular(path)
    with reading(path), path.open("rb") as file:
        return _read(file, path, key, check, archives=0)


def from_mapping(content: Mapping[str, Any], *, key: str | None = None) -> Checkpoint:
    """A state dict that is in memory already, wrapped or not."""
    found = find_weights(content, "the state dict", key)
    return Checkpoint(found.tensors, wrappers=found.path)


def shown(path: str | os.PathLike[str]) -> str:
    """A path as text that can be printed, whatever its bytes are."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong inside becomes an error of this library that names the file."""
    name = shown(path)
    try:
        yield
    except (CheckpointError, PermissionError):
        raise
    except CodeError as error:
        raise UnsafeFileError(
            f"{name} was not read: its pickle calls {str(error)[:200]}, and what that would do is "
            "not known. Ask its author for the weights alone: as safetensors, or a state dict of "
            "tensors (torch.save(model.state_dict(), 'weights.pth'))."
        ) from error
    except Exception as error:
        why = str(error).splitlines()[0][:500] if str(error) else type(error).__name__
        raise BrokenFileError(f"{name} is broken, cut off or not of weights: {why}.") from error


def _regular(path: str | os.PathLike[str]) -> Path:
    """The path of an ordinary file, which has an end."""
    try:
        path = Path(path).expanduser()
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no file {shown(path)}." + _near_files(Path(path))
        ) from None
    except PermissionError:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # names that no file can have
        raise CheckpointError(
            f"{str(path)[:200]!r} is no path of a file: {str(error)[:200]}."
        ) from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(
            f"{shown(path)} is a directory, not a file of weights." + _weight_files(path)
        )
    if not stat.S_ISREG(mode):
        raise BrokenFileError(f"{shown(path)} is no ordinary file, but a device, pipe or socket.")
    return path


def _read(
    file: IO[bytes],
    path: Path,
    key: str | None,
    check: Callable[[Checkpoint], None],
    *,
    archives: int,
) -> Checkpoint:
    """The weights in an open file, or in the only file of an archive."""
    size = file.seek(0, os.SEEK_END)
    kind = _recognise(file, path, size)
    if kind == "zip":
        archive = directory(file)
        if any(name.endswith("/data.pkl") for name in archive.namelist()):
            contents = read_zip(archive, file, size)
        else:
            with _unpacked(archive, archives) as inside:
                return _read(inside, path, key, check, archives=archives + 1)
    elif kind == "safetensors":
        contents = read_safetensors(file, size)
    else:
        contents = read_pickle(file, size)
    weights = find_weights(contents.content, shown(path), key)
    if odd := {name: each.kind for name, each in weights.tensors.items() if isinstance(each, Odd)}:
        some = [f"{name} is {kind}" for name, kind in odd.items()]
        raise BadTensorError(
            f"{shown(path)} cannot be used, {len(odd)} of its tensors are no plain numbers: "
            f"{first_few(some)}."
        )
    shapes = {
        name: torch.empty(each.shape, dtype=each.dtype, device="meta")
        for name, each in weights.tensors.items()
    }
    kind = "zipped " * archives + contents.format
    found = Checkpoint(shapes, path, kind, weights.path, contents.metadata)
    check(found)
    return dataclasses.replace(found, tensors=contents.tensors(weights.tensors))


def _recognise(file: IO[bytes], path: Path, size: int) -> str:
    name = shown(path)
    if size == 0:
        raise BrokenFileError(f"{name} is empty: the download or copy did not finish.")
    file.seek(0)
    head = file.read(512)
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise BrokenFileError(
            f"{name} is a web page, not weights: the server answered with a page (a login, an "
            "error, a confirmation). Download the file itself again."
        )
    if text.startswith(b"version https://git-lfs"):
        raise BrokenFileError(
            f"{name} is a Git LFS pointer, not the file it points to: run 'git lfs pull'."
        )
    if head.startswith(b"PK"):
        return "zip"
    if len(head) > 8 and head[8:9] == b"{":
        if int.from_bytes(head[:8], "little") + 8 > size:
            raise BrokenFileError(f"{name} is cut off after {size:,} bytes: download it again.")
        return "safetensors"
    if head.startswith(b"\x80"):
        return "pickle"
    if head[257:262] == b"ustar":
        raise BrokenFileError(
            f"{name} is a tar archive, of PyTorch before 0.1.12 or of other files: unpack it, or "
            "have the network's state_dict saved again."
        )
    raise BrokenFileError(
        f"{name} starts with {head[:8]!r}: neither safetensors nor a PyTorch file. Weights of "
        "other frameworks (.caffemodel, .t7, .params, .h5) must be converted to named tensors."
    )


@contextlib.contextmanager
def _unpacked(archive: zipfile.ZipFile, archives: int) -> Iterator[IO[bytes]]:
    """The single file in an archive."""
    inside = [info for info in archive.infolist() if not info.is_dir()]
    if len(inside) != 1:
        names = ", ".join(info.filename[:80] for info in inside[:5])
        raise MalformedError(
            f"an archive of {len(inside)} files ({names}), not of one: unpack it and name the file "
            "of weights"
        )
    if archives >= NESTED:
        raise MalformedError("an archive in an archive in an archive: unpack it")
    (info,) = inside
    # Weights hardly shrink; what grows a hundredfold was made to fill a disk.
    if info.file_size > max(SMALL, GROWTH * info.compress_size):
        raise MalformedError(
            f"an archive of {info.compress_size:,} bytes that would unpack to {info.file_size:,}"
        )
    with tempfile.TemporaryFile() as unpacked:
        with archive.open(info) as source:
            shutil.copyfileobj(source, unpacked, 1 << 20)
        if unpacked.tell() != info.file_size:
            raise MalformedError("an archive whose file has another size than it says")
        yield unpacked


_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".th", ".pyth", ".tar", ".zip")


def _weight_files(folder: Path) -> str:
    names = sorted(each.name for each in folder.iterdir() if each.suffix in _SUFFIXES)
    return f" Files in it: {', '.join(names[:5])}." if names else ""


def _near_files(path: Path) -> str:
    if not path.parent.is_dir():
        return f" There is no directory {path.parent} either."
    return _weight_files(path.parent)


def write_checkpoint(
    tensors: Mapping[str, Tensor],
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write named tensors, all at once or not at all: safetensors for ``.safetensors``,
    PyTorch's format for ``.pth``, ``.pt``, ``.bin``. Metadata needs safetensors."""
    path = Path(path).expanduser()
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory: give the name of a file.")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write: Callable[[Path], object]
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        text = {
            name: v if isinstance(v, str) else json.dumps(v) for name, v in (metadata or {}).items()
        }
        write = lambda to: save_file(tensors, to, metadata={"format": "pt", **text})  # noqa: E731
    elif path.suffix in (".pth", ".pt", ".bin"):
        if metadata:
            raise ValueError(f"{path.name}: only .safetensors files carry metadata.")
        write = lambda to: torch.save(tensors, to)  # noqa: E731
    else:
        raise ValueError(
            f"{path.name}: the suffix {path.suffix!r} names no format; "
            "use .safetensors, .pth, .pt or .bin."
        )
    with atomic(path) as temporary:
        write(temporary)
    return path
