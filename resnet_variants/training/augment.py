"""Transforms of single images and of batches, all of torchvision v2."""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import Tensor, nn

from .corruptions import corrupt
from .recipe import Recipe


def training_transform(recipe: Recipe, size: tuple[int, int]) -> Any:
    """uint8 or float image (C, H, W) to an augmented one of ``size``."""
    from torchvision.transforms import v2

    steps: list[Any] = []
    if recipe.crop == "resized":
        steps.append(v2.RandomResizedCrop(size, antialias=True))
    elif recipe.image_size is not None:
        steps.append(v2.Resize(size, antialias=True))
    if recipe.auto_augment != "none":
        steps.append(
            {"randaugment": v2.RandAugment, "trivialaugment": v2.TrivialAugmentWide}[
                recipe.auto_augment
            ]()
        )
    if recipe.random_erasing:
        steps.append(v2.RandomErasing(recipe.random_erasing))
    return v2.Compose(steps) if steps else None


class ShiftFlip:
    """``RandomCrop`` with padding and ``RandomHorizontalFlip`` for a whole batch at once.

    Each image has its own shift, drawn for its position and epoch. torchvision's transforms
    draw once a call, so they would have to run image by image, which for small images takes
    longer than the network's step.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.shift, self.flip = recipe.crop == "pad", recipe.flip
        self._drawn: tuple[Any, Tensor] | None = None

    def __call__(
        self, images: Tensor, positions: Tensor, epoch: int, count: int, seed: int
    ) -> Tensor:
        """(N, C, H, W) images at ``positions`` of ``count``, to the same shape."""
        if not (self.shift or self.flip):
            return images
        if self._drawn is None or self._drawn[0] != (epoch, count, seed):
            draw = torch.Generator().manual_seed(zlib.crc32(f"{seed}.{epoch}.shift".encode()))
            self._drawn = ((epoch, count, seed), torch.rand(count, 3, generator=draw))
        draws = self._drawn[1][positions]
        n, _, height, width = images.shape
        rows, cols = torch.arange(height).expand(n, -1), torch.arange(width).expand(n, -1)
        if self.shift:
            pad_h, pad_w = max(1, height // 8), max(1, width // 8)
            images = torch.nn.functional.pad(images, (pad_w, pad_w, pad_h, pad_h))
            rows = rows + (draws[:, :1] * (2 * pad_h + 1)).long()
            cols = cols + (draws[:, 1:2] * (2 * pad_w + 1)).long()
        if self.flip:
            cols = torch.where(draws[:, 2:] < 0.5, cols.flip(1), cols)
        picked = images[torch.arange(n)[:, None, None], :, rows[:, :, None], cols[:, None, :]]
        # one channel may count as channels last, which would choose other convolutions
        return picked.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)


class _Corruption(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, image: Tensor) -> Tensor:
        return corrupt(image, self.name)


def evaluation_transform(recipe: Recipe, corruption: str | None = None) -> Any:
    """uint8 or float image (C, H, W) to one that is tested."""
    from torchvision.transforms import v2

    steps: list[Any] = []
    if (side := recipe.image_size) is not None:
        if recipe.eval_crop < 1 or recipe.crop == "resized":
            short = round(side / recipe.eval_crop)
            steps += [v2.Resize(short, antialias=True), v2.CenterCrop(side)]
        else:
            steps.append(v2.Resize((side, side), antialias=True))
    if corruption is not None:
        steps.append(_Corruption(corruption))
    return v2.Compose(steps) if steps else None


def batch_mix(recipe: Recipe, num_classes: int) -> Any:
    """``(images, labels) -> (images, targets)``: mixup, CutMix, one of them a batch, or None."""
    from torchvision.transforms import v2

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
