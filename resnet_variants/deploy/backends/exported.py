"""Runtimes of others, which read a file: onnxruntime and OpenVINO."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torch import Tensor

from ...export import FORMATS
from ...export.formats import load_openvino
from ...network import Network
from ...network.folding import summed
from ...quantize import quantize
from ..gated import gates_of_inputs
from .base import BACKENDS, Backend, Outputs, through_files


def _write(
    to: str,
    model: Network,
    example: Tensor,
    precision: str,
    calibration: Tensor | None,
    folder: Path,
) -> None:
    path = _path(to, folder)
    if precision == "int8":
        assert calibration is not None
        quantize(model, calibration, path)
    else:
        FORMATS[to].write(gates_of_inputs(summed(model)), example, path, True)


def _load(to: str, folder: Path, precision: str) -> Outputs:
    path = _path(to, folder)
    if precision == "bfloat16":
        return load_openvino(path, precision="bf16")
    return FORMATS[to].load(path)


def _path(to: str, folder: Path) -> Path:
    return folder / f"network{FORMATS[to].suffix}"


def _backend(to: str, precisions: tuple[str, ...], package: str, extra: str) -> Backend:
    load = partial(_load, to)
    prepare = through_files(partial(_write, to), load)
    return Backend(prepare, precisions, package, extra, load=load)


BACKENDS.register("onnxruntime", _backend("onnx", ("float32", "int8"), "onnxruntime", "export"))
BACKENDS.register(
    "openvino",
    _backend("openvino", ("float32", "bfloat16", "int8"), "openvino", "openvino"),
)
