"""An NVIDIA GPU by torch and Triton: folded, fused, and recorded as CUDA graphs."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ...network import Network
from ..captured import Captured
from ..devices import float32_as
from ..pack import pack
from .base import BACKENDS, Backend, Run

LAYOUTS = {"channels_last": torch.channels_last, "NCHW": torch.contiguous_format}


def type_of(precision: str) -> torch.dtype:
    """What tensors are in a precision."""
    return getattr(torch, "float32" if precision == "tf32" else precision)


def settings_of(precision: str) -> str:
    """How float32 is computed in a precision: what is called float32 is never TF32."""
    return "tf32" if precision == "tf32" else "ieee"


def _prepare(
    model: Network, example: Tensor, precision: str, calibration: Tensor | None
) -> dict[str, Run]:
    dtype, settings = type_of(precision), partial(float32_as, settings_of(precision))
    runs: dict[str, Run] = {}
    for name, layout in LAYOUTS.items():
        with settings(), torch.inference_mode():
            net = pack(model, example, channels_last=name == "channels_last", dtype=dtype)
        runs[name] = Captured(
            net, device=example.device, dtype=dtype, layout=layout, settings=settings
        )
    return runs


BACKENDS.register(
    "cuda_graphs",
    Backend(_prepare, ("float32", "tf32", "float16", "bfloat16"), devices=("cuda",)),
)
