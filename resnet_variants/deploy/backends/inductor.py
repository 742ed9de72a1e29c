"""``torch.compile`` with frozen weights; its compilation takes minutes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...network import Network
from .base import BACKENDS, Backend, Run


def _prepare(
    model: Network, example: Tensor, precision: str, calibration: Tensor | None
) -> dict[str, Run]:
    import torch._inductor.config as inductor

    net = torch.compile(model, dynamic=True)

    def run(images: Tensor) -> Any:
        with inductor.patch(freezing=True), torch.no_grad():
            return net(images.contiguous(memory_format=torch.channels_last))

    return {"channels_last": run}


BACKENDS.register("inductor", Backend(_prepare, automatic=False))
