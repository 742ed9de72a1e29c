"""Images in folders and in archives, listed in arrays.

A list of Python strings is copied into every loader process, page by page, as its entries are
looked at; arrays are not. So a worker stays small however many images there are.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.data import Dataset

from ..photographs import SUFFIXES, image_files, read_image

Rows = npt.NDArray[np.int64]


class Listing(Dataset[tuple[Tensor, int]]):
    """Images in files, or in parts of files: a Dataset of (bytes (3, H, W), label).

    ``part`` gives a Dataset of some of them, which shares the list.
    """

    def __init__(
        self,
        classes: Sequence[str],
        files: Iterable[str],
        labels: Rows,
        where: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """``files`` are the paths of the images; with ``where`` (N, 3), which says in which of
        them each image lies, from which byte on and how many, they need not be as many."""
        encoded = [os.fsencode(each) for each in files]
        self.classes = list(classes)
        self._text = np.frombuffer(b"".join(encoded) or b"\0", dtype=np.uint8)
        self._ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        self._where = where
        self.rows: Rows = np.arange(len(encoded) if where is None else len(where))
        self.targets = labels

    def part(self, rows: Sequence[int] | Rows) -> Self:
        """The images at ``rows`` alone."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.rows, other.targets = self.rows[rows], self.targets[rows]
        return other

    def __len__(self) -> int:
        return len(self.rows)

    def _file(self, number: int) -> bytes:
        return self._text[self._ends[number] : self._ends[number + 1]].tobytes()

    def path(self, row: int) -> str:
        """The file of an image; of one inside an archive with its place there."""
        at = self.rows[row]
        if self._where is None:
            return os.fsdecode(self._file(at))
        file, start, _ = self._where[at]
        return f"{os.fsdecode(self._file(file))}@{start}"

    def read(self, row: int) -> bytes:
        """The image as it is stored."""
        at = self.rows[row]
        if self._where is None:
            with open(self._file(at), "rb") as file:
                return file.read()
        number, start, count = self._where[at]
        with open(self._file(number), "rb") as file:
            file.seek(start)
            return file.read(count)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return read_image(self.read(row)), int(self.targets[row])

    def digest(self, rows: Sequence[int] | Rows) -> str:
        """A digest of names, relative to the folder of all, and sizes of the images at ``rows``."""
        found = hashlib.sha256()
        chosen = self.rows[rows]
        if self._where is not None:
            found.update(np.ascontiguousarray(self._where[chosen]).tobytes())
            return found.hexdigest()
        names = [self._file(at) for at in chosen]
        root = os.path.commonpath([os.path.dirname(name) for name in (names[0], names[-1])])
        start = len(root)
        sizes = np.fromiter((_size(name) for name in names), np.int64, len(names))
        found.update(b"\0".join(name[start:] for name in names))
        found.update(sizes.tobytes())
        return found.hexdigest()


def _size(path: bytes) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def folder_listing(path: Path) -> Listing:
    """The images in ``path/CLASS``, and in folders inside, in the order of their names.

    Hidden files and folders, and files that are no images, are left out with a note. Raises
    ValueError where a class has none, or there is none.
    """
    classes, strays = [], []
    files: list[str] = []
    counts = []
    for entry in sorted(os.scandir(path), key=lambda each: each.name):
        if entry.name.startswith(".") or not entry.is_dir():
            strays.append(entry.path)
            continue
        found, left = image_files(entry.path)
        strays += left
        if not found:
            raise ValueError(f"The class folder {entry.path!r} has no images ({_SHOWN}).")
        classes.append(entry.name)
        counts.append(len(found))
        files += found
    if not classes:
        raise ValueError(f"The folder {str(path)!r} has no folder of images for each class in it.")
    if strays:
        names = ", ".join(sorted({os.path.basename(each) for each in strays})[:4])
        warnings.warn(
            f"{path}: {len(strays)} hidden files or files that are no images are left out "
            f"({names}).",
            stacklevel=2,
        )
    return Listing(classes, files, np.repeat(np.arange(len(classes)), counts))


_SHOWN = " ".join(SUFFIXES)


def archive_listing(archives: Sequence[Path], classes: Sequence[str] | None) -> Listing:
    """The images of WebDataset archives: ``KEY.jpg`` (or another image) beside ``KEY.cls``, the
    number of its class. Only the headers are read; images stay where they are.

    Raises ValueError for an archive that cannot be read, or has none.
    """
    where, labels = [], []
    for number, archive in enumerate(archives):
        image: dict[str, tuple[int, int]] = {}
        label: dict[str, int] = {}
        try:
            with tarfile.open(archive, "r:") as file:
                for member in file:
                    key, suffix = _key(member.name)
                    if suffix.endswith(SUFFIXES):
                        image[key] = (member.offset_data, member.size)
                    elif suffix == ".cls":
                        text = file.extractfile(member)
                        label[key] = int(text.read()) if text else -1
        except (tarfile.TarError, OSError, ValueError) as error:
            raise ValueError(f"{archive} is no archive of a WebDataset: {error}") from error
        if image.keys() != label.keys():
            odd = sorted(image.keys() ^ label.keys())[0]
            raise ValueError(f"{archive}: {odd!r} has not both an image and a class (.cls).")
        where += [(number, *image[key]) for key in image]
        labels += [label[key] for key in image]
    if not where:
        raise ValueError(f"No images in {', '.join(map(str, archives[:3]))}.")
    names = classes or [str(each) for each in range(max(labels) + 1)]
    return Listing(names, map(str, archives), np.array(labels), np.array(where, dtype=np.int64))


def _key(name: str) -> tuple[str, str]:
    folder, _, file = name.rpartition("/")
    stem, dot, suffix = file.partition(".")
    return f"{folder}/{stem}", dot + suffix.lower()


class Columns(Dataset[tuple[Any, int]]):
    """A Hugging Face data set with a column of images and one of classes, as (image, label).

    Raises ValueError without such columns.
    """

    def __init__(self, source: Any) -> None:
        features = source.features
        kinds = {name: type(each).__name__ for name, each in features.items()}
        images = [name for name, kind in kinds.items() if kind == "Image"]
        labels = [name for name, kind in kinds.items() if kind == "ClassLabel"]
        if not images or not labels:
            raise ValueError(f"The data set needs columns of Image and ClassLabel, it has {kinds}.")
        self._image, self._label = images[0], labels[0]
        self.classes = list(features[self._label].names)
        self.targets = np.asarray(source[self._label])
        # bytes, not pictures of Pillow's: one way of reading for all sources
        stored = type(features[self._image])(decode=False)
        self._source = source.cast_column(self._image, stored)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        found = self._source[int(row)][self._image]
        return read_image(found["bytes"] or found["path"]), int(self.targets[row])


class Kept(Dataset[tuple[Any, int]]):
    """What an iterable data set gives, read once and kept as it comes: (image, label), or a
    dictionary with an image (``image``, ``img``, ``jpg``, ``png``) and a class (``label``,
    ``cls``). For what is too large for memory: archives or folders, which stay where they are.
    """

    def __init__(self, source: Iterable[Any]) -> None:
        self._images: list[Any] = []
        targets = []
        for each in source:
            image, label = _pair(each)
            self._images.append(image)
            targets.append(int(label))
        self.targets = np.array(targets, dtype=np.int64)
        if (classes := getattr(source, "classes", None)) is not None:
            self.classes = list(classes)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        image = self._images[row]
        return (read_image(image) if isinstance(image, bytes) else image), int(self.targets[row])


def _pair(each: Any) -> tuple[Any, Any]:
    if not isinstance(each, dict):
        return each[0], each[1]
    image = next((each[n] for n in ("image", "img", "jpg", "jpeg", "png") if n in each), None)
    label = next((each[n] for n in ("label", "labels", "cls") if n in each), None)
    if image is None or label is None:
        raise ValueError(f"An image has the fields {sorted(each)}: it needs image and label.")
    return image, label


def by_position(source: Any) -> Dataset[Any]:
    """A user's data set as one of (image, label) by position."""
    if hasattr(source, "features") and hasattr(source, "cast_column") and hasattr(source, "select"):
        return Columns(source)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        own: Dataset[Any] = source
        return own
    if hasattr(source, "__iter__"):
        return Kept(source)
    raise ValueError(f"train_set and test_set must be data sets, not {type(source).__name__}.")
