"""Parts of the user's own, which are tried when a network is built with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def make_own(
    kind: str, name: object, make: Callable[[], Any], into: int, out: int, stride: int = 1
) -> nn.Module:
    """What ``make`` makes, a module that maps (N, into, H, W) to (N, out, H / stride, W / stride).

    Raises ValueError that names the part if it is none, or cannot run.
    """
    try:
        module = make()
    except TypeError as error:
        raise ValueError(f"{kind}={name!r} makes nothing of {into} channels: {error}") from error
    if not isinstance(module, nn.Module):
        raise ValueError(f"{kind}={name!r} makes a {type(module).__name__}, not a module.")
    like = next(module.parameters(), torch.empty(0))
    x = torch.zeros(2, into, 8, 8, device=like.device, dtype=like.dtype)
    training = module.training
    try:
        with torch.no_grad():
            shape = tuple(module.eval()(x).shape)
    except Exception as error:
        raise ValueError(
            f"{kind}={name!r} cannot run on {tuple(x.shape)}: {type(error).__name__}: {error}"
        ) from error
    module.train(training)
    wanted = (2, out, 8 // stride, 8 // stride)
    if shape != wanted:
        raise ValueError(
            f"{kind}={name!r} changes the shape: of {tuple(x.shape)} it makes {shape}, where its "
            f"place needs {wanted}."
        )
    return module
