"""Choosing the fastest way to run a network on this machine, by measuring."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..checkpoints.models import weights_of
from ..choices import check_choice
from ..network import Network, network_of
from ..network.inputs import check_images
from .backends import BACKENDS, FromFiles, Run, cannot_be_saved
from .deployed import Deployed
from .devices import (
    DEVICES,
    PRECISIONS,
    check_device,
    check_precision,
    float32_as,
    has_bfloat16,
    wait,
    without_autocast,
)
from .memory import keep_freed_memory, most_added, weight_bytes
from .race import race
from .report import DeployReport

EXACT = 1e-3  # how far float32 may be off; lower precisions by max_difference alone

Way = tuple[str, str, str]
"""back end, precision, layout"""


@without_autocast()
def optimize_for_inference(
    model: Network,
    example: Tensor,
    backend: str = "auto",
    *,
    precision: str = "float32",
    calibration: Tensor | None = None,
    max_difference: float | None = None,
    keep_memory: bool = False,
    savable: bool = False,
    rounds: int = 5,
) -> Deployed:
    """A faster network with the same outputs, for inference on the device that it is on.

    On a CPU ``backend`` is ``torch`` (folded, fused and packed, no compiler), ``inductor``
    (``torch.compile`` with frozen weights), ``aotinductor`` (the same, compiled ahead into a
    package), ``onnxruntime`` or ``openvino``; on an NVIDIA GPU ``cuda_graphs`` (folded, fused,
    recorded once for each shape), ``inductor`` (compiled, then recorded) or ``tensorrt``; one of
    the user's own (``BACKENDS.register``), or ``auto``: by the clock the fastest for ``example``
    of those that are installed (without compilers, which take minutes). ``example`` is a batch
    of images as they will come; others work, too. ``savable`` leaves out what ``Deployed.save``
    cannot keep: ``torch``, ``inductor``, and all on a GPU.

    ``precision`` is ``float32``, ``bfloat16``, on a GPU ``float16`` or ``tf32`` (float32 whose
    products have 10 bits), on a CPU ``int8`` (with preprocessed ``calibration`` images, some
    tens), or ``auto``: the fastest whose outputs for ``example`` stay within
    ``max_difference`` of the network's own, relative to their greatest value; int8 is among
    them with ``calibration``, bfloat16 where the machine has instructions for it. Images and
    outputs are float32 throughout. Without ``max_difference``, float32 may differ by 1e-3, and
    what a precision asked for by name costs is in the report.
    ``keep_memory`` opts in to ``keep_freed_memory``, for the whole process.

    The model stays as it is, in float32 and in eval mode. Raises ValueError when it is not, for
    images on another device, an unknown back end or precision, one that the back end does not
    have, or when nothing stays within the difference; ImportError for a back end that is not
    installed.
    """
    model = network_of(model)
    check_choice("backend", backend, ("auto", *BACKENDS))
    check_choice("precision", precision, (*PRECISIONS, "auto"))
    for name, images in (("example", example), ("calibration", calibration)):
        if images is not None:
            check_images(images, model.config.in_chans, name)
            if not len(images):
                raise ValueError(f"{name} holds no image.")
    device = check_device(model, example)
    check_precision(precision, device)
    _check(model, example, rounds)
    if precision == "auto" and max_difference is None:
        raise ValueError(
            "precision='auto' needs max_difference, how far outputs may be off (1e-2 is a "
            "hundredth of the greatest): speed never costs accuracy silently."
        )
    if precision == "int8" and calibration is None:
        raise ValueError("precision='int8' needs calibration: some tens of preprocessed images.")
    if backend != "auto":
        BACKENDS[backend].require()
    with torch.inference_mode(), float32_as("ieee"):
        expected = model(example)
    if keep_memory:
        keep_freed_memory()
    runs: dict[Way, Run] = {}
    refused: dict[str, float] = {}
    added: dict[Way, int | None] = {}
    for name, kind in _candidates(backend, precision, device, calibration is not None, savable):
        for layout, run in BACKENDS[name].prepare(model, example, kind, calibration).items():
            found, added[name, kind, layout] = most_added(
                partial(_outputs, run, example), example.device
            )
            difference = _difference(found, expected)
            if difference <= _allowed(kind, max_difference):
                runs[name, kind, layout] = run
            else:
                refused[f"{name} {kind} {layout}"] = difference
    if not runs:
        off = ", ".join(f"{way} by {difference:.1e}" for way, difference in refused.items())
        raise ValueError(f"Nothing stays within max_difference of the network's outputs: {off}.")
    calls = {way: partial(_outputs, run, example) for way, run in runs.items()}
    eager: Way = ("eager", "float32", "NCHW")
    with float32_as("ieee"):
        wall, cpu = race({eager: partial(_outputs, model, example), **calls}, eager, rounds=rounds)
    best = max(runs, key=wall.__getitem__)
    weights, more = weight_bytes(runs[best]), added[best]
    report = DeployReport(
        backend=best[0],
        precision=best[1],
        layout=best[2],
        max_difference=_difference(_outputs(runs[best], example), expected),
        speedup=wall[best],
        cpu_speedup=cpu[best],
        tried={" ".join(way): wall[way] for way in runs},
        refused=refused,
        emulated=best[1] == "bfloat16" and not has_bfloat16(device),
        keeps_memory=keep_memory,
        weights_mib=None if weights is None else weights / 2**20,
        memory_mib=None if weights is None or more is None else (weights + more) / 2**20,
    )
    run = runs[best]
    least = model.min_export_size if isinstance(run, FromFiles) else model.min_size
    return Deployed(run, report, model.config, weights_of(model), min_size=least)


def _check(model: Network, example: Tensor, rounds: int) -> None:
    if model.training:
        raise ValueError("The network is in training mode: call model.eval() before deploying it.")
    types = {each.dtype for each in (example, *model.parameters())} - {torch.float32}
    if types:
        raise ValueError(
            f"The network and example must be float32, not {types.pop()}: call .float() on both, "
            "and name what to compute in by precision."
        )
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, not {rounds}.")


def _candidates(
    backend: str, precision: str, device: str, calibrated: bool, savable: bool
) -> Sequence[tuple[str, str]]:
    """The back ends and precisions to prepare."""
    names = [backend]
    able = [name for name in BACKENDS if BACKENDS[name].load is not None or not savable]
    here = [name for name in able if device in BACKENDS[name].devices]
    if backend == "auto":
        names = [each for each in here if BACKENDS[each].automatic and BACKENDS[each].installed()]
    elif backend not in able:
        raise cannot_be_saved(backend)
    elif backend not in here:
        raise ValueError(
            f"backend={backend!r} runs on {' and '.join(BACKENDS[backend].devices)}, and the "
            f"network is on {device}: there {' and '.join(map(repr, here))} run."
        )
    kinds = [precision]
    if precision == "auto":
        ready = {"bfloat16": has_bfloat16(device), "int8": calibrated, "tf32": False}
        kinds = [kind for kind in DEVICES[device] if ready.get(kind, True)]
    found = [(name, kind) for name in names for kind in kinds if kind in BACKENDS[name].precisions]
    if not found:
        with_it = [name for name in here if precision in BACKENDS[name].precisions]
        where = f"backend={backend!r}" if backend != "auto" else "What is installed"
        raise ValueError(
            f"{where} has no precision={precision!r}; {' and '.join(map(repr, with_it))} have it."
        )
    return found


def _allowed(precision: str, max_difference: float | None) -> float:
    if max_difference is not None:
        return max_difference
    return EXACT if precision == "float32" else sys.float_info.max  # a number, whatever it is


def _outputs(run: Run, example: Tensor) -> Any:
    with torch.inference_mode():
        found = run(example)
        wait(example.device)
        return found


def _difference(found: Any, expected: Any) -> float:
    pairs = zip(_list(found), _list(expected), strict=True)
    each = [(a - b).abs().max() / b.abs().max().clamp_min(1e-12) for a, b in pairs]
    return torch.stack(each).max().item()  # which is no number where one is none


def _list(outputs: Any) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)
