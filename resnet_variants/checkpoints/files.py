"""Reading and writing files of weights, safely.

A file is recognised by its content, not by its name: safetensors, PyTorch's zip format, the old
pickle before it, and a zip archive around one of these. Nothing in a file is ever executed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pickle
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import BrokenFileError, CheckpointError, UnsafeFileError

# Under these names training frameworks keep the weights, beside an optimizer's state and such.
WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "module",
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
)


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file, on the CPU, by name."""

    tensors: dict[str, Tensor]
    path: Path | None = None
    format: str = "state dict"
    wrappers: tuple[str, ...] = ()
    """keys under which the tensors were nested"""
    others: tuple[str, ...] = ()
    """other sets of weights in the file, for instance an average of them"""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """text that safetensors files can carry"""


def read_checkpoint(path: str | os.PathLike[str], *, key: str | None = None) -> Checkpoint:
    """Read a file of weights: .safetensors, .pth, .pt, .bin, .th, .pyth, .pth.tar, zipped .pth.

    Large files are mapped into memory, not copied. ``key`` chooses among several sets of
    weights in the file (``"state_dict_ema"``). Raises FileNotFoundError, IsADirectoryError,
    ``BrokenFileError`` for what is no checkpoint and ``UnsafeFileError`` for a pickle that would
    run code.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        hint = _weight_files(path)
        raise IsADirectoryError(f"{path} is a directory, not a file of weights." + hint)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}." + _near_files(path))
    format = _recognise(path)
    if format == "safetensors":
        tensors, metadata = _read_safetensors(path)
        return Checkpoint(tensors, path, format, metadata=metadata)
    if format == "zip archive":
        return _read_archive(path, key)
    content = _read_pickle(path, mmap=format == "PyTorch zip")
    return _unwrap(content, Checkpoint({}, path, format), key)


def from_mapping(content: Mapping[str, Any], *, key: str | None = None) -> Checkpoint:
    """A state dict that is in memory already, wrapped or not."""
    return _unwrap(content, Checkpoint({}), key)


def _recognise(path: Path) -> str:
    size = path.stat().st_size
    if size == 0:
        raise BrokenFileError(f"{path} is empty: the download or copy did not finish.")
    with path.open("rb") as file:
        head = file.read(512)
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise BrokenFileError(
            f"{path} is a web page, not weights: the server answered with a page (a login, an "
            "error, a confirmation). Download the file itself again."
        )
    if text.startswith(b"version https://git-lfs"):
        raise BrokenFileError(
            f"{path} is a Git LFS pointer, not the file it points to: run 'git lfs pull'."
        )
    if head.startswith(b"PK"):
        if not zipfile.is_zipfile(path):
            raise BrokenFileError(f"{path} is cut off after {size:,} bytes: download it again.")
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        return "PyTorch zip" if any(n.endswith("/data.pkl") for n in names) else "zip archive"
    if len(head) > 8 and head[8:9] == b"{":
        header = int.from_bytes(head[:8], "little")
        if header + 8 > size:
            raise BrokenFileError(f"{path} is cut off after {size:,} bytes: download it again.")
        return "safetensors"
    if head.startswith(b"\x80"):
        return "PyTorch pickle"
    raise BrokenFileError(
        f"{path} starts with {head[:8]!r}: neither safetensors nor a PyTorch file. Weights of "
        "other frameworks (.caffemodel, .t7, .params, .h5) must be converted to named tensors."
    )


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise BrokenFileError(f"{path} is a broken safetensors file: {error}") from error


def _read_pickle(path: Path, *, mmap: bool) -> Any:
    try:
        with torch.serialization.safe_globals(_harmless()):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        # The same class for a file that would run code and for one that is broken.
        found = re.search(r"GLOBAL ([\w.]+)|Unsupported (?:operand|class) (\S+)", str(error))
        if found is None or "persistent_load" in str(error):
            raise BrokenFileError(f"{path} is a broken or cut off pickle: {error}") from error
        what = found[1] or found[2]
        raise UnsafeFileError(
            f"{path} was not read: its pickle calls {what}, and reading it would run that code. "
            "Ask for the weights as safetensors, or as a state dict of tensors alone. If you trust "
            "where it comes from, extract them yourself, in a process of its own: "
            f"torch.save(torch.load({path.name!r}, weights_only=False)['state_dict'], 'safe.pth')"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError) as error:
        raise BrokenFileError(
            f"{path} is a broken or cut off PyTorch file ({path.stat().st_size:,} bytes): "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error


def _harmless() -> list[Any]:
    """What training scripts often store beside the weights and that is only data."""
    try:
        import numpy as np
    except ImportError:
        return [argparse.Namespace]
    scalar = np.float64(0).__reduce__()[0]
    assert callable(scalar)
    return [
        argparse.Namespace,
        np.dtype,
        *{type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4", "?")},
        scalar,
        (scalar, "numpy.core.multiarray.scalar"),  # its name in older releases
    ]


def _read_archive(path: Path, key: str | None) -> Checkpoint:
    """A zip archive around a single file of weights."""
    with zipfile.ZipFile(path) as archive:
        inside = [info for info in archive.infolist() if not info.is_dir()]
        if len(inside) != 1:
            names = ", ".join(info.filename for info in inside[:5])
            raise BrokenFileError(
                f"{path} is an archive of {len(inside)} files ({names}), not of one: unpack it and "
                "name the file of weights."
            )
        with tempfile.TemporaryDirectory() as folder:
            unpacked = Path(folder) / "weights"
            try:
                with archive.open(inside[0]) as source, unpacked.open("wb") as target:
                    while chunk := source.read(1 << 20):
                        target.write(chunk)
            except zipfile.BadZipFile as error:
                raise BrokenFileError(f"{path} is a broken archive: {error}") from error
            found = read_checkpoint(unpacked, key=key)
            # The folder goes away; on some systems a mapped file would keep it there.
            tensors = {name: tensor.clone() for name, tensor in found.tensors.items()}
    return Checkpoint(
        tensors, path, f"zipped {found.format}", found.wrappers, found.others, found.metadata
    )


def _unwrap(content: Any, about: Checkpoint, key: str | None) -> Checkpoint:
    """See through the dictionaries that training frameworks put around the weights."""
    where = str(about.path) if about.path else "the state dict"
    wrappers: list[str] = []
    others: tuple[str, ...] = ()
    while True:
        if not isinstance(content, Mapping):
            raise BrokenFileError(
                f"{where} holds {_what(content)}"
                + (f" under {wrappers}" if wrappers else "")
                + ", not named tensors."
            )
        if key is None and any(isinstance(value, Tensor) for value in content.values()):
            break
        names = [name for name in WRAPPERS if _has_tensors(content.get(name))]
        if key is not None:
            if not _has_tensors(content.get(key)):
                raise CheckpointError(
                    f"{where} has no weights under {key!r}, but {names or list(content)[:9]}."
                )
            names, key = [key, *(name for name in names if name != key)], None
        if not names:
            raise BrokenFileError(
                f"{where} holds no tensors, only {sorted(map(str, content))[:9]}."
            )
        wrappers.append(names[0])
        others = others or tuple(names[1:])
        content = content[names[0]]
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    return Checkpoint(tensors, about.path, about.format, tuple(wrappers), others, about.metadata)


def _has_tensors(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return any(isinstance(each, Tensor) for each in value.values()) or any(
        _has_tensors(value.get(name)) for name in WRAPPERS
    )


def _what(content: Any) -> str:
    return (
        f"one tensor {tuple(content.shape)}"
        if isinstance(content, Tensor)
        else type(content).__name__
    )


_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".th", ".pyth", ".tar", ".zip")


def _weight_files(folder: Path) -> str:
    names = sorted(each.name for each in folder.iterdir() if each.suffix in _SUFFIXES)
    return f" Files in it: {', '.join(names[:5])}." if names else ""


def _near_files(path: Path) -> str:
    if not path.parent.is_dir():
        return f" There is no directory {path.parent} either."
    return _weight_files(path.parent)


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends without error,
    and is removed otherwise: nobody ever sees half a file."""
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's files are the user's alone
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
