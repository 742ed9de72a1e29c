"""The network with less to compute: normalisation by fixed statistics as part of a convolution,
branches that are summed as one convolution."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..blocks.layers import ConvNormAct, FrozenBatchNorm2d
from ..blocks.repvgg import RepConv
from .skeleton import Network

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


def sum_branches(unit: RepConv) -> None:
    """Make a reparameterised unit one 3x3 convolution, where all its normalisations fold.

    A 1x1 convolution is the 3x3 with its weights in the middle and zeros around, the input itself
    one whose middle picks each channel's own; what reads the same input is added by its weights.
    """
    parts = [part for part in unit.branches if isinstance(part, ConvNormAct)]
    for part in parts:
        if folds_into(part.conv, part.norm):
            part.norm = nn.Identity()
    own = None if unit.identity is None else as_conv(unit.identity)
    plain = all(type(part.norm) is nn.Identity for part in parts)
    if not plain or (own is None and unit.identity is not None) or len(parts) == 1:
        return
    first = parts[0].conv
    convs = [part.conv for part in parts]
    kernels = [_centred(conv.weight) for conv in convs]
    biases = [conv.bias for conv in convs if conv.bias is not None]
    if own is not None:
        assert own.bias is not None
        each = torch.arange(len(own.weight), device=own.weight.device)
        picks = torch.zeros_like(first.weight)
        picks[each, each % first.weight.shape[1], 1, 1] = own.weight.flatten()
        kernels.append(picks)
        biases.append(own.bias)
    first.weight = nn.Parameter(torch.stack(kernels).sum(0), requires_grad=False)
    first.bias = nn.Parameter(torch.stack(biases).sum(0), requires_grad=False) if biases else None
    parts[0].act, unit.act = unit.act, nn.Identity()  # a packed convolution takes it along
    unit.branches = nn.ModuleList(parts[:1])
    unit.identity = None


def summed(model: Network) -> Network:
    """The network for runtimes that sum no branches: a copy where there are some to sum."""
    if not any(type(each) is RepConv for each in model.modules()):
        return model
    model = copy.deepcopy(model)
    with torch.no_grad():
        for unit in list(model.modules()):
            if type(unit) is RepConv:
                sum_branches(unit)
    return model


def _centred(weight: Tensor) -> Tensor:
    """The weights of a 1x1 or 3x3 convolution as those of a 3x3."""
    return weight if weight.shape[-1] == 3 else F.pad(weight, (1, 1, 1, 1))
