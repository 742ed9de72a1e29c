"""Corruptions of test images, in five severities, after Hendrycks and Dietterich (ICLR 2019)."""

from __future__ import annotations

import io
from collections.abc import Callable

import torch
from torch import Tensor

from ..choices import Registry

# (image in [0, 1], severity from 0 to 4) -> image. The levels are those of the authors' CIFAR-10-C
# where torchvision has the operation.
Corrupt = Callable[[Tensor, int], Tensor]
CORRUPTIONS: Registry[Corrupt] = Registry("corruption")


def parse_corruption(text: str) -> tuple[str, int]:
    """Name and severity (1 to 5, by default 3) of ``"gaussian_noise:3"``."""
    name, _, severity = text.partition(":")
    CORRUPTIONS[name]
    if severity not in ("", "1", "2", "3", "4", "5"):
        raise ValueError(f"Severity of the corruption {text!r} must be 1 to 5, not {severity!r}.")
    return name, int(severity or 3)


def corrupt(image: Tensor, text: str) -> Tensor:
    """Corrupt an image (C, H, W), float in [0, 1] or uint8; the type is kept."""
    name, severity = parse_corruption(text)
    byte = image.dtype == torch.uint8
    out = CORRUPTIONS[name](image.float() / 255 if byte else image, severity - 1).clamp(0, 1)
    return (out * 255).round().to(torch.uint8) if byte else out


@CORRUPTIONS.register("gaussian_noise")
def gaussian_noise(image: Tensor, level: int) -> Tensor:
    """Add normal noise, drawn for each pixel and channel."""
    return image + torch.randn_like(image) * (0.04, 0.06, 0.08, 0.09, 0.10)[level]


@CORRUPTIONS.register("impulse_noise")
def impulse_noise(image: Tensor, level: int) -> Tensor:
    """Set single values to black or white."""
    draw = torch.rand_like(image)
    share = (0.01, 0.02, 0.03, 0.05, 0.07)[level]
    return torch.where(draw < share, (draw < share / 2).to(image.dtype), image)


@CORRUPTIONS.register("gaussian_blur")
def gaussian_blur(image: Tensor, level: int) -> Tensor:
    """Blur by a Gaussian window."""
    from torchvision.transforms.v2 import functional as F

    sigma = (0.4, 0.6, 0.7, 0.8, 1.0)[level] * max(image.shape[-2:]) / 32
    side = 2 * int(3 * sigma + 0.5) + 1
    blurred: Tensor = F.gaussian_blur(image, [side, side], [sigma, sigma])
    return blurred


@CORRUPTIONS.register("contrast")
def contrast(image: Tensor, level: int) -> Tensor:
    """Draw all values towards their mean."""
    mean = image.mean(dim=(-2, -1), keepdim=True)
    return (image - mean) * (0.75, 0.5, 0.4, 0.3, 0.15)[level] + mean


@CORRUPTIONS.register("brightness")
def brightness(image: Tensor, level: int) -> Tensor:
    """Add the same to all values."""
    return image + (0.05, 0.1, 0.15, 0.2, 0.3)[level]


@CORRUPTIONS.register("pixelate")
def pixelate(image: Tensor, level: int) -> Tensor:
    """Reduce the image and enlarge it again."""
    h, w = image.shape[-2:]
    part = (0.6, 0.5, 0.4, 0.3, 0.25)[level]  # ImageNet-C's
    size = (max(1, int(h * part)), max(1, int(w * part)))
    small = torch.nn.functional.interpolate(image[None], size, mode="area")
    return torch.nn.functional.interpolate(small, (h, w), mode="nearest-exact")[0]


@CORRUPTIONS.register("jpeg")
def jpeg(image: Tensor, level: int) -> Tensor:
    """Compress the image and read it again."""
    from PIL import Image
    from torchvision.transforms.v2 import functional as F

    file = io.BytesIO()
    quality = (80, 65, 58, 50, 40)[level]
    F.to_pil_image(image).save(file, "jpeg", quality=quality)
    again: Tensor = F.pil_to_tensor(Image.open(file))
    return again.to(image.dtype) / 255
