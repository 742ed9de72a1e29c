"""Images that a network cannot take, refused with what was expected and what to do."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..blocks.layers import FrozenBatchNorm2d
from .features import FeatureLevel


def check_images(x: Tensor, chans: int, name: str = "") -> None:
    """Raises TypeError or ValueError for what is no batch of images of so many channels. Of an
    argument that is not the network's own input, the error begins with its ``name``."""
    name = name and f"{name}: "
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(name + _wrong_type(x))
    if x.ndim != 4:
        raise ValueError(
            f"{name}Expected a batch of images (N, {chans}, H, W), not {tuple(x.shape)}."
            + (" For one image: image.unsqueeze(0)." if x.ndim == 3 else "")
        )
    if x.shape[1] != chans:
        hint = " The channels come second: x.permute(0, 3, 1, 2)." * (x.shape[3] == chans)
        raise ValueError(
            f"{name}Expected {chans} channels, (N, {chans}, H, W), not {tuple(x.shape)}.{hint}"
            f" For other images: create_model(..., in_chans={x.shape[1]})."
        )


def check_size(x: Tensor, min_size: int) -> None:
    """Raises ValueError for images with a side of under ``min_size``, the network's reduction."""
    h, w = x.shape[2:]
    if min(h, w) < min_size:
        hint = ' stem="cifar" reduces less.' if min_size > 8 else ""
        raise ValueError(
            f"An image of {h}x{w} is too small: this network reduces {min_size} times, "
            f"so both sides must be at least {min_size}.{hint}"
        )


def check_single(x: Tensor, network: nn.Module, last: FeatureLevel, min_size: int) -> None:
    """One image alone has no variance over the batch where its map is 1x1: ValueError for one
    that batch normalisation cannot train on. ``last`` is the network's last level."""
    h, w = x.shape[2:]
    others = (nn.SyncBatchNorm, FrozenBatchNorm2d)  # whose statistics are not of this batch alone
    norms = [
        m
        for m in network.modules()
        if isinstance(m, _BatchNorm) and m.training and not isinstance(m, others)
    ]
    pooled = any(getattr(m, "normalises_pooled", False) for m in network.modules())
    square = max(getattr(m, "normalises_squares", 1) for m in network.modules())
    largest = min_size * (2 * square - 1)  # whose smallest map is one square
    one = max(map(last.size, (h, w))) == 1
    if norms and (pooled or one or max(h, w) <= largest):
        where = "pooled features" if pooled else "a map of 1x1"
        raise ValueError(
            f"Batch normalisation cannot train on one image: {where} of a batch of 1 have no "
            'variance. Use a batch of 2 or more, eval(), norm_layer="groupnorm" or '
            '"frozen_batchnorm"' + ("." if pooled else f", or larger images: over {largest}.")
        )


def _wrong_type(x: object) -> str:
    if not isinstance(x, Tensor):
        remedy = {
            "ndarray": "torch.from_numpy(images) makes one",
            "list": "torch.stack(images) makes one of a list of images, torch.cat of batches",
        }.get(type(x).__name__, "of a PIL image transforms_for(network)(image)[None] makes one")
        return (
            "Expected a batch of images as a tensor (N, C, H, W), not "
            f"{type(x).__name__}; {remedy}."
        )
    remedy = (
        "divide by 255 and normalise, images / 255 (transforms_for(network) does both)"
        if x.dtype == torch.uint8
        else "images.float()"
    )
    return f"Expected normalised images of a floating-point type, not {x.dtype}: {remedy}."
