"""``torch.compile``; its compilation takes minutes. On a CPU with frozen weights, on a GPU folded
and recorded as CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...network import Network
from ...network.folding import summed
from ..captured import Captured
from ..devices import float32_as
from ..pack import pack
from .base import BACKENDS, Backend, Run
from .cuda_graphs import settings_of, type_of


def _prepare(
    model: Network, example: Tensor, precision: str, calibration: Tensor | None
) -> dict[str, Run]:
    prepare = _on_cpu if example.device.type == "cpu" else _on_gpu
    return {"channels_last": prepare(model, example, precision)}


def _on_cpu(model: Network, example: Tensor, precision: str) -> Run:
    net: Any = summed(model)
    if precision != "float32":
        net = pack(model, example, dtype=type_of(precision), target="compiler")
    frozen = with_frozen_weights(torch.compile(net, dynamic=True))
    return lambda images: frozen(images.contiguous(memory_format=torch.channels_last))


def with_frozen_weights(compiled: Callable[..., Any]) -> Run:
    """A network from ``torch.compile`` whose weights are taken as constants."""
    import torch._inductor.config as inductor

    def run(images: Tensor) -> Any:
        with inductor.patch(freezing=True), torch.no_grad():
            return compiled(images)

    return run


def _on_gpu(model: Network, example: Tensor, precision: str) -> Run:
    dtype = type_of(precision)
    net = pack(model, example, dtype=dtype, target="compiler")
    return Captured(
        torch.compile(net),
        device=example.device,
        dtype=dtype,
        layout=torch.channels_last,
        settings=partial(float32_as, settings_of(precision)),
    )


BACKENDS.register(
    "inductor",
    Backend(
        _prepare,
        ("float32", "tf32", "float16", "bfloat16"),
        automatic=False,
        devices=("cpu", "cuda"),
    ),
)
