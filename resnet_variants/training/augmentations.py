"""Augmentations by name: torchvision's policies, one's own, and timm's where it is installed."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ..choices import Registry, unknown

Transform = Callable[[Tensor], Tensor]
Augmentation = Callable[[tuple[int, int], tuple[float, ...]], Transform]
"""the size (H, W) that the network sees, and the mean colour in [0, 1], to a function of an image
(C, H, W), uint8, to one; it draws from torch's generator"""

AUGMENTATIONS: Registry[Augmentation] = Registry("auto_augment")
_POLICIES_OF_TIMM = ("rand-", "augmix-", "original", "v0", "3a")


def register_augmentation(name: str) -> Callable[[Augmentation], Augmentation]:
    """Decorate what makes an augmentation of single images; a recipe asks for it by
    ``auto_augment``."""
    return AUGMENTATIONS.register(name)


@register_augmentation("randaugment")
def _randaugment(size: tuple[int, int], mean: tuple[float, ...]) -> Transform:
    from torchvision.transforms import v2

    policy: Transform = v2.RandAugment(interpolation=v2.InterpolationMode.BILINEAR)
    return policy


@register_augmentation("trivialaugment")
def _trivialaugment(size: tuple[int, int], mean: tuple[float, ...]) -> Transform:
    from torchvision.transforms import v2

    policy: Transform = v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR)
    return policy


def check_augmentation(name: str) -> None:
    """Raises ValueError for what is neither ``none``, registered, nor a policy of timm."""
    if name == "none" or name in AUGMENTATIONS:
        return
    if not name.startswith(_POLICIES_OF_TIMM):
        names = ["none", *AUGMENTATIONS, "rand-m7-mstd0.5-inc1"]
        raise ValueError(str(unknown("auto_augment", name, names)))
    if importlib.util.find_spec("timm") is None:
        raise ValueError(f"auto_augment={name!r} needs timm installed.")


def make_augmentation(name: str, size: tuple[int, int], mean: tuple[float, ...]) -> Transform:
    """The augmentation ``name``."""
    return AUGMENTATIONS[name](size, mean) if name in AUGMENTATIONS else _OfTimm(name, size, mean)


class _OfTimm(nn.Module):
    """A policy of timm, by its name, which works on Pillow's images and draws from Python's and
    numpy's generators: both are seeded here from torch's."""

    def __init__(self, name: str, size: tuple[int, int], mean: tuple[float, ...]) -> None:
        super().__init__()
        from timm.data.auto_augment import (
            augment_and_mix_transform,
            auto_augment_transform,
            rand_augment_transform,
        )

        make = auto_augment_transform
        if name.startswith("rand"):
            make = rand_augment_transform
        elif name.startswith("augmix"):
            make = augment_and_mix_transform
        colour = tuple(min(255, round(255 * each)) for each in mean)
        self.policy = make(name, {"translate_const": int(min(size) * 0.45), "img_mean": colour})

    def forward(self, image: Tensor) -> Tensor:
        from torchvision.transforms.v2 import functional as F

        old, old_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
        seed = int(torch.randint(2**31, ()))
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            augmented: Tensor = F.pil_to_tensor(self.policy(F.to_pil_image(image)))
            return augmented
        finally:
            random.setstate(old)
            np.random.set_state(old_numpy)  # noqa: NPY002
