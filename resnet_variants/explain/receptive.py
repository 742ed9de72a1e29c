"""Receptive fields: what a position of a feature map can see, and what it does see."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ..blocks.gates import Gate
from ..blocks.inception import MaxPoolUp
from ..blocks.layers import ACTIVATIONS
from ..blocks.selection import Selection
from ..config import check_count
from ..network import Network, network_of
from .capture import gates
from .watching import evaluating


@dataclass(frozen=True)
class ReceptiveField:
    """Of one feature level, in pixels of the image."""

    module: str
    size: int
    """side of the square of pixels that can reach one position"""
    reduction: int
    """pixels between neighbouring positions"""
    clipped: bool
    """the image was too small: the field is at least this large"""


def receptive_field(model: Network, size: int = 1024) -> list[ReceptiveField]:
    """The theoretical receptive field of each feature level: which pixels can reach it at all.

    Measured, not derived, so that it holds for any network: a copy whose weights are all
    positive is differentiated, and the pixels with a gradient are counted. Gates made from the
    mean of the whole map are left out, since through them everything sees everything; gates
    with a place of their own (self-calibration, attention masks) count. ``size`` is the side of
    the image, which must be larger than the field for it to be exact.
    """
    model = network_of(model)
    check_count("size", size, 1)
    net = _linear(model)
    # Fields are square: a strip measures one side at a fraction of the cost.
    strip = torch.ones(1, model.config.in_chans, size, max(32, model.min_size), dtype=torch.float64)
    strip.requires_grad_()
    levels = range(len(model.feature_info))
    features = net.forward_intermediates(strip, levels, intermediates_only=True)
    fields = []
    for info, feature in zip(model.feature_info, features, strict=True):
        middle = feature[0, :, feature.shape[2] // 2, feature.shape[3] // 2].sum()
        (grad,) = torch.autograd.grad(middle, strip, retain_graph=True)
        rows = grad[0].abs().sum((0, 2)).nonzero().flatten()
        first, last = int(rows[0]), int(rows[-1])
        clipped = first == 0 or last == size - 1
        fields.append(ReceptiveField(info.module, last - first + 1, info.reduction, clipped))
    return fields


def _linear(model: Network) -> Network:
    """A copy in which every path from a pixel to a feature passes a positive gradient."""
    net = copy.deepcopy(model).double().eval()
    passing = tuple({type(ACTIVATIONS[name]()) for name in ACTIVATIONS})
    for gate in gates(net).values():
        gate.gate = _Open(local=not isinstance(gate, (Gate, Selection)))
    for module in list(net.modules()):
        for slot, child in module.named_children():
            if isinstance(child, (_NormBase, nn.GroupNorm, *passing)):
                setattr(module, slot, nn.Identity())
            elif isinstance(child, nn.MaxPool2d):  # a maximum passes one gradient, a mean all
                mean = nn.AvgPool2d(
                    child.kernel_size, child.stride, child.padding, ceil_mode=child.ceil_mode
                )
                setattr(module, slot, mean)
            elif isinstance(child, MaxPoolUp):
                setattr(module, slot, nn.Sequential(nn.ZeroPad2d((0, 2, 0, 2)), nn.AvgPool2d(3, 2)))
            elif isinstance(child, (nn.Conv1d, nn.Conv2d, nn.Linear)):
                nn.init.constant_(child.weight, 1 / child.weight[0].numel())
                if child.bias is not None:
                    nn.init.zeros_(child.bias)
    return net


class _Open(nn.Module):
    """In the place of a gate's last function: one half, with or without the gradient of 1."""

    def __init__(self, *, local: bool) -> None:
        super().__init__()
        self.local = local

    def forward(self, x: Tensor) -> Tensor:
        half = torch.full_like(x, 0.5)
        return half + (x - x.detach()) if self.local else half


def effective_receptive_field(
    model: Network, level: int = -1, *, size: int = 224, samples: int = 8, seed: int = 0
) -> Tensor:
    """How much each pixel influences the middle of a feature level: (size, size), greatest 1.

    The mean absolute gradient over random images (Luo et al., NeurIPS 2016), for the weights
    that the network has, in eval mode.
    """
    model = network_of(model)
    check_count("size", size, 1)
    check_count("samples", samples, 1)
    generator = torch.Generator().manual_seed(seed)
    like = next(model.parameters())
    total = torch.zeros(size, size, dtype=like.dtype, device=like.device)
    with evaluating(model):
        for _ in range(samples):
            image = torch.randn(1, model.config.in_chans, size, size, generator=generator)
            image = image.to(like.device, like.dtype).requires_grad_()
            feature: Any = model.forward_intermediates(image, [level], intermediates_only=True)[0]
            middle = feature[0, :, feature.shape[2] // 2, feature.shape[3] // 2]
            signs = torch.randn(middle.shape, generator=generator).to(middle)
            (grad,) = torch.autograd.grad((middle * signs).sum(), image)
            total += grad[0].abs().sum(0)
    return total / total.max()
