"""From an image to what a network was trained on, and from its classes to their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from .catalogue import Weights, weights_info
from .models import weights_of

if TYPE_CHECKING:
    from torchvision.transforms.v2 import Compose

# in the data set's order
_CIFAR10 = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]


class ChannelOrder(nn.Module):
    """(…, 3, H, W) from red, green, blue to blue, green, red."""

    def forward(self, image: Tensor) -> Tensor:
        return image.flip(-3)


class Scale(nn.Module):
    """Images from 0 to 1 to images from 0 to ``white``."""

    def __init__(self, white: float) -> None:
        super().__init__()
        self.white = white

    def forward(self, image: Tensor) -> Tensor:
        return image * self.white


def transforms_for(model: object, weights: Weights | str | None = None) -> Compose:
    """The evaluation transform (torchvision v2) of the weights that a network was loaded with.

    It takes a PIL image or a tensor (3, H, W) of bytes and gives a float tensor: shorter side to
    ``resize``, centre crop to ``size``, channel order, scale, mean and deviation as published, or
    as a run of one's own was tested.
    ``weights`` names an entry of the catalogue, for a network whose own file says nothing.
    Raises ValueError when the preprocessing is not known.
    """
    import torch
    from torchvision.transforms import v2

    known = weights_info(weights) if isinstance(weights, str) else weights or weights_of(model)
    if known is None:
        raise ValueError(
            "Nothing is known of how images were prepared for these weights. Name an entry of the "
            "catalogue that was trained the same way: transforms_for(model, 'resnet50.tv_in1k')."
        )
    interpolation = v2.InterpolationMode(known.interpolation)
    steps: list[Any] = [v2.ToImage()]
    if len(known.mean) == 1:
        steps.append(v2.Grayscale(1))
    if known.crop_mode == "squash":
        steps.append(v2.Resize((known.size, known.size), interpolation, antialias=True))
    else:
        steps.append(v2.Resize(known.resize, interpolation, antialias=True))
        steps.append(v2.CenterCrop(known.size))
    steps.append(v2.ToDtype(torch.float32, scale=True))
    if known.channels == "bgr":
        steps.append(ChannelOrder())
    if known.scale != 1:
        steps.append(Scale(known.scale))
    steps.append(v2.Normalize(list(known.mean), list(known.std)))
    return v2.Compose(steps)


def class_names(weights: Weights | None, classes: int) -> list[str]:
    """Names of a network's classes; their numbers where the data set's names are not known."""
    names = [] if weights is None else list(weights.class_names)
    if names:
        pass
    elif weights is not None and weights.dataset == "ImageNet-1k":
        from torchvision.models import ResNet18_Weights

        names = list(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
    elif weights is not None and weights.dataset in ("CIFAR-10", "CIFAR-10 (JPEG)"):
        names = _CIFAR10
    return names if len(names) == classes else [f"class {i}" for i in range(classes)]
