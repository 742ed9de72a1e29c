"""A copy of a training's state: from the device in one piece, so that the training goes on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten


class Snapshots:
    """Copies of nested tensors through one flat buffer a type, page-locked for a GPU's and kept
    for the next copy. The values are those of the moment; who needs them waits for them."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def take(self, state: Any) -> Callable[[], Any]:
        """Begin to copy. What comes back waits, in whichever thread, and gives the state with
        tensors on the CPU; it must be called before the next copy begins."""
        values, shape = tree_flatten(state)
        groups: dict[tuple[torch.device, torch.dtype], list[int]] = {}
        for i, value in enumerate(values):
            if isinstance(value, Tensor):
                values[i] = _dense(value)
                groups.setdefault((value.device, value.dtype), []).append(i)
            else:
                values[i] = copy.copy(value)
        buffers, arrived = {}, []
        for key, places in groups.items():
            device = key[0]
            flat = torch.cat([_flat(values[i]) for i in places])
            if device.type == "cuda":
                buffer = self._buffers.get(key)
                if buffer is None or len(buffer) != len(flat):
                    buffer = torch.empty(len(flat), dtype=key[1], pin_memory=True)
                    self._buffers[key] = buffer
                buffer.copy_(flat, non_blocking=True)
                arrived.append(torch.cuda.Event())
                arrived[-1].record(torch.cuda.current_stream(device))
                flat = buffer
            buffers[key] = flat.cpu()
        layouts = {i: (values[i].shape, values[i].stride()) for p in groups.values() for i in p}

        def wait() -> Any:
            for event in arrived:
                event.synchronize()
            for key, places in groups.items():
                sizes = [layouts[i][0].numel() for i in places]
                for i, part in zip(places, buffers[key].split(sizes), strict=True):
                    values[i] = part.clone().as_strided(*layouts[i])  # storage of its own
            return tree_unflatten(values, shape)

        return wait


def _dense(tensor: Tensor) -> Tensor:
    """The tensor, or where there are gaps between its places or others share them, a copy."""
    tensor = tensor.detach()
    alike = torch.empty_like(tensor, device="meta").stride() == tensor.stride()
    return tensor if alike else tensor.contiguous()


def _flat(tensor: Tensor) -> Tensor:
    """A dense tensor's values in the order in which they lie in memory."""
    return tensor.as_strided((tensor.numel(),), (1,))
