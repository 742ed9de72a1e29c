"""Images to train and test on: embedded, torchvision's, a folder, or any Dataset."""

from __future__ import annotations

import logging
import math
import zlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .augment import ShiftFlip, evaluation_transform, training_transform
from .images import EpochBatches, Images
from .recipe import Recipe
from .resident import ResidentImages
from .sources import balanced, find

_LOG = logging.getLogger(__name__)
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Data:
    """Training and test images, ready for a recipe."""

    train: Images
    test: Images
    classes: list[str]
    shape: tuple[int, int, int]
    """(C, H, W) of what the network sees"""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    workers: int
    flipped: int
    """training labels that the label noise changed"""
    stays: bool
    """whether images that fit stay decoded, on the CPU or a GPU"""
    _resident: dict[tuple[int, torch.device], ResidentImages] = field(
        default_factory=dict, init=False, repr=False
    )

    @property
    def num_classes(self) -> int:
        """How many classes the images have."""
        return len(self.classes)

    def loader(
        self,
        images: Images,
        batch: int,
        rank: int = 0,
        world: int = 1,
        *,
        seed: int | None = None,
        device: torch.device = _CPU,
    ) -> tuple[DataLoader[Any], EpochBatches]:
        """A loader, and the sampler that says which epoch it gives; shuffled with a seed.

        Images that fit the device, and whose augmentation works on batches, stay on it.
        """
        sampler = EpochBatches(len(images), batch, rank, world, seed)
        source = self._on(images, device)
        workers = 0 if source is not images else self.workers
        loader: DataLoader[Any] = DataLoader(
            source,
            batch_sampler=sampler,
            collate_fn=_as_fetched,
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=4 if workers else None,
            pin_memory=source is images and torch.cuda.is_available(),
        )
        return loader, sampler

    def _on(self, images: Images, device: torch.device) -> Images | ResidentImages:
        known = (id(images), device)
        if known in self._resident:
            return self._resident[known]
        size = len(images) * math.prod(self.shape)
        if not (images.settled and self.stays and size <= _room(device)):
            return images
        try:
            self._resident[known] = ResidentImages(images, device)
        except ValueError as error:
            _LOG.info("images are loaded batch by batch: %s", error)
            return images
        _LOG.info("%d images stay on %s, decoded once", len(images), device)
        return self._resident[known]


def _room(device: torch.device) -> float:
    """Bytes that decoded images may take on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / 4
    return math.inf  # a CPU's are counted when it is decided whether they stay


def _as_fetched(batch: Any) -> Any:
    return batch


def load_data(
    recipe: Recipe, train_set: Dataset[Any] | None = None, test_set: Dataset[Any] | None = None
) -> Data:
    """The images that a recipe asks for, or those of two Datasets of (image, label).

    Raises ValueError for data that are not there, or too few.
    """
    if (train_set is None) != (test_set is None):
        raise ValueError("train_set and test_set go together: give both or neither.")
    sources = find(recipe) if train_set is None else (train_set, test_set)
    parts, flipped = [], 0
    labels_of = [_labels(source) for source in sources]
    num_classes = max(max(labels, default=-1) for labels in labels_of) + 1
    wanted = (recipe.train_images, recipe.test_images)
    kinds = ("train", "test")
    for kind, source, labels, count in zip(kinds, sources, labels_of, wanted, strict=True):
        if count is not None and count > len(labels):
            raise ValueError(f"{kind}_images={count}, but there are {len(labels)} of them.")
        rows = list(range(len(labels))) if count is None else balanced(labels, count)
        labels = [labels[row] for row in rows]
        if kind == "train" and recipe.label_noise:
            labels, flipped = flip_labels(labels, num_classes, recipe.label_noise, recipe.seed)
        parts.append(Images(source, rows, labels, recipe))
    train, test = parts
    if len(train) < recipe.batch_size:
        raise ValueError(f"batch_size={recipe.batch_size} of only {len(train)} training images.")
    if not len(test):
        raise ValueError("There are no test images.")

    first = _readable(train, 1)[0]
    side = recipe.image_size
    shape = (len(first), side, side) if side else tuple(first.shape)
    cached = (len(train) + len(test)) * first.numel() <= recipe.cache_mb * 2**20
    workers = recipe.workers
    if workers is None:
        workers = 0 if cached else min(8, max(1, (torch.get_num_threads() or 1)))
    stays = cached and not workers
    if stays:
        train.cache, test.cache = {}, {}
    mean, std = recipe.mean, recipe.std
    if mean is None or std is None:
        mean, std = _statistics(train)
    for name, value in (("mean", mean), ("std", std)):
        if len(value) not in (1, len(first)):
            raise ValueError(f"{name}={value} for images of {len(first)} channels.")
    train.transform = training_transform(recipe, (shape[1], shape[2]))
    train.shift_flip = ShiftFlip(recipe.crop == "pad", recipe.flip)
    train.settled = (
        recipe.crop != "resized" and recipe.auto_augment == "none" and not recipe.random_erasing
    )
    test.transform, test.settled = evaluation_transform(recipe), True
    classes = getattr(sources[0], "classes", None)
    names = [str(each) for each in classes] if classes else [str(c) for c in range(num_classes)]
    return Data(train, test, names, shape, mean, std, workers, flipped, stays)  # type: ignore[arg-type]


def _labels(source: Any) -> list[int]:
    """All labels, without opening images where the data set lists them."""
    for name in ("targets", "labels", "_labels"):
        if (found := getattr(source, name, None)) is not None:
            return [int(each) for each in found]
    return [int(source[row][1]) for row in range(len(source))]


def flip_labels(
    labels: list[int], num_classes: int, share: float, seed: int
) -> tuple[list[int], int]:
    """Replace a share of labels, each by another class, all others equally likely.

    The label noise of Residual Attention Network (Wang et al., CVPR 2017, section 4.1): 1 - r
    of the labels are wrong. Returns the labels and how many were changed.
    """
    draw = torch.Generator().manual_seed(zlib.crc32(f"{seed}.labels".encode()))
    count = round(share * len(labels))
    chosen = torch.randperm(len(labels), generator=draw)[:count].tolist()
    shifts = torch.randint(1, max(num_classes, 2), (count,), generator=draw).tolist()
    noisy = list(labels)
    for row, shift in zip(chosen, shifts, strict=True):
        noisy[row] = (labels[row] + shift) % num_classes
    return noisy, count


def _readable(images: Images, count: int) -> list[Tensor]:
    """The first ``count`` images that can be read, as stored."""
    out: list[Tensor] = []
    why: Exception | None = None
    for position in range(len(images)):
        try:
            out.append(images.load(position))
        except ValueError as error:
            if images.strict:
                raise
            why = error
        if len(out) == count:
            break
    if not out:
        raise ValueError(f"None of {len(images)} training images can be read; the last: {why}")
    return out


def _statistics(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the channels over up to 1,000 images of all classes."""
    rows = balanced(images.labels, min(1000, len(images)))
    sample = Images(images.source, [images.rows[r] for r in rows], [], Recipe())
    sample.strict = images.strict
    values = torch.cat([_unit(each).flatten(1) for each in _readable(sample, len(rows))], dim=1)
    std = values.std(dim=1, correction=0).clamp(min=1e-3)
    return tuple(values.mean(dim=1).tolist()), tuple(std.tolist())


def _unit(image: Tensor) -> Tensor:
    return image.double() / 255 if image.dtype == torch.uint8 else image.double()
