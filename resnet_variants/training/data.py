"""Images to train and test on: embedded, torchvision's, a folder, or any Dataset."""

from __future__ import annotations

import copy
import logging
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .augment import ShiftFlip, evaluation_transform, training_size, training_transform
from .batched import Batched
from .identity import images_digest, state_digest
from .images import Batch, EpochBatches, Images
from .listing import Rows, by_position
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
    val: Images | None = None
    """training images held out, tested in place of the test images while the network trains"""
    _resident: dict[tuple[int, torch.device], ResidentImages] = field(
        default_factory=dict, init=False, repr=False
    )
    """by what is kept decoded, which copies for other seeds share"""

    @cached_property
    def digests(self) -> dict[str, str]:
        """What the classes and the images are, as digests of their content."""
        parts = {"train": self.train, "val": self.val, "test": self.test}
        kept = {name: images for name, images in parts.items() if images is not None}
        found = {name: images_digest(images) for name, images in kept.items()}
        return {"classes": state_digest(self.classes), **found}

    def for_seed(self, seed: int) -> Data:
        """The same images in the order and augmentation of another seed; what is decoded is shared.
        (Noise in the labels is not redrawn.)"""
        other, train = copy.copy(self), self.train.for_seed(seed)
        object.__setattr__(other, "train", train)
        return other

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
        repeats: int = 1,
        device: torch.device = _CPU,
    ) -> tuple[DataLoader[Any], EpochBatches]:
        """A loader, and the sampler that says which epoch it gives; shuffled with a seed.

        Images that fit the device, and whose augmentation works on batches, stay on it.
        """
        sampler = EpochBatches(len(images), batch, rank, world, seed, repeats)
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
        known = (id(images.cache), device)
        if images.settled and known in self._resident:
            return self._resident[known].of(images)
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


def next_batch(batches: Iterator[Batch]) -> Batch:
    """The next batch of a loader. An error in a loader process is told in one line."""
    try:
        return next(batches)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ValueError(
            "A loader process ended from outside (killed, or out of memory): the same command goes "
            "on from the last checkpoint; fewer --workers need less memory."
        ) from error
    except ValueError as error:
        if "in DataLoader worker" not in str(error):
            raise
        raise ValueError(
            str(error).strip().splitlines()[-1].removeprefix("ValueError: ")
        ) from error


def load_data(
    recipe: Recipe, train_set: Dataset[Any] | None = None, test_set: Dataset[Any] | None = None
) -> Data:
    """The images that a recipe asks for, or those of two Datasets of (image, label).

    Raises ValueError for data that are not there, or too few.
    """
    if (train_set is None) != (test_set is None):
        raise ValueError("train_set and test_set go together: give both or neither.")
    sources = find(recipe) if train_set is None else (by_position(train_set), by_position(test_set))
    labels_of = [_labels(source) for source in sources]
    classes = getattr(sources[0], "classes", None)
    num_classes = _count_classes(labels_of, classes)
    all_rows = [np.arange(len(labels)) for labels in labels_of]
    held = _subset("val", all_rows[0], labels_of[0], recipe.val_images)
    rest = np.setdiff1d(all_rows[0], held, assume_unique=True)
    train_rows = _subset("train", rest, labels_of[0], recipe.train_images)
    test_rows = _subset("test", all_rows[1], labels_of[1], recipe.test_images)
    clean = labels_of[0][train_rows]
    labels, flipped = clean, 0
    if recipe.label_noise:
        labels, flipped = flip_labels(clean, num_classes, recipe.label_noise, recipe.seed)
    train = Images(sources[0], train_rows, labels, recipe)
    train.clean = clean
    val = Images(sources[0], held, labels_of[0][held], recipe) if len(held) else None
    test = Images(sources[1], test_rows, labels_of[1][test_rows], recipe)
    if len(train) < recipe.batch_size:
        raise ValueError(f"batch_size={recipe.batch_size} of only {len(train)} training images.")
    if not len(test):
        raise ValueError("There are no test images.")

    # of each its shape alone: photographs of a camera are 100 MB each
    sample = [_blank(image) for image in _readable(train, _spread(len(train), 16))]
    first = sample[0]
    side = recipe.image_size
    shapes = sorted({tuple(image.shape) for image in sample})
    if side is None and len(shapes) > 1:
        raise ValueError(f"Images of several shapes, {shapes[:3]}: give image_size.")
    shape = (len(first), side, side) if side else tuple(first.shape)
    each = sum(image.nbytes for image in sample) / len(sample)
    cached = (len(train) + len(held) + len(test)) * each <= recipe.cache_mb * 2**20
    drawn = recipe.auto_augment != "none" or recipe.random_erasing > 0
    batched = recipe.crop != "resized" and (recipe.augment == "batches" or not drawn)
    if recipe.augment == "batches" and recipe.auto_augment != "none" and first.dtype != torch.uint8:
        raise ValueError(
            f"augment='batches' has auto_augment={recipe.auto_augment!r} for images of bytes, and "
            f"these are {first.dtype}."
        )
    workers = recipe.workers
    if workers is None:
        few = batched or len(train) < _FEW_IMAGES
        workers = 0 if cached and few else _workers()
    stays = cached and not workers
    for images in (train, val, test):
        if stays and images is not None:
            images.cache = {}
    mean, std = recipe.mean, recipe.std
    if mean is None or std is None:
        # of the labels before the noise: neither noise nor seed changes what a network sees
        mean, std = _statistics(train, balanced(clean, min(1000, len(clean))))
    if recipe.weights is not None and len(first) != len(mean):  # gray images, weights of colours
        mean, std = ((sum(each) / len(each),) * len(first) for each in (mean, std))
    for name, value in (("mean", mean), ("std", std)):
        if len(value) not in (1, len(first)):
            raise ValueError(f"{name}={value} for images of {len(first)} channels.")
    sizes = {training_size(recipe, epoch, shape[1]) for epoch in range(math.ceil(recipe.epochs))}
    made = {
        size: training_transform(recipe, (size, size) if side else (shape[1], shape[2]), mean)
        for size in sizes
    }
    train.transform = made[max(made)]
    if len(made) > 1:
        train.transform_in = lambda epoch: made[training_size(recipe, epoch, shape[1])]
    train.shift_flip = ShiftFlip(recipe.crop == "pad", recipe.flip, Batched(recipe, mean))
    train.settled = batched and recipe.repeats == 1
    for images in (val, test):
        if images is not None:
            images.transform, images.settled = evaluation_transform(recipe), True
    names = [str(each) for each in classes] if classes else [str(c) for c in range(num_classes)]
    return Data(train, test, names, shape, mean, std, workers, flipped, stays, val)  # type: ignore[arg-type]


_FEW_IMAGES = 10_000
"""so many that fit into memory are transformed one by one sooner than processes start"""


def _workers() -> int:
    """Loader processes of each training process: the CPUs that there are, shared, at most 16."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(16, cpus // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def _subset(kind: str, rows: Rows, labels: Rows, count: int | None) -> Rows:
    """``count`` of ``rows``, as many of each class as there are; None: all of them."""
    if count is None:
        return rows
    if count > len(rows):
        raise ValueError(f"{kind}_images={count}, but there are {len(rows)} of them.")
    return rows[balanced(labels[rows], count)]


def _count_classes(labels_of: list[Rows], classes: Any) -> int:
    """How many classes there are. Raises ValueError for labels that cannot be theirs."""
    every = np.concatenate(labels_of)
    if not len(every):
        raise ValueError("There are no images.")
    low, high = int(every.min()), int(every.max())
    count = len(classes) if classes else high + 1
    if low < 0 or high >= count:
        wrong = low if low < 0 else high
        raise ValueError(f"An image has the label {wrong}, but labels count from 0 to {count - 1}.")
    if count > len(every):
        raise ValueError(
            f"The highest label is {count - 1}, and there are only {len(every)} images: labels "
            "must count the classes from 0."
        )
    return count


def _labels(source: Any) -> Rows:
    """All labels, without opening images where the data set lists them."""
    for name in ("targets", "labels", "_labels"):
        if (found := getattr(source, name, None)) is not None:
            return np.asarray([int(each) for each in found] if isinstance(found, list) else found)
    return np.array([int(source[row][1]) for row in range(len(source))], dtype=np.int64)


def flip_labels(labels: Rows, num_classes: int, share: float, seed: int) -> tuple[Rows, int]:
    """Replace a share of labels, each by another class, all others equally likely.

    The label noise of Residual Attention Network (Wang et al., CVPR 2017, section 4.1): 1 - r
    of the labels are wrong. Returns the labels and how many were changed.
    """
    draw = torch.Generator().manual_seed(zlib.crc32(f"{seed}.labels".encode()))
    count = round(share * len(labels))
    chosen = torch.randperm(len(labels), generator=draw)[:count].numpy()
    shifts = torch.randint(1, max(num_classes, 2), (count,), generator=draw).numpy()
    noisy = np.array(labels)
    noisy[chosen] = (noisy[chosen] + shifts) % num_classes
    return noisy, count


def _spread(count: int, wanted: int) -> list[int]:
    """Up to ``wanted`` of ``count`` positions, evenly spread."""
    return [i * count // wanted for i in range(wanted)] if count > wanted else list(range(count))


def _readable(images: Images, positions: Sequence[int]) -> Iterator[Tensor]:
    """Those of the images that can be read, as stored. Raises ValueError if none can."""
    why: Exception | None = None
    found = False
    for position in positions:
        try:
            image = images.load(position)
        except ValueError as error:
            if images.strict:
                raise
            why = error
            continue
        found = True
        yield image
    if not found:
        raise ValueError(f"None of {len(positions)} training images can be read; the last: {why}")


def _blank(image: Tensor) -> Tensor:
    return torch.empty_like(image, device="meta")


def _statistics(
    images: Images, positions: Sequence[int]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the channels, of sums: one image is in memory at a time, and
    of that a part as float64."""
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for image in _readable(images, positions):
        for part in image.flatten(1).split(_PIXELS, dim=1):
            values = _unit(part)
            count += values.shape[1]
            total = total + values.sum(dim=1)
            squares = squares + values.square().sum(dim=1)
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt().clamp(min=1e-3)
    return tuple(mean.tolist()), tuple(std.tolist())


_PIXELS = 2**20


def _unit(image: Tensor) -> Tensor:
    return image.double() / 255 if image.dtype == torch.uint8 else image.double()
