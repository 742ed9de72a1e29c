"""Transforms of single images and of batches, all of torchvision v2."""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import Tensor, nn

from .augmentations import make_augmentation
from .batched import Batched, Mixing
from .corruptions import corrupt
from .recipe import Recipe


def training_transform(recipe: Recipe, size: tuple[int, int], mean: tuple[float, ...]) -> Any:
    """uint8 or float image (C, H, W) to an augmented one of ``size``; ``mean`` is what is put
    where it is erased."""
    from torchvision.transforms import v2

    steps: list[Any] = []
    interpolation = v2.InterpolationMode(recipe.interpolation or "bilinear")
    if recipe.crop == "resized":
        steps.append(v2.RandomResizedCrop(size, interpolation=interpolation, antialias=True))
    elif recipe.image_size is not None:
        steps.append(v2.Resize(size, interpolation, antialias=True))
    if recipe.augment == "batches":
        return v2.Compose(steps) if steps else None
    if recipe.auto_augment != "none":
        steps.append(make_augmentation(recipe.auto_augment, size, mean))
    if recipe.random_erasing:
        steps.append(_Erase(recipe.random_erasing, mean))
    return v2.Compose(steps) if steps else None


class _Erase(nn.Module):
    """torchvision's random erasing, to the mean colour: zero after normalisation."""

    def __init__(self, probability: float, mean: tuple[float, ...]) -> None:
        super().__init__()
        from torchvision.transforms import v2

        self.of_bytes = v2.RandomErasing(probability, value=[round(255 * each) for each in mean])
        self.of_floats = v2.RandomErasing(probability, value=list(mean))

    def forward(self, image: Tensor) -> Tensor:
        erase = self.of_bytes if image.dtype == torch.uint8 else self.of_floats
        erased: Tensor = erase(image)
        return erased


def training_size(recipe: Recipe, epoch: int, side: int) -> int:
    """The side of the training images in an epoch, with a progressive size."""
    if recipe.start_size is None:
        return side
    grown = min(1.0, epoch / max(1.0, 0.75 * recipe.epochs))
    size = recipe.start_size + grown * (side - recipe.start_size)
    return side if grown == 1 else min(side, round(size / 16) * 16)


class ShiftFlip:
    """``RandomCrop`` with padding and ``RandomHorizontalFlip`` for a whole batch at once.

    Each image has its own shift, drawn for its position and epoch. torchvision's transforms
    draw once a call, so they would have to run image by image, which for small images takes
    longer than the network's step. What else works on batches comes after.
    """

    def __init__(
        self, shift: bool = False, flip: bool = False, batched: Batched | None = None
    ) -> None:
        self.shift, self.flip = shift, flip
        self.batched = batched if batched is not None and batched.columns else None

    def __bool__(self) -> bool:
        return self.shift or self.flip or self.batched is not None

    @property
    def columns(self) -> int:
        """Draws of an image."""
        return 3 + (self.batched.columns if self.batched else 0)

    def draws(self, epoch: int, count: int, seed: int) -> Tensor:
        """(count, columns) numbers in [0, 1): rows, columns and mirroring of each image in an
        epoch, and what else works on batches."""
        draw = torch.Generator().manual_seed(zlib.crc32(f"{seed}.{epoch}.shift".encode()))
        draws = torch.rand(count, 3, generator=draw)
        if self.batched is None:
            return draws
        return torch.cat([draws, self.batched.draws(f"{seed}.{epoch}", count)], dim=1)

    def windows(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to a view (N, C, rows, columns, H, W) of all windows of padded images."""
        height, width = images.shape[-2:]
        if self.shift:
            pad_h, pad_w = max(1, height // 8), max(1, width // 8)
            images = nn.functional.pad(images, (pad_w, pad_w, pad_h, pad_h))
        return images.unfold(2, height, 1).unfold(3, width, 1)

    def pick(self, windows: Tensor, rows: Tensor, draws: Tensor) -> Tensor:
        """The images at ``rows`` of ``windows``, shifted, mirrored and more, as their ``draws``
        (N, columns) say."""
        if self.shift:
            down = (draws[:, 0] * windows.shape[2]).long()
            right = (draws[:, 1] * windows.shape[3]).long()
            picked = windows[rows, :, down, right]
            # one channel may count as channels last, which would choose other convolutions
            picked = picked.clone(memory_format=torch.contiguous_format)
        else:
            picked = windows[:, :, 0, 0].index_select(0, rows)
        if self.flip:
            mirrored = draws[:, 2] < 0.5
            if picked.device.type == "cpu":
                picked[mirrored] = picked[mirrored].flip(3)
            else:  # which those are is not known here without waiting for the device
                picked = torch.where(mirrored.view(-1, 1, 1, 1), picked.flip(3), picked)
        return picked if self.batched is None else self.batched(picked, draws[:, 3:])

    def mixing(self, draws: Tensor) -> Tensor | None:
        """The draws of ``Mixing`` among those of images (N, columns), if they are mixed."""
        if self.batched is None or not self.batched.mixes:
            return None
        return draws[:, -Mixing.columns :]


class Corruption(nn.Module):
    """Corrupts an image, as the recipe names it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, image: Tensor) -> Tensor:
        return corrupt(image, self.name)


def evaluation_transform(recipe: Recipe, corruption: str | None = None) -> Any:
    """uint8 or float image (C, H, W) to one that is tested."""
    from torchvision.transforms import v2

    steps: list[Any] = []
    interpolation = v2.InterpolationMode(recipe.interpolation or "bilinear")
    if (side := recipe.eval_size or recipe.image_size) is not None:
        if recipe.eval_crop is not None or recipe.crop == "resized":
            short = round(side / (recipe.eval_crop or 1))
            steps += [v2.Resize(short, interpolation, antialias=True), v2.CenterCrop(side)]
        else:
            steps.append(v2.Resize((side, side), interpolation, antialias=True))
    if corruption is not None:
        steps.append(Corruption(corruption))
    return v2.Compose(steps) if steps else None


def batch_mix(recipe: Recipe, num_classes: int) -> Any:
    """``(images, labels) -> (images, targets)``: mixup, CutMix, one of them a batch, or None;
    with ``augment="batches"`` ``Mixing`` does it."""
    from torchvision.transforms import v2

    if recipe.augment == "batches":
        return None
    mixes: list[Any] = []
    if recipe.mixup:
        mixes.append(v2.MixUp(alpha=recipe.mixup, num_classes=num_classes))
    if recipe.cutmix:
        mixes.append(v2.CutMix(alpha=recipe.cutmix, num_classes=num_classes))
    return v2.RandomChoice(mixes) if mixes else None


class Normalise:
    """uint8 (or float in [0, 1]) images (N, C, H, W) to float with mean 0 and deviation 1.

    On the device and on whole batches, so that a loader moves bytes.
    """

    def __init__(
        self, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
    ) -> None:
        self.scale = 1 / torch.tensor(std, device=device).view(-1, 1, 1)
        self.shift = -torch.tensor(mean, device=device).view(-1, 1, 1) * self.scale

    def __call__(self, images: Tensor) -> Tensor:
        scale = self.scale / 255 if images.dtype == torch.uint8 else self.scale
        return torch.addcmul(self.shift, images.float(), scale)
