"""What a network can be written as, and how each is read back to run."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import itertools
import operator
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as symbolic_shapes

from ..choices import Registry

Run = Callable[[Tensor], list[Tensor]]
"""images (N, C, H, W) to the network's outputs: the logits, or its feature levels"""

EXAMPLE = (2, 67, 99)  # batch, height, width while tracing: no two alike, no size even


@dataclass(frozen=True)
class Format:
    """A kind of file: its suffix, and functions that write and read it."""

    suffix: str
    write: Callable[[nn.Module, Tensor, Path, bool], None]
    """(network, example images, path, dynamic)"""
    load: Callable[[Path], Run]
    least: Callable[[nn.Module], int] = attrgetter("min_export_size")
    """side of the smallest image that a dynamic file takes"""


FORMATS: Registry[Format] = Registry("export format")


def export_program(
    model: nn.Module, images: Tensor | None = None, *, dynamic: bool = True
) -> ExportedProgram:
    """The network as a graph of torch operators, in the mode that it is in.

    ``dynamic``: any batch, height and width from the network's smallest image up; else those of
    ``images``. The caller's ``torch.export.save`` writes it, AOTInductor compiles it.
    """
    images = example_images(model) if images is None else images
    if not dynamic:
        return torch.export.export(model, (images,))
    # Even sizes may hold for all sizes what holds for even ones alone, which torch then refuses.
    batch, height, width = example_size(model)
    images = images.new_zeros(batch, images.shape[1], height, width)
    least = getattr(model, "min_export_size", 1)
    dims = {0: Dim("batch", min=1), 2: Dim("height", min=least), 3: Dim("width", min=least)}
    # Sizes as if unknown, so that a batch or a map of 1 gets no graph of its own, and what
    # cannot be proved (two ways to round up agree) is checked when the program runs.
    oblivious = symbolic_shapes.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    with oblivious, _sizes_of_poolings():
        program = torch.export.export(
            model,
            (images,),
            dynamic_shapes=(dims,),
            prefer_deferred_runtime_asserts_over_guards=True,
        )
    _forget_strides(program)
    return program


def _sizes_of_poolings() -> contextlib.AbstractContextManager[object]:
    """torch before 2.13 asks for the remainder of a pooling's size, which changes nothing, and
    would make a file for images whose maps are all even, or odd, like the example's."""
    if torch.__version__ >= "2.13":
        return contextlib.nullcontext()
    return mock.patch.object(torch._meta_registrations, "div_rtn", operator.floordiv)


def _forget_strides(program: ExportedProgram) -> None:
    """Take out what torch asserts to predict the strides of a map of one channel (a salient
    gate's): that it is larger than 1x1. No value depends on it."""
    for node in program.graph.find_nodes(
        op="call_function", target=torch.ops.aten._assert_scalar.default
    ):
        if str(node.args[1]).startswith("Runtime assertion failed for expression 1 < "):
            program.graph.erase_node(node)
    program.graph_module.recompile()


def example_size(model: nn.Module) -> tuple[int, int, int]:
    """Batch, height and width to trace with: ``EXAMPLE``, or larger where the network needs it."""
    batch, height, width = EXAMPLE
    least = getattr(model, "min_export_size", 1) + 2
    return batch, max(height, least), max(width, least)


def example_images(model: nn.Module, batch_and_size: tuple[int, int, int] | None = None) -> Tensor:
    """Random images that the network takes, on its device and in its type."""
    batch, height, width = batch_and_size or example_size(model)
    like = next(model.parameters())
    chans: int = getattr(getattr(model, "config", None), "in_chans", 3)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, chans, height, width, generator=generator).to(like)


def outputs(result: Tensor | list[Tensor] | tuple[Tensor, ...]) -> list[Tensor]:
    """A network's answer as a list: logits alone, or feature levels."""
    return [result] if isinstance(result, Tensor) else list(result)


# torch.export ---------------------------------------------------------------------------------


def _write_program(model: nn.Module, images: Tensor, path: Path, dynamic: bool) -> None:
    torch.export.save(export_program(model, images, dynamic=dynamic), path)


def _load_program(path: Path) -> Run:
    module = torch.export.load(path).module()
    return lambda images: outputs(module(images))


# ONNX -----------------------------------------------------------------------------------------


def _write_onnx(model: nn.Module, images: Tensor, path: Path, dynamic: bool) -> None:
    program = export_program(model, images, dynamic=dynamic)
    with torch.no_grad():
        count = len(outputs(model(images)))
    names = ["logits"] if count == 1 else [f"level{i}" for i in range(count)]
    with contextlib.redirect_stdout(io.StringIO()):  # it reports each step
        onnx = torch.onnx.export(
            program, dynamo=True, verbose=False, input_names=["images"], output_names=names
        )
    assert onnx is not None
    graph = onnx.model.graph
    shape = graph.inputs[0].shape
    assert shape is not None
    called = {str(shape[i]): name for i, name in ((0, "batch"), (2, "height"), (3, "width"))}
    for value in (*graph.inputs, *graph.outputs):
        for i, size in enumerate(value.shape or ()):
            if dynamic and str(size) in called:
                value.shape[i] = called[str(size)]  # type: ignore[index]
    onnx.save(path)


def _load_onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: [torch.from_numpy(x) for x in session.run(None, {name: images.numpy()})]


# TorchScript ----------------------------------------------------------------------------------


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    # Deprecated in torch, still what some runtimes take; and each comparison of two sizes is
    # warned of, where the check against the network says whether it matters.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _write_torchscript(model: nn.Module, images: Tensor, path: Path, dynamic: bool) -> None:
    with _quietly():
        torch.jit.trace(model, images, strict=False, check_trace=False).save(str(path))


def _load_torchscript(path: Path) -> Run:
    with _quietly():
        module = torch.jit.load(str(path))
    return lambda images: outputs(module(images))


# OpenVINO -------------------------------------------------------------------------------------


def _write_openvino(model: nn.Module, images: Tensor, path: Path, dynamic: bool) -> None:
    import openvino

    onnx = path.with_suffix(".onnx")
    _write_onnx(model, images, onnx, dynamic)
    openvino.save_model(openvino.convert_model(onnx), path, compress_to_fp16=False)
    for part in onnx.parent.glob(f"{onnx.name}*"):
        part.unlink()


@functools.cache
def openvino_core() -> Any:
    """The one core of this process, kept: each gives the thread that makes it another stack for
    signals, which is freed with it, and the next signal would end the process if a later core had
    taken note of that stack as the one to return to."""
    import openvino

    return openvino.Core()


def load_openvino(path: Path, precision: str = "f32") -> Run:
    """A file of OpenVINO's as a function that several threads may call.

    ``precision`` is ``f32`` or ``bf16``: left to itself the CPU would choose bfloat16 where it
    has it. Raises ValueError where OpenVINO does not compute in it.
    """
    import openvino

    compiled = openvino_core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    used = compiled.get_property("INFERENCE_PRECISION_HINT")
    if used != getattr(openvino.Type, precision):
        raise ValueError(
            f"OpenVINO has no {precision} on this machine, and would compute in "
            f"{used.get_type_name()}: precision='float32' is the nearest."
        )
    count = len(compiled.outputs)
    own = threading.local()  # a request runs one call at a time

    def run(images: Tensor) -> list[Tensor]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        results = own.request.infer(images.numpy())
        return [torch.from_numpy(results[i]) for i in range(count)]

    return run


def _least_for_windows(model: nn.Module) -> int:
    """The smallest image in which no pooling's window is larger than its map: OpenVINO refuses
    such a one, which torch takes where it rounds sizes up."""
    twin = copy.deepcopy(model).to("meta").eval()
    fits: list[bool] = []

    def watch(pool: nn.MaxPool2d, inputs: tuple[Tensor]) -> None:
        assert isinstance(pool.kernel_size, int) and isinstance(pool.padding, int)
        fits.append(min(inputs[0].shape[2:]) + 2 * pool.padding >= pool.kernel_size)

    for module in twin.modules():
        if isinstance(module, nn.MaxPool2d):
            module.register_forward_pre_hook(watch)
    least: int = model.min_export_size  # type: ignore[assignment]
    for size in itertools.count(least):
        fits.clear()
        with torch.no_grad():
            twin(example_images(twin, (1, size, size)))
        if all(fits):
            return size
    raise AssertionError("itertools.count ends never")


FORMATS.register("onnx", Format(".onnx", _write_onnx, _load_onnx))
FORMATS.register("torch-export", Format(".pt2", _write_program, _load_program))
FORMATS.register("torchscript", Format(".ts", _write_torchscript, _load_torchscript))
FORMATS.register("openvino", Format(".xml", _write_openvino, load_openvino, _least_for_windows))
