"""Speed and memory of a network, measured where it was trained."""

from __future__ import annotations

import copy
import time
from statistics import median
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .loop import Trainer

SECONDS = 0.5
"""how long inference is measured, after one batch that is not counted"""


@torch.no_grad()
def inference_speed(trainer: Trainer) -> float:
    """Images/s of the forward pass in batches of the recipe's size: the median batch."""
    network = trainer.network
    images = torch.randn(trainer.recipe.batch_size, *trainer.data.shape, device=trainer.device)
    images = images.contiguous(memory_format=trainer.layout)
    was_training = network.training
    network.eval()
    times: list[float] = []
    with trainer.accelerator.autocast():
        network(images)
        while len(times) < 5 or sum(times) < SECONDS:
            _wait(trainer.device)
            started = time.perf_counter()
            network(images)
            _wait(trainer.device)
            times.append(time.perf_counter() - started)
    network.train(was_training)
    return len(images) / median(times)


def training_memory(trainer: Trainer) -> int:
    """Bytes of a training step.

    On a GPU the peak that torch allocated. A CPU's allocator does not count: there weights,
    gradients and the optimiser's state plus the tensors that the forward pass of a process's
    part of a batch keeps for the backward pass.
    """
    if trainer.device.type == "cuda":
        return torch.cuda.max_memory_allocated(trainer.device)
    network = copy.deepcopy(trainer.network).train()
    parameters = list(network.parameters())
    known = {p.untyped_storage().data_ptr() for p in parameters}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    recipe = trainer.recipe
    batch = recipe.batch_size // recipe.accumulate // trainer.accelerator.num_processes
    images = torch.randn(batch, *trainer.data.shape).contiguous(memory_format=trainer.layout)
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, trainer.accelerator.autocast():
        output = network(images)  # alive until counted, so that no address is used twice
    states = trainer.optimizer.state.values()
    state = sum(v.nbytes for s in states for v in s.values() if isinstance(v, torch.Tensor))
    del output
    return 2 * sum(p.nbytes for p in parameters) + state + sum(kept.values())


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize()
