"""What kinds of devices a network is deployed on, and in which precisions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from ..network import Network

DEVICES: dict[str, tuple[str, ...]] = {
    "cpu": ("float32", "bfloat16", "int8"),
    "cuda": ("float32", "tf32", "float16", "bfloat16"),
}
"""the precisions of each kind of device; tf32 is float32 with products of 10 bits, by name alone"""
PRECISIONS = tuple(dict.fromkeys(each for kinds in DEVICES.values() for each in kinds))
_NEAREST = {"float16": "bfloat16", "tf32": "float32", "int8": "float16"}


def check_device(model: Network, example: Tensor) -> str:
    """The kind of device that the network and the example are on. Raises ValueError where that
    is not one of ``DEVICES``, or they are not together."""
    places = {each.device for each in (*model.parameters(), *model.buffers())}
    kind = example.device.type
    if kind not in DEVICES:
        raise ValueError(
            f"example is on {example.device}: this prepares a network for {' and '.join(DEVICES)}. "
            "On other devices use torch.compile(model)."
        )
    if places != {example.device}:
        of_model = ", ".join(sorted(map(str, places)))
        raise ValueError(
            f"example is on {example.device} and the network on {of_model}: move one to the other."
        )
    return kind


def check_precision(precision: str, kind: str) -> None:
    """Refuse a precision that this kind of device does not have, and name the nearest."""
    if precision not in (*DEVICES[kind], "auto"):
        raise ValueError(
            f"precision={precision!r} is not offered on {kind}: the nearest is "
            f"precision={_NEAREST[precision]!r}."
        )


def has_bfloat16(kind: str = "cpu") -> bool:
    """Whether this machine multiplies bfloat16 numbers by instructions of its own."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.backends.mkldnn.is_available()
    return known and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


_ASKED: dict[object, list[str]] = {}
"""what is in force of float32, the latest last; first what was before all of them"""
_LOCK = threading.Lock()


@contextmanager
def float32_as(precision: str) -> Iterator[None]:
    """Convolutions and products of float32 on NVIDIA GPUs, in the whole process meanwhile, as
    ``ieee`` or ``tf32``: cuDNN's are TF32 by default. Of several threads the last that asked has
    it; what was before comes back when none asks any more."""
    convs = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    places: tuple[Any, ...] = (torch.backends.cuda.matmul, convs)

    def take() -> None:
        for place, value in zip(places, list(_ASKED.values())[-1], strict=True):
            place.fp32_precision = value

    who = object()
    with _LOCK:
        if not _ASKED:
            _ASKED["before"] = [place.fp32_precision for place in places]
        _ASKED[who] = [precision] * len(places)
        take()
    try:
        yield
    finally:
        with _LOCK:
            del _ASKED[who]
            take()
            if len(_ASKED) == 1:
                _ASKED.clear()


@contextmanager
def without_autocast() -> Iterator[None]:
    """Autocast is off: what a deployed network computes in was chosen when it was made, and a
    graph would keep what it was recorded in."""
    with ExitStack() as stack:
        for kind in DEVICES:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def current(device: torch.device) -> AbstractContextManager[object]:
    """Makes a GPU the current one, which new streams, graphs and Triton's kernels go to."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
