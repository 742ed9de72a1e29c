"""What a run is: two runs with one identity compute the same numbers, up to the order of sums."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .listing import Listing

if TYPE_CHECKING:
    from .images import Images

FILES, OBJECTS = 4096, 64
"""of how many images the content counts, beside the names, sizes and labels of all"""


def images_digest(images: Images) -> str:
    """A digest of images and their labels: a folder may move, but not change.

    All labels count (those before any noise), all names and sizes of files, and the content of
    some thousand images that are spread evenly: of all, in a small set.
    """
    found = hashlib.sha256()
    found.update(np.asarray(images.clean, dtype=np.int64).tobytes())
    if isinstance(images.source, Listing):
        found.update(images.source.digest(images.rows).encode())
        for i in _spread(len(images), FILES):
            try:
                content = images.source.read(int(images.rows[i]))
            except OSError:
                content = b"unreadable"
            found.update(hashlib.sha256(content).digest())
        return found.hexdigest()
    names = [images.name(position) for position in range(len(images))]
    if names and os.path.exists(names[0]):
        root = os.path.commonpath([os.path.dirname(name) for name in names])
        for name in names:
            found.update(f"{os.path.relpath(name, root)}\0{_size(name)}\0".encode(errors="replace"))
        for i in _spread(len(names), FILES):
            found.update(_content(names[i]))
        return found.hexdigest()
    with _fixed_draws():  # the user's Dataset may augment
        for i in _spread(len(names), OBJECTS):
            try:
                image = images.load(i)
            except ValueError:
                continue  # reported when it is trained on
            found.update(f"{tuple(image.shape)}{image.dtype}".encode())
            found.update(image.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _spread(count: int, wanted: int) -> Sequence[int]:
    return range(count) if count <= wanted else [i * count // wanted for i in range(wanted)]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _content(path: str) -> bytes:
    try:
        return hashlib.sha256(Path(path).read_bytes()).digest()
    except OSError:
        return b"unreadable"


@contextmanager
def _fixed_draws() -> Any:
    """The global generators begin anew, and are left as they were."""
    old, old_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(old)
            np.random.set_state(old_numpy)  # noqa: NPY002


def state_digest(value: Any) -> str:
    """A digest of nested dictionaries, lists, numbers, texts and tensors."""
    found = hashlib.sha256()

    def add(each: Any) -> None:
        if isinstance(each, torch.Tensor):
            found.update(f"tensor {each.dtype} {tuple(each.shape)}".encode())
            flat = each.detach().cpu().contiguous().reshape(-1)
            found.update(flat.view(torch.uint8).numpy().data)
        elif isinstance(each, Mapping):
            found.update(f"mapping {len(each)}".encode())
            for key, inner in each.items():
                add(key)
                add(inner)
        elif isinstance(each, (list, tuple)):
            found.update(f"list {len(each)}".encode())
            for inner in each:
                add(inner)
        else:
            found.update(f"{type(each).__name__} {each!r}\n".encode(errors="backslashreplace"))

    add(value)
    return found.hexdigest()


def differences(old: Any, new: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """Where two nested dictionaries differ: name, old and new value."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            each
            for key in sorted({*old, *new})
            for each in differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
        ]
    return [] if old == new else [(name, old, new)]
