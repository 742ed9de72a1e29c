"""Augmentation of whole batches: one code on the CPU and on a device, which a graph can record.

What an image becomes is a function of its own row of draws, made for (seed, epoch, image): neither
the other images of a batch nor the number of processes decide it. Nothing here waits for a device.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .recipe import Recipe

BINS = 30
"""strengths of the policies are in so many steps from 0 to the strongest"""
RAND_LAYERS, RAND_BIN = 2, 9
ERASED, RATIOS = (0.02, 0.33), (0.3, 3.3)
"""random erasing: shares of the image, and height by width (Zhong et al., AAAI 2020)"""


class Policy:
    """TrivialAugment, wide (Müller and Hutter, ICCV 2021), or RandAugment of two operations of
    strength 9 (Cubuk et al. 2020): torchvision's operations and strengths, on uint8 images."""

    def __init__(self, name: str) -> None:
        self.wide = name == "trivialaugment"
        self.layers = 1 if self.wide else RAND_LAYERS
        self.columns = 3 * self.layers

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Images (N, C, H, W) and draws (N, columns) in [0, 1) to images."""
        for layer in draws.split(3, dim=1):
            operation = (layer[:, 0] * len(OPERATIONS)).long()
            step = (layer[:, 1] * (BINS + 1)).floor()
            part = (step if self.wide else torch.full_like(step, RAND_BIN)) / BINS
            for index, (name, work) in enumerate(OPERATIONS.items()):
                value = strength(name, part, self.wide, images.shape)
                if name not in _UNSIGNED:
                    value = torch.where(layer[:, 2] < 0.5, -value, value)
                images = _where(operation == index, work, images, value)
        return images


class Erasing:
    """A rectangle of some images becomes the mean colour, which is zero after normalisation."""

    columns = 5

    def __init__(self, probability: float, mean: tuple[float, ...]) -> None:
        self.probability, self.mean = probability, mean

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Images (N, C, H, W) and draws (N, columns) in [0, 1) to images."""
        height, width = images.shape[2:]
        chosen, share, ratio, down, right = draws.unbind(1)
        area = (ERASED[0] + share * (ERASED[1] - ERASED[0])) * height * width
        low, high = map(math.log, RATIOS)
        ratio = (low + ratio * (high - low)).exp()
        tall = (area * ratio).sqrt().round().clamp(1, height)
        wide = (area / ratio).sqrt().round().clamp(1, width)
        top, left = (down * (height - tall + 1)).floor(), (right * (width - wide + 1)).floor()
        erased = _box(images, top, top + tall, left, left + wide)
        erased &= _each(chosen < self.probability)
        return _coloured(images, erased, self.mean)


class Cutout:
    """A square of each image becomes the mean colour (DeVries and Taylor 2017). Its centre is
    any pixel, so that a part of it may lie outside."""

    columns = 2

    def __init__(self, side: int, mean: tuple[float, ...]) -> None:
        self.side, self.mean = side, mean

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Images (N, C, H, W) and draws (N, columns) in [0, 1) to images."""
        height, width = images.shape[2:]
        down, right = draws.unbind(1)
        top = (down * height).floor() - self.side // 2
        left = (right * width).floor() - self.side // 2
        cut = _box(images, top, top + self.side, left, left + self.side)
        return _coloured(images, cut, self.mean)


class Mixing:
    """Mixup (Zhang et al., ICLR 2018), CutMix (Yun et al., ICCV 2019), or one of them an image.

    Each image is mixed with its neighbour in the batch, the first with the second, the third with
    the fourth: of an even share of a batch, the same two whatever the number of processes.
    """

    columns = 5

    def __init__(self, mixup: float, cutmix: float, num_classes: int) -> None:
        self.mixup, self.cutmix, self.num_classes = mixup, cutmix, num_classes

    def __call__(self, images: Tensor, labels: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Float images (N, C, H, W), labels (N,) and draws (N, columns), of which the second and
        third are shares of the image itself, to images and shares of classes (N, classes)."""
        height, width = images.shape[2:]
        which, mixed, cut, down, right = draws.unbind(1)
        mixes = which < (0.5 if self.mixup and self.cutmix else float(bool(self.mixup)))
        half = (1 - cut).sqrt() / 2
        y, x = (down * height).floor(), (right * width).floor()
        top, bottom = (y - half * height).floor().clamp(0), (y + half * height).floor()
        left, right = (x - half * width).floor().clamp(0), (x + half * width).floor()
        bottom, right = bottom.clamp(max=height), right.clamp(max=width)
        kept = 1 - (bottom - top) * (right - left) / (height * width)
        own = torch.where(mixes, mixed, kept)
        places = torch.arange(len(images), device=images.device)
        partner = (places ^ 1).clamp(max=len(images) - 1)
        others, share = images[partner], _each(own)
        inside = _box(images, top, bottom, left, right)
        pasted = torch.where(inside, others, images)
        images = torch.where(_each(mixes), share * images + (1 - share) * others, pasted)
        targets = nn.functional.one_hot(labels, self.num_classes).to(images.dtype)
        own = own.unsqueeze(1)
        return images, own * targets + (1 - own) * targets[partner]


class Batched:
    """All of a recipe that is drawn for each image of a batch, after its shift and flip."""

    def __init__(self, recipe: Recipe, mean: tuple[float, ...]) -> None:
        self.steps: list[Policy | Erasing | Cutout] = []
        all_of_it = recipe.augment == "batches"
        if all_of_it and recipe.auto_augment != "none":
            self.steps.append(Policy(recipe.auto_augment))
        if all_of_it and recipe.random_erasing:
            self.steps.append(Erasing(recipe.random_erasing, mean))
        if recipe.cutout:
            self.steps.append(Cutout(recipe.cutout, mean))
        self.alphas = (recipe.mixup, recipe.cutmix)
        self.mixes = all_of_it and any(self.alphas)
        self.columns = sum(step.columns for step in self.steps) + Mixing.columns * self.mixes

    def draws(self, key: str, count: int) -> Tensor:
        """(count, columns): draws of each image, of which the last ones are those of mixing."""
        seed = zlib.crc32(f"{key}.batched".encode())
        draws = torch.rand(count, self.columns, generator=torch.Generator().manual_seed(seed))
        if self.mixes:
            random = np.random.default_rng(seed)
            for column, alpha in zip((-4, -3), self.alphas, strict=True):
                share = random.beta(alpha or 1, alpha or 1, count)
                draws[:, column] = torch.from_numpy(share)
        return draws

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Images (N, C, H, W) as they lie in memory, and their draws, to augmented ones."""
        for step in self.steps:
            images = step(images, draws[:, : step.columns])
            draws = draws[:, step.columns :]
        return images


def strength(name: str, part: Tensor, wide: bool, shape: torch.Size) -> Tensor:
    """How strong an operation is at ``part`` in [0, 1] of its range, on images of ``shape``."""
    if name.startswith("translate"):
        side = shape[-1] if name.endswith("x") else shape[-2]
        return (part * (32.0 if wide else 150 / 331 * side)).trunc()
    if name == "posterize":
        return 8 - (part * (6 if wide else 4)).round()
    if name == "solarize":
        return 255 * (1 - part)
    if name == "rotate":
        return part * (135.0 if wide else 30.0)
    if name.startswith("shear"):
        return part * (0.99 if wide else 0.3)
    return part * (0.99 if wide else 0.9)


def _where(
    chosen: Tensor, work: Callable[[Tensor, Tensor], Tensor], images: Tensor, value: Tensor
) -> Tensor:
    """``images``, of which those ``chosen`` (N,) become what ``work`` makes of them."""
    if images.device.type != "cpu":  # which those are is not known here without waiting
        return torch.where(_each(chosen), work(images, value), images)
    if chosen.any():
        images[chosen] = work(images[chosen], value[chosen])
    return images


def _each(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _box(images: Tensor, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """(N, 1, H, W), true in the rectangle of each image."""
    rows = torch.arange(images.shape[2], device=images.device).view(-1, 1)
    columns = torch.arange(images.shape[3], device=images.device)
    inside = (rows >= _each(top)) & (rows < _each(bottom))
    return inside & (columns >= _each(left)) & (columns < _each(right))


def _coloured(images: Tensor, where: Tensor, mean: tuple[float, ...]) -> Tensor:
    """Images whose pixels ``where`` (N, 1, H, W) have the mean colour."""
    of_bytes = images.dtype == torch.uint8
    colour = [round(255 * each) if of_bytes else each for each in mean]
    colour *= images.shape[1] // len(colour)
    pairs = zip(colour, images.split(1, dim=1), strict=True)
    return torch.cat([torch.where(where, value, channel) for value, channel in pairs], dim=1)


def _bytes(values: Tensor) -> Tensor:
    return values.clamp(0, 255).to(torch.uint8)


def _moved(images: Tensor, *rows: Any) -> Tensor:
    """Images whose pixel at (x, y) from the centre is what was at ``rows`` (a, b, c), (d, e, f):
    (a x + b y + c, d x + e y + f). Black comes in from outside."""
    height, width = images.shape[2:]
    y = (torch.arange(height, device=images.device) - (height - 1) / 2).view(1, -1, 1)
    x = (torch.arange(width, device=images.device) - (width - 1) / 2).view(1, 1, -1)
    places = []
    for (a, b, c), side in zip(rows, (width, height), strict=True):
        a, b, c = (v.view(-1, 1, 1) if isinstance(v, Tensor) else v for v in (a, b, c))
        # term by term: a product of matrices may round otherwise in another batch
        place = (a * x + b * y + c) * (2 / side)
        places.append(place.expand(len(images), height, width))
    grid = torch.stack(places, dim=-1)
    moved = nn.functional.grid_sample(images.float(), grid, align_corners=False)
    return _bytes(moved.round())


def _rotate(images: Tensor, degrees: Tensor) -> Tensor:
    cos, sin = torch.deg2rad(degrees).cos(), torch.deg2rad(degrees).sin()
    return _moved(images, (cos, -sin, 0), (sin, cos, 0))


def _blend(images: Tensor, other: Tensor, by: Tensor) -> Tensor:
    """``other`` at -1, the images at 0, beyond them above."""
    factor = _each(1 + by)
    return _bytes(images * factor + other * (1 - factor))


def _grey(images: Tensor) -> Tensor:
    """(N, 1, H, W), whole numbers: their sums are exact in any order."""
    if images.shape[1] != 3:
        return images
    red, green, blue = images.float().split(1, dim=1)
    return torch.floor(0.2989 * red + 0.587 * green + 0.114 * blue)


def _contrast(images: Tensor, by: Tensor) -> Tensor:
    grey = _grey(images)
    mean = grey.long().sum(dim=(1, 2, 3)).double() / grey[0].numel()
    return _blend(images, _each(mean.float()), by)


def _sharpness(images: Tensor, by: Tensor) -> Tensor:
    if min(images.shape[2:]) <= 2:
        return images
    values = images.float()
    rows = values[:, :, :-2] + values[:, :, 1:-1] + values[:, :, 2:]
    around = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    blurred = values.clone()
    blurred[:, :, 1:-1, 1:-1] = ((around + 4 * values[:, :, 1:-1, 1:-1]) / 13).round()
    return _blend(images, blurred, by)


def _posterize(images: Tensor, bits: Tensor) -> Tensor:
    step = torch.exp2(8 - _each(bits))
    return _bytes((images / step).floor() * step)


def _autocontrast(images: Tensor, _: Tensor) -> Tensor:
    values = images.float()
    low, high = values.amin((2, 3), keepdim=True), values.amax((2, 3), keepdim=True)
    spread = high - low
    stretched = _bytes((values - low) * (255 / spread.clamp(min=1)))
    return torch.where(spread > 0, stretched, images)


def _equalize(images: Tensor, _: Tensor) -> Tensor:
    """Each channel by its own cumulative histogram, as Pillow does."""
    flat = images.reshape(len(images) * images.shape[1], -1)
    ordered = flat.sort(dim=1).values.int()
    grey = torch.arange(256, dtype=torch.int32, device=images.device).repeat(len(flat), 1)
    below = torch.searchsorted(ordered, grey)
    step = torch.searchsorted(ordered, ordered[:, -1:].contiguous()) // 255
    table = ((below + step // 2) // step.clamp(min=1)).clamp(max=255)
    table = torch.where(step > 0, table, grey).to(torch.uint8)
    equalized: Tensor = table.gather(1, flat.long()).view_as(images)
    return equalized


OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "identity": lambda images, by: images,
    "shear_x": lambda images, by: _moved(images, (1, by, by * (images.shape[2] / 2)), (0, 1, 0)),
    "shear_y": lambda images, by: _moved(images, (1, 0, 0), (by, 1, by * (images.shape[3] / 2))),
    "translate_x": lambda images, by: _moved(images, (1, 0, -by), (0, 1, 0)),
    "translate_y": lambda images, by: _moved(images, (1, 0, 0), (0, 1, -by)),
    "rotate": _rotate,
    "brightness": lambda images, by: _blend(images, torch.zeros_like(images), by),
    "color": lambda images, by: _blend(images, _grey(images), by),
    "contrast": _contrast,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": lambda images, by: torch.where(images >= _each(by), 255 - images, images),
    "autocontrast": _autocontrast,
    "equalize": _equalize,
}
"""uint8 images (N, C, H, W) and a strength of each (N,) to uint8 images"""
_UNSIGNED = ("posterize", "solarize")
