"""Speed and memory of a network, measured where it was trained."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from statistics import median

import torch
from torch import Tensor, nn

Autocast = Callable[[], AbstractContextManager[object]]

SECONDS = 0.5
"""how long inference is measured, after one batch that is not counted"""


@torch.no_grad()
def inference_speed(network: nn.Module, images: Tensor, autocast: Autocast) -> float:
    """Images/s of the forward pass in batches as ``images``: the median batch."""
    was_training = network.training
    network.eval()
    times: list[float] = []
    with autocast():
        network(images)
        while len(times) < 5 or sum(times) < SECONDS:
            _wait(images.device)
            started = time.perf_counter()
            network(images)
            _wait(images.device)
            times.append(time.perf_counter() - started)
    network.train(was_training)
    return len(images) / median(times)


def training_memory(
    network: nn.Module, images: Tensor, optimizer: torch.optim.Optimizer, autocast: Autocast
) -> int:
    """Bytes of a training step on ``images``, a process's part of a batch.

    On a GPU the peak that torch allocated. A CPU's allocator does not count: there weights,
    gradients and the optimiser's state plus the tensors that the forward pass keeps for the
    backward pass.
    """
    if images.device.type == "cuda":
        return torch.cuda.max_memory_allocated(images.device)
    network = copy.deepcopy(network).train()
    parameters = list(network.parameters())
    known = {p.untyped_storage().data_ptr() for p in parameters}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, autocast():
        output = network(images)  # alive until counted, so that no address is used twice
    states = optimizer.state.values()
    state = sum(v.nbytes for s in states for v in s.values() if isinstance(v, torch.Tensor))
    del output
    return 2 * sum(p.nbytes for p in parameters) + state + sum(kept.values())


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
