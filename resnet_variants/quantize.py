"""Static 8-bit quantisation by the runtimes' own tools, with a report of what it costs.

``quantize(model, images, "network.onnx")`` calibrates on the images and writes a network whose
convolutions and linear layers compute in int8: onnxruntime's quantiser for ``.onnx``, NNCF for
OpenVINO's ``.xml``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .choices import Registry
from .export import FORMATS, Run
from .export.formats import example_images, openvino_core
from .network import Network, network_of
from .network.folding import summed
from .network.inputs import check_images
from .storage import several


@dataclass(frozen=True)
class Quantized:
    """An int8 network: the file, how near it stays to float32, and what it saves."""

    path: Path
    sqnr: float
    """signal to quantisation noise of the logits, in decibels; 20 is a tenth of the signal"""
    agreement: float
    """share of the images whose largest logit is the float network's"""
    seconds: float
    """for one image, the median of several runs"""
    float_seconds: float
    """the same for the float network in the same runtime"""
    bytes: int
    float_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.sqnr:.1f} dB, top-1 agreement {self.agreement:.1%}, "
            f"{1e3 * self.seconds:.2f} ms an image (float32 {1e3 * self.float_seconds:.2f}), "
            f"{self.bytes / 2**20:.1f} MiB (float32 {self.float_bytes / 2**20:.1f})"
        )


def quantize(
    model: Network,
    calibration: Tensor | Sequence[Tensor],
    path: str | Path,
    *,
    images: Tensor | None = None,
) -> Quantized:
    """Write the network in int8, its ranges taken from ``calibration``, and compare.

    ``calibration``: preprocessed images (N, C, H, W), or batches of them; some tens suffice.
    The report is over ``images``, by default the calibration's own. ``path`` ends in ``.onnx``
    or ``.xml`` (OpenVINO). Raises ValueError for another suffix, a network without classifier,
    an empty calibration, or a folder that cannot be written.
    """
    model = network_of(model)
    path = Path(path).expanduser()
    formats = {FORMATS[name].suffix: name for name in QUANTIZERS}
    if path.suffix not in formats:
        raise ValueError(f"{path.name!r} ends in neither of {', '.join(formats)}.")
    if model.out_indices is not None or not model.num_classes:
        raise ValueError("Agreement is over classes: quantize a network with a classifier.")
    batches = [calibration] if isinstance(calibration, Tensor) else list(calibration)
    for batch in batches:
        check_images(batch, model.config.in_chans, "calibration")
    if images is not None:
        check_images(images, model.config.in_chans, "images")
    if not sum(len(batch) for batch in batches):
        raise ValueError("calibration holds no image.")
    name = formats[path.suffix]
    least = FORMATS[name].least(model)
    for batch in (*batches, *([] if images is None else [images])):
        if min(batch.shape[2:]) < least:
            height, width = batch.shape[2:]
            raise ValueError(
                f"Images of {height}x{width} are too small: exported to {name}, this network "
                f"takes images from {least}x{least}."
            )
    training = model.training
    model.eval()
    try:
        with tempfile.TemporaryDirectory() as folder:
            exact = Path(folder) / f"float{path.suffix}"
            with several(path) as whole:
                FORMATS[name].write(summed(model), example_images(model), exact, True)
                singles = [image[None] for batch in batches for image in batch]
                QUANTIZERS[name](exact, whole, singles)
            evaluated = torch.cat(batches) if images is None else images
            return _compare(FORMATS[name].load, exact, path, evaluated)
    finally:
        model.train(training)


Quantizer = Callable[[Path, Path, list[Tensor]], None]
"""(float file, int8 file, calibration images one by one)"""

QUANTIZERS: Registry[Quantizer] = Registry("quantizer")


@QUANTIZERS.register("onnx")
def _quantize_onnx(exact: Path, path: Path, images: list[Tensor]) -> None:
    from onnxruntime.quantization import CalibrationMethod, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader:
        """What onnxruntime calibrates with: one feed after the other, then None."""

        def __init__(self) -> None:
            self.feeds: Iterator[dict[str, Any]] = iter({"images": x.numpy()} for x in images)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.feeds, None)

    folded = exact.with_name("folded.onnx")  # normalisation in the convolutions
    quant_pre_process(exact, folded, skip_symbolic_shape=True)
    quantize_static(
        folded,
        path,
        Reader(),
        per_channel=True,
        reduce_range=True,  # 7-bit weights: processors without VNNI would overflow
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
    )


@QUANTIZERS.register("openvino")
def _quantize_openvino(exact: Path, path: Path, images: list[Tensor]) -> None:
    import nncf
    import openvino

    model = openvino_core().read_model(exact)
    data = nncf.Dataset([image.numpy() for image in images])
    openvino.save_model(nncf.quantize(model, data, subset_size=len(images)), path)


def _compare(load: Callable[[Path], Run], exact: Path, path: Path, images: Tensor) -> Quantized:
    float_run, run = load(exact), load(path)
    expected = torch.cat([float_run(image[None])[0] for image in images])
    got = torch.cat([run(image[None])[0] for image in images])
    noise = (got - expected).square().mean().clamp(min=1e-20)
    return Quantized(
        path=path,
        sqnr=float(10 * torch.log10(expected.square().mean() / noise)),
        agreement=float((got.argmax(1) == expected.argmax(1)).float().mean()),
        seconds=_seconds(run, images[:1]),
        float_seconds=_seconds(float_run, images[:1]),
        bytes=_size(path),
        float_bytes=_size(exact),
    )


def _seconds(run: Run, image: Tensor, repeats: int = 9) -> float:
    run(image)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run(image)
        times.append(time.perf_counter() - start)
    return sorted(times)[repeats // 2]


def _size(path: Path) -> int:
    """Bytes of a file and of the weights that lie beside it."""
    beside = (path.with_suffix(".bin"), Path(f"{path}.data"))
    return sum(each.stat().st_size for each in (path, *beside) if each.exists())
