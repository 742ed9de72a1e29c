"""NVIDIA's TensorRT, by torch-tensorrt's compiler; building an engine takes minutes."""

from __future__ import annotations

import importlib
import threading
from typing import Any

import torch
from torch import Tensor

from ...network import Network
from ..devices import float32_as
from ..pack import pack
from .base import BACKENDS, Backend, Run


def _prepare(
    model: Network, example: Tensor, precision: str, calibration: Tensor | None
) -> dict[str, Run]:
    importlib.import_module("torch_tensorrt")  # it registers its compiler
    dtype = getattr(torch, precision)
    net = pack(model, example, channels_last=False, dtype=dtype, target="compiler")
    options: Any = {"enabled_precisions": {dtype}, "disable_tf32": True}
    compiled = torch.compile(net, backend="torch_tensorrt", options=options)
    lock = threading.Lock()

    def run(images: Tensor) -> Any:
        with lock, float32_as("ieee"):
            return compiled(images.to(example.device))

    return {"NCHW": run}


BACKENDS.register(
    "tensorrt",
    Backend(_prepare, ("float32", "float16"), "torch_tensorrt", automatic=False, devices=("cuda",)),
)
