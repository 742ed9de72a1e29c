"""Runtimes of others, which read a file: onnxruntime and OpenVINO."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ...export import FORMATS
from ...export.formats import load_openvino
from ...network import Network
from ...quantize import quantize
from .base import BACKENDS, Backend, Run


def _prepare(
    to: str, model: Network, example: Tensor, precision: str, calibration: Tensor | None
) -> dict[str, Run]:
    form = FORMATS[to]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"network{form.suffix}"
        if precision == "int8":
            assert calibration is not None
            quantize(model, calibration, path)
        else:
            form.write(model, example, path, True)
        load = partial(load_openvino, precision="bf16") if precision == "bfloat16" else form.load
        outputs = load(path)
    single = model.out_indices is None

    def run(images: Tensor) -> Any:
        found = outputs(images.contiguous())
        return found[0] if single else found

    return {"NCHW": run}


BACKENDS.register(
    "onnxruntime",
    Backend(partial(_prepare, "onnx"), ("float32", "int8"), "onnxruntime", "export"),
)
BACKENDS.register(
    "openvino",
    Backend(partial(_prepare, "openvino"), ("float32", "bfloat16", "int8"), "openvino", "openvino"),
)
