"""Images to train and test on: embedded, torchvision's, a folder, or any Dataset."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from .augment import ShiftFlip, evaluation_transform, training_transform
from .recipe import Recipe
from .sources import balanced, find

IGNORED = -1
"""label of what is no image: padding of the last batch, or a file that could not be read"""


@dataclass(frozen=True)
class Batch:
    """Images (N, C, H, W), labels (N,) and what could not be read."""

    images: Tensor
    labels: Tensor
    unreadable: list[str]

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, from which copies to a GPU overlap with work there."""
        return Batch(self.images.pin_memory(), self.labels.pin_memory(), self.unreadable)


class Images(Dataset[Batch]):
    """Images of a data set, fetched as whole batches by keys (epoch, position).

    Augmentation draws from generators seeded by key and recipe: what an image becomes depends
    on neither the loader's processes nor on what was drawn before. In training a file that
    cannot be read is left out of the batch; in a test its label is ``IGNORED``, as is padding's.
    """

    def __init__(self, source: Any, rows: list[int], labels: list[int], recipe: Recipe) -> None:
        self.source, self.rows, self.labels = source, rows, labels
        self.seed, self.strict = recipe.seed, recipe.on_corrupt_file == "raise"
        self.transform: Any = None
        """of one image; None: as it is"""
        self.shift_flip: ShiftFlip | None = None
        """of a batch; None: a test"""
        self.cache: dict[int, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def with_transform(self, transform: Any) -> Images:
        """The same images, otherwise transformed."""
        other = copy.copy(self)
        other.transform = transform
        return other

    def load(self, position: int) -> Tensor:
        """The image as it is stored. Raises ValueError that names the file."""
        if self.cache is not None and position in self.cache:
            return self.cache[position]
        from torchvision.transforms.v2 import functional as F

        row = self.rows[position]
        try:
            image = F.to_image(self.source[row][0]).as_subclass(Tensor)
        except Exception as error:
            raise ValueError(f"{self._name(row)}: {type(error).__name__}: {error}") from error
        if self.cache is not None:
            self.cache[position] = image
        return image

    def _name(self, row: int) -> str:
        files = getattr(self.source, "samples", None) or getattr(self.source, "_image_files", None)
        if files is None:
            return f"image {row}"
        return str(files[row][0] if isinstance(files[row], tuple) else files[row])

    def __getitems__(self, keys: list[tuple[int, int]]) -> Batch:
        images: list[Tensor | None] = []
        unreadable = []
        for epoch, position in keys:
            try:
                images.append(None if position == IGNORED else self._transformed(epoch, position))
            except ValueError as error:
                if self.strict:
                    raise
                unreadable.append(str(error))
                images.append(None)
        good = [i for i, image in enumerate(images) if image is not None]
        if self.shift_flip is None:
            blank = torch.zeros_like(next(filter(torch.is_tensor, images), torch.zeros(1, 1, 1)))
            full = [blank if image is None else image for image in images]
            labels = [self.labels[p] if i in good else IGNORED for i, (_, p) in enumerate(keys)]
            return Batch(_stack(full), torch.tensor(labels), unreadable)
        if not good:
            raise ValueError(f"No image of a batch of {len(keys)} can be read: {unreadable[0]}")
        stacked = _stack([images[i] for i in good])
        positions = torch.tensor([keys[i][1] for i in good])
        labels = [self.labels[keys[i][1]] for i in good]
        stacked = self.shift_flip(stacked, positions, keys[0][0], len(self), self.seed)
        return Batch(stacked, torch.tensor(labels), unreadable)

    def _transformed(self, epoch: int, position: int) -> Tensor:
        image = self.load(position)
        if self.transform is None:
            return image
        draws = torch.default_generator
        state = draws.get_state()
        draws.manual_seed(zlib.crc32(f"{self.seed}.{epoch}.{position}".encode()))
        try:
            return self.transform(image)
        finally:
            draws.set_state(state)


def _stack(images: list[Any]) -> Tensor:
    try:
        return torch.stack(images)
    except RuntimeError:
        shapes = sorted({tuple(each.shape) for each in images})
        raise RuntimeError(f"Images of several shapes, {shapes[:3]}: give image_size.") from None


def _as_fetched(batch: Any) -> Batch:
    return batch


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """Keys of this process's share of each batch of an epoch, from batch ``start`` on.

    Training shuffles by (seed, epoch) and leaves out the incomplete last batch; a test pads it,
    so that all processes take the same number of steps.
    """

    def __init__(self, count: int, batch: int, rank: int, world: int, seed: int | None) -> None:
        self.count, self.batch, self.seed = count, batch, seed
        self.rank, self.world = rank, world
        self.epoch, self.start = 0, 0
        self.stop: int | None = None

    def __len__(self) -> int:
        full, rest = divmod(self.count, self.batch)
        return full if self.seed is not None else full + bool(rest)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = list(range(self.count))
        if self.seed is not None:
            draw = torch.Generator().manual_seed(zlib.crc32(f"{self.seed}.{self.epoch}".encode()))
            order = torch.randperm(self.count, generator=draw).tolist()
        share = self.batch // self.world
        for i in range(self.start, len(self) if self.stop is None else self.stop):
            batch = order[i * self.batch : (i + 1) * self.batch]
            batch += [IGNORED] * (self.batch - len(batch))
            mine = batch[self.rank * share : (self.rank + 1) * share]
            yield [(self.epoch, position) for position in mine]


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

    @property
    def num_classes(self) -> int:
        """How many classes the images have."""
        return len(self.classes)

    def loader(
        self, images: Images, batch: int, rank: int = 0, world: int = 1, *, seed: int | None = None
    ) -> tuple[DataLoader[Any], EpochBatches]:
        """A loader, and the sampler that says which epoch it gives; shuffled with a seed."""
        sampler = EpochBatches(len(images), batch, rank, world, seed)
        loader: DataLoader[Any] = DataLoader(
            images,
            batch_sampler=sampler,
            collate_fn=_as_fetched,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            prefetch_factor=4 if self.workers else None,
            pin_memory=torch.cuda.is_available(),
        )
        return loader, sampler


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
    if cached and not workers:
        train.cache, test.cache = {}, {}
    mean, std = recipe.mean, recipe.std
    if mean is None or std is None:
        mean, std = _statistics(train)
    for name, value in (("mean", mean), ("std", std)):
        if len(value) not in (1, len(first)):
            raise ValueError(f"{name}={value} for images of {len(first)} channels.")
    train.transform = training_transform(recipe, (shape[1], shape[2]))
    train.shift_flip = ShiftFlip(recipe)
    test.transform = evaluation_transform(recipe)
    classes = getattr(sources[0], "classes", None)
    names = [str(each) for each in classes] if classes else [str(c) for c in range(num_classes)]
    return Data(train, test, names, shape, mean, std, workers, flipped)  # type: ignore[arg-type]


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
