"""Files and folders that are never half written, and locks on them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .choices import quoted

NESTED = 20  # in a file of settings


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends without error,
    and is removed otherwise: a reader, or a machine after a power cut, finds the old or the new."""
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        part.touch()
    except OSError as error:  # of the user's file, not of the one beside it
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):
            raise error.__context__ from None  # torch.save's own says nothing of a full disk
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file by a function that takes it open, all at once or not at all."""
    with atomic(path) as part, open(part, "wb") as file:
        write(file)


def write_json(path: Path, values: Any) -> None:
    """Write JSON atomically."""
    text = json.dumps(values, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def plain_file(path: Path) -> Path:
    """The path of a file. Raises ValueError for what is none: a folder, a pipe that is waited for,
    a device without end."""
    if not path.is_file():
        raise ValueError(f"{path} is no file.")
    return path


def sha256(path: Path) -> str:
    """The checksum of a file."""
    with open(plain_file(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """Read JSON. Raises ValueError that names a file which is none, or over 1 GB."""
    if plain_file(path).stat().st_size > 10**9:
        raise ValueError(f"{path} has over 1 GB.")
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged, not JSON: {error}") from error


def once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """A dictionary of pairs. Raises ValueError for a name that is there twice."""
    found: dict[Any, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{quoted(name)} is there twice")
        found[name] = value
    return found


def read_fields(path: Path, **kinds: type) -> dict[str, Any]:
    """The JSON object in a file. Raises ValueError that names a file which holds something else,
    or has these fields of another kind."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged: it holds a {type(found).__name__}, not fields.")
    for name, kind in kinds.items():
        if name in found and not isinstance(found[name], kind):
            raise ValueError(f"{path} is damaged: {name} is {quoted(found[name])}.")
    return found


def read_yaml(path: Path) -> dict[Any, Any]:
    """The fields in a YAML file. Raises ValueError that names a file which holds something else, a
    field twice, an alias (ten of ten of ten ... are a page of text and fill the memory), brackets
    in brackets (which take a time that grows with their square), or over 64 kB."""
    import yaml

    if plain_file(path).stat().st_size > 1 << 16:
        raise ValueError(f"{path} has over 64 kB.")
    try:
        text = path.read_text(encoding="utf-8")
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):  # as far as it is taken, it reads
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"the alias *{event.anchor}: write the value itself")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > NESTED:
                raise ValueError(f"nested more than {NESTED} deep")
        loader = yaml.SafeLoader(text)
        tree = loader.get_single_node()
        found = None if tree is None else loader.construct_document(tree)
        if isinstance(tree, yaml.MappingNode):  # of names that are text: others have no hash
            once([(name.value, None) for name, _ in tree.value])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not YAML that is read here: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold fields (lr: 0.1), not {quoted(found)}.")
    return found


def make_folder(path: Path) -> Path:
    """A folder that can be written, or ValueError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as file:  # a name of its own: others may try, too
            file.write(b"1")
    except OSError as error:
        raise ValueError(f"The output folder {str(path)!r} cannot be written: {error}") from error
    return path


def check_place(folder: Path) -> None:
    """Refuse, before anything is computed for it, a folder that cannot be made or written; none is
    made."""
    place = folder.expanduser().absolute()
    there = next(each for each in (place, *place.parents) if os.path.lexists(each))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"The output folder {str(folder)!r} cannot be written.")


@contextlib.contextmanager
def several(path: Path) -> Iterator[Path]:
    """For writers of several files: ``path`` in a folder of its own. What lies there when the block
    ends without error takes its place beside ``path``; no other file there is touched. Raises
    IsADirectoryError, and ValueError for a folder that cannot be written."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory: give the name of a file.")
    parent = make_folder(path.parent)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=parent) as folder:
        yield Path(folder) / path.name
        for part in Path(folder).iterdir():
            os.replace(part, parent / part.name)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a folder against other processes; False when one holds it. Ends with the process:
    its loader processes, which may outlive it by seconds, do not inherit it."""
    try:
        import fcntl
    except ModuleNotFoundError:  # not a POSIX system
        yield True
        return

    lock = path / ".lock"
    with open(plain_file(lock) if os.path.lexists(lock) else lock, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        _HELD.add(file)
        try:
            yield True
        finally:
            _HELD.discard(file)


_HELD: set[Any] = set()


def _let_go() -> None:
    """In a forked process: close what the parent holds, which alone unlocks nothing."""
    for file in list(_HELD):
        file.close()
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
