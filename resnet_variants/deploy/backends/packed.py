"""torch alone: folded, fused and packed for oneDNN, without a compiler."""

from __future__ import annotations

import torch
from torch import Tensor

from ...network import Network
from ..pack import pack
from .base import BACKENDS, Backend, Run


def _prepare(
    model: Network, example: Tensor, precision: str, calibration: Tensor | None
) -> dict[str, Run]:
    dtype = getattr(torch, precision)
    layouts = {"channels_last": True}
    if dtype == torch.float32:
        layouts["NCHW"] = False
    return {
        layout: pack(model, example, channels_last=last, dtype=dtype)
        for layout, last in layouts.items()
    }


BACKENDS.register("torch", Backend(_prepare, ("float32", "bfloat16")))
