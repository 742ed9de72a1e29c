"""Images of a data set, fetched in whole batches by keys, and the order of their keys."""

from __future__ import annotations

import contextlib
import copy
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from .augment import ShiftFlip
from .listing import Listing, Rows
from .recipe import Recipe

IGNORED = -1
"""label of what is no image: padding of the last batch, or a file that could not be read"""


REPEAT = 1_000_003
"""what is added to the epoch in the key of an image that comes again in it"""


@dataclass(frozen=True)
class Batch:
    """Images (N, C, H, W), labels (N,), what could not be read, and draws of ``Mixing``."""

    images: Tensor
    labels: Tensor
    unreadable: list[str]
    mixing: Tensor | None = None

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, from which copies to a GPU overlap with work there."""
        mixing = None if self.mixing is None else self.mixing.pin_memory()
        return Batch(self.images.pin_memory(), self.labels.pin_memory(), self.unreadable, mixing)


class Images(Dataset[Batch]):
    """Images of a data set, fetched as whole batches by keys (epoch, position).

    Augmentation draws from generators seeded by key and recipe: what an image becomes depends
    on neither the loader's processes nor on what was drawn before. In training a file that
    cannot be read is left out of the batch; in a test its label is ``IGNORED``, as is padding's.
    """

    def __init__(self, source: Any, rows: Rows, labels: Rows, recipe: Recipe) -> None:
        self.source, self.rows, self.labels = source, rows, labels
        self.clean = labels
        """the labels before any noise"""
        self.seed, self.strict = recipe.seed, recipe.on_corrupt_file == "raise"
        self.transform: Any = None
        """of one image; None: as it is"""
        self.transform_in: Callable[[int], Any] | None = None
        """the transform of an epoch, where they differ"""
        self.settled = False
        """whether the transform makes the same of an image in every epoch"""
        self.shift_flip: ShiftFlip | None = None
        """of a batch; None: a test"""
        self.cache: dict[int, Tensor] | None = None
        self._drawn: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def for_seed(self, seed: int) -> Images:
        """The same images, augmented by another seed."""
        other = copy.copy(self)
        other.seed, other._drawn = seed, {}
        return other

    def with_transform(self, transform: Any) -> Images:
        """The same images, otherwise transformed."""
        other = copy.copy(self)
        other.transform, other.transform_in, other.settled = transform, None, False
        return other

    def load(self, position: int) -> Tensor:
        """The image as it is stored. Raises ValueError that names the file."""
        if self.cache is not None and position in self.cache:
            return self.cache[position]
        from torchvision.transforms.v2 import functional as F

        row = int(self.rows[position])
        try:
            image: Tensor = F.to_image(self.source[row][0]).as_subclass(Tensor)
        except Exception as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise ValueError(f"{self.name(position)}: {type(error).__name__}: {why}") from error
        if self.cache is not None:
            self.cache[position] = image
        return image

    def name(self, position: int) -> str:
        """The file of an image, where the data set lists its files."""
        row = int(self.rows[position])
        if isinstance(self.source, Listing):
            return self.source.path(row)
        files = getattr(self.source, "samples", None) or getattr(self.source, "_image_files", None)
        if files is None:
            return f"image {row}"
        return str(files[row][0] if isinstance(files[row], tuple) else files[row])

    def __getitems__(self, keys: list[tuple[int, int]]) -> Batch:
        images: list[Tensor | None] = []
        unreadable = []
        for epoch, position in keys:
            try:
                images.append(None if position == IGNORED else self.transformed(epoch, position))
            except ValueError as error:
                if self.strict:
                    raise
                unreadable.append(str(error))
                images.append(None)
        good = [i for i, image in enumerate(images) if image is not None]
        if self.shift_flip is None:
            blank = torch.zeros_like(images[good[0]] if good else self._any())  # type: ignore[arg-type]
            full = [blank if image is None else image for image in images]
            known = {*good}
            labels = [
                int(self.labels[p]) if i in known else IGNORED for i, (_, p) in enumerate(keys)
            ]
            return Batch(self._stack(full, keys), torch.tensor(labels), unreadable)
        if not good:
            raise ValueError(f"No image of a batch of {len(keys)} can be read: {unreadable[0]}")
        stacked = self._stack([images[i] for i in good], [keys[i] for i in good])
        positions = torch.tensor([keys[i][1] for i in good])
        labels = [int(self.labels[keys[i][1]]) for i in good]
        mixing = None
        if self.shift_flip:
            windows = self.shift_flip.windows(stacked)
            draws = self._shifts([keys[i][0] for i in good], positions)
            stacked = self.shift_flip.pick(windows, torch.arange(len(stacked)), draws)
            mixing = self.shift_flip.mixing(draws)
        return Batch(stacked, torch.tensor(labels), unreadable, mixing)

    def _stack(self, images: list[Any], keys: list[tuple[int, int]]) -> Tensor:
        try:
            return torch.stack(images)
        except RuntimeError:
            shapes = {
                tuple(image.shape): self.name(p) for image, (_, p) in zip(images, keys, strict=True)
            }
            shown = ", ".join(f"{shape} ({name})" for shape, name in list(shapes.items())[:3])
            raise ValueError(f"Images of several shapes, {shown}: give image_size.") from None

    def _any(self) -> Tensor:
        """Some image that can be read."""
        for position in range(len(self)):
            with contextlib.suppress(ValueError):
                return self.transformed(0, position)
        raise ValueError(f"None of {len(self)} images can be read.")

    def _shifts(self, epochs: list[int], positions: Tensor) -> Tensor:
        """The draws of images at ``positions``, each in its own epoch (repeated images differ)."""
        assert self.shift_flip is not None
        now = {each % REPEAT for each in epochs}
        self._drawn = {each: draws for each, draws in self._drawn.items() if each % REPEAT in now}
        for each in {*epochs} - {*self._drawn}:
            self._drawn[each] = self.shift_flip.draws(each, len(self), self.seed)
        if len({*epochs}) == 1:
            return self._drawn[epochs[0]][positions]
        pairs = zip(epochs, positions.tolist(), strict=True)
        return torch.stack([self._drawn[epoch][position] for epoch, position in pairs])

    def transformed(self, epoch: int, position: int) -> Tensor:
        """The image after its own transform, before what works on batches."""
        image = self.load(position)
        transform = self.transform
        if self.transform_in is not None:
            transform = self.transform_in(epoch % REPEAT)
        if transform is None:
            return image
        draws = torch.default_generator
        state = draws.get_state()
        draws.manual_seed(zlib.crc32(f"{self.seed}.{epoch}.{position}".encode()))
        try:
            transformed: Tensor = transform(image)
            return transformed
        finally:
            draws.set_state(state)


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """Keys of this process's share of each batch of an epoch, from batch ``start`` on.

    Training shuffles by (seed, epoch) and leaves out the incomplete last batch; a test pads it,
    so that all processes take the same number of steps.
    """

    def __init__(
        self, count: int, batch: int, rank: int, world: int, seed: int | None, repeats: int = 1
    ) -> None:
        self.count, self.batch, self.seed, self.repeats = count, batch, seed, repeats
        self.rank, self.world = rank, world
        self.epoch, self.start = 0, 0
        self.stop: int | None = None

    def __len__(self) -> int:
        full, rest = divmod(self.count, self.batch)
        return full if self.seed is not None else full + bool(rest)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = torch.arange(self.count)
        if self.seed is not None:
            draw = torch.Generator().manual_seed(zlib.crc32(f"{self.seed}.{self.epoch}".encode()))
            order = torch.randperm(self.count, generator=draw)
            order = order.repeat_interleave(self.repeats)[: self.count]
        share = self.batch // self.world
        for i in range(self.start, len(self) if self.stop is None else self.stop):
            batch = order[i * self.batch : (i + 1) * self.batch].tolist()
            batch += [IGNORED] * (self.batch - len(batch))
            turns = [(i * self.batch + k) % self.repeats for k in range(self.batch)]
            keys = [
                (self.epoch + turn * REPEAT, position)
                for turn, position in zip(turns, batch, strict=True)
            ]
            yield keys[self.rank * share : (self.rank + 1) * share]
