"""How far a network in fewer bits may be from itself in float64: the bound of docs/precision.md."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from resnet_variants.deploy import pack

HALVES = (torch.bfloat16, torch.float16)


def layers(model: nn.Module) -> int:
    """Its convolutions and linear layers."""
    return sum(isinstance(each, (nn.Conv1d, nn.Conv2d, nn.Linear)) for each in model.modules())


def bound(dtype: torch.dtype, layers: int) -> float:
    """Errors of roundings that know nothing of one another add up like the root of their number;
    a layer is some roundings, and a gate's sum that cancels makes them count more."""
    return torch.finfo(dtype).eps * math.sqrt(layers)


def packed(model: nn.Module, images: Tensor, dtype: torch.dtype) -> nn.Module:
    """For the device that has the type: float16 as for a GPU, whose kernels' plain statements run
    on a CPU."""
    target = "cuda" if dtype == torch.float16 else None
    return pack(model, images, dtype=dtype, target=target, measure=False)


def exact(model: nn.Module, images: Tensor) -> Tensor:
    """The network's outputs, computed in float64."""
    return copy.deepcopy(model).double()(images.double())  # type: ignore[no-any-return]


def error(found: Tensor, expected: Tensor) -> float:
    """Of all outputs together, relative to them: root mean squares."""
    return ((found - expected).norm() / expected.norm()).item()


def agreement(found: Tensor, expected: Tensor) -> float:
    """Share of images with the same first class."""
    return (found.argmax(1) == expected.argmax(1)).double().mean().item()
