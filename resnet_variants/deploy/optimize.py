"""Choosing the fastest way to run a network on this machine, by measuring."""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..choices import check_choice
from ..network import Network
from .memory import keep_freed_memory
from .pack import pack

BACKENDS = ("torch", "inductor", "onnxruntime", "openvino")
Run = Callable[[Tensor], Any]


@dataclass(frozen=True)
class DeployReport:
    """What was chosen, how exact it is, and what it gains here."""

    backend: str
    layout: str
    max_difference: float
    """greatest difference from the network's own outputs, relative to their greatest value"""
    speedup: float
    """median of the ratios of process CPU time, eager over this, in interleaved rounds"""
    tried: dict[str, float]
    """the same for everything that was measured, by back end and layout"""
    keeps_memory: bool
    """whether the process was set to keep freed memory"""

    def __str__(self) -> str:
        return (
            f"{self.backend} ({self.layout}): {self.speedup:.2f} times as fast as eager here, "
            f"outputs within {self.max_difference:.1e}"
            + (", freed memory kept in the process" if self.keeps_memory else "")
        )


class Deployed:
    """A network ready to run: called like the network, for any batch and image size."""

    def __init__(self, run: Run, report: DeployReport) -> None:
        self._run = run
        self.report = report

    def __call__(self, images: Tensor) -> Any:
        with torch.inference_mode():
            return self._run(images)

    def __repr__(self) -> str:
        return f"Deployed({self.report})"


def optimize_for_inference(
    model: Network,
    example: Tensor,
    backend: str = "auto",
    *,
    keep_memory: bool = False,
    rounds: int = 5,
) -> Deployed:
    """A faster network with the same outputs, for inference on this machine's CPU.

    ``backend`` is ``torch`` (folded, fused and packed, no compiler), ``inductor``
    (``torch.compile`` with frozen weights), ``onnxruntime``, ``openvino``, or ``auto``: the
    fastest for ``example`` of those that are installed (without ``inductor``, whose compilation
    takes minutes). ``example`` is a batch of images as they will come; others work, too.
    ``keep_memory`` opts in to ``keep_freed_memory``, for the whole process.

    The model stays as it is and must be in eval mode. Raises ValueError when it is not, for
    images on another device, an unknown back end, or when outputs differ by more than 1e-3;
    ImportError for a back end that is not installed.
    """
    check_choice("backend", backend, ("auto", *BACKENDS))
    if model.training:
        raise ValueError("The network is in training mode: call model.eval() before deploying it.")
    if example.device.type != "cpu":
        raise ValueError(
            f"example is on {example.device}: this prepares a network for the CPU. "
            "On other devices use torch.compile(model)."
        )
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, not {rounds}.")
    with torch.inference_mode():
        expected = model(example)
    if keep_memory:
        keep_freed_memory()
    candidates: dict[tuple[str, str], Run] = {}
    for name in _installed() if backend == "auto" else (backend,):
        for layout, run in _MAKE[name](model, example).items():
            candidates[name, layout] = run
    differences = {key: _difference(run, example, expected) for key, run in candidates.items()}
    speedups = _measure(model, candidates, example, rounds)
    best = max(speedups, key=speedups.__getitem__)
    if differences[best] > 1e-3:
        raise ValueError(
            f"{best[0]} differs from the network by {differences[best]:.1e} of its greatest output."
        )
    report = DeployReport(
        backend=best[0],
        layout=best[1],
        max_difference=differences[best],
        speedup=speedups[best],
        tried={f"{name} {layout}": ratio for (name, layout), ratio in speedups.items()},
        keeps_memory=keep_memory,
    )
    return Deployed(candidates[best], report)


def _torch(model: Network, example: Tensor) -> dict[str, Run]:
    return {
        "channels_last": pack(model, example, channels_last=True),
        "NCHW": pack(model, example, channels_last=False),
    }


def _inductor(model: Network, example: Tensor) -> dict[str, Run]:
    import torch._inductor.config as inductor

    net = torch.compile(model, dynamic=True)

    def run(images: Tensor) -> Any:
        with inductor.patch(freezing=True), torch.no_grad():
            return net(images.contiguous(memory_format=torch.channels_last))

    return {"channels_last": run}


def _exported(to: str) -> Callable[[Network, Tensor], dict[str, Run]]:
    def make(model: Network, example: Tensor) -> dict[str, Run]:
        _require(to)
        from ..export import FORMATS

        form = FORMATS["onnx" if to == "onnxruntime" else to]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"network{form.suffix}"
            form.write(model, example, path, True)
            load = form.load(path)
        single = model.out_indices is None

        def run(images: Tensor) -> Any:
            outputs = load(images.contiguous())
            return outputs[0] if single else outputs

        return {"NCHW": run}

    return make


_MAKE: dict[str, Callable[[Network, Tensor], dict[str, Run]]] = {
    "torch": _torch,
    "inductor": _inductor,
    "onnxruntime": _exported("onnxruntime"),
    "openvino": _exported("openvino"),
}


def _installed() -> Sequence[str]:
    return [
        name
        for name in BACKENDS
        if name == "torch" or (name != "inductor" and importlib.util.find_spec(name) is not None)
    ]


def _require(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        extra = "export" if package == "onnxruntime" else package
        raise ImportError(
            f"backend={package!r} needs {package}: pip install 'resnet-variants[{extra}]'."
        )


def _difference(run: Run, example: Tensor, expected: Any) -> float:
    with torch.inference_mode():
        found = run(example)
    pairs = zip(_list(found), _list(expected), strict=True)
    return max(((a - b).abs().max() / b.abs().max().clamp_min(1e-12)).item() for a, b in pairs)


def _list(outputs: Any) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def _measure(
    model: nn.Module, candidates: dict[tuple[str, str], Run], example: Tensor, rounds: int
) -> dict[tuple[str, str], float]:
    """Ratios of process CPU time, eager over candidate: each round runs all of them."""
    ratios: dict[tuple[str, str], list[float]] = {key: [] for key in candidates}
    with torch.inference_mode():
        for each in range(rounds + 1):
            eager = cpu_seconds(model, example)
            for key, run in candidates.items():
                spent = cpu_seconds(run, example)
                if each:  # the first round warms up
                    ratios[key].append(eager / spent)
    return {key: statistics.median(values) for key, values in ratios.items()}


def cpu_seconds(run: Run, images: Tensor) -> float:
    """Process CPU time, over all threads, of one run."""
    start = time.process_time()
    run(images)
    return max(time.process_time() - start, 1e-9)
