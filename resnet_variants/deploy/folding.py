"""Normalisation by fixed statistics as part of a convolution."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..blocks.layers import FrozenBatchNorm2d

NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d, nn.SyncBatchNorm)


def folds_into(conv: nn.Module, norm: nn.Module) -> bool:
    """Fold a normalisation by fixed statistics into a convolution, if it is one."""
    if type(conv) is not nn.Conv2d or type(norm) not in NORMS or norm.running_mean is None:
        return False
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,  # type: ignore[arg-type]
        norm.running_var,  # type: ignore[arg-type]
        norm.eps,  # type: ignore[arg-type]
        norm.weight,  # type: ignore[arg-type]
        norm.bias,  # type: ignore[arg-type]
    )
    conv.requires_grad_(False)
    return True


def as_conv(norm: nn.Module) -> nn.Conv2d | None:
    """A normalisation by fixed statistics as a depthwise convolution of one position."""
    if type(norm) not in NORMS or norm.running_mean is None:
        return None
    channels: int = norm.num_features  # type: ignore[assignment]
    exact = copy.deepcopy(norm).double()
    conv = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
    conv = conv.to(exact.running_mean.device, torch.float64)  # type: ignore[arg-type]
    nn.init.ones_(conv.weight)
    folds_into(conv, exact)
    return conv.to(norm.running_mean.dtype)  # type: ignore[arg-type]
