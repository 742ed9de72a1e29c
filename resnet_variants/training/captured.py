"""A step of the optimiser, and a forward pass of the test, as CUDA graphs.

Augmentation, forward, loss, backward, clipping and the optimiser are recorded once; which images
a step takes, its learning rate and its random numbers are read from tensors at each replay.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..capture import CudaGraph, Graph, NotRecordedError
from .images import Batch, EpochBatches
from .recipe import Recipe
from .resident import ResidentImages

_LOG = logging.getLogger(__name__)
FROM_ZERO = (
    torch.optim.SGD,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.RMSprop,
    torch.optim.RAdam,
    torch.optim.Adamax,
    torch.optim.Adadelta,
)
"""optimisers that can be recorded, and whose state starts at zero (NAdam's and ASGD's do not)"""


class Training(Protocol):
    """What is recorded of a training: the trainer has it."""

    recipe: Recipe
    accelerator: Any
    device: torch.device
    network: nn.Module
    optimizer: torch.optim.Optimizer
    mix: Any
    loss: Tensor

    @property
    def tested(self) -> nn.Module:
        """The network that is tested."""

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Images and labels on the device."""

    def part(self, images: Tensor, labels: Tensor, part: int) -> None:
        """Compute one part of a batch; with the last one the optimiser takes its step."""


class CapturedStep:
    """The steps of ``trainer``, whose training images stay on the device, from one recording;
    ``tested`` is the network that it tests, replayed likewise."""

    def __init__(
        self, trainer: Training, images: ResidentImages, make_graph: Callable[[], Graph]
    ) -> None:
        recipe = trainer.recipe
        shape = (recipe.accumulate, recipe.batch_size // recipe.accumulate)
        self.trainer, self.images, self.graph = trainer, images, make_graph()
        self.tested = Replayed(trainer.tested, make_graph())
        self.positions = torch.zeros(shape, dtype=torch.long, device=trainer.device)
        self._order: Iterator[Tensor] = iter(())
        trainer.network.train()
        with _left_as_it_was(trainer):
            self.graph.record(self._work)

    def _work(self) -> None:
        for part, positions in enumerate(self.positions):
            self.trainer.part(*self.trainer.inputs(self.images.pick(positions)), part)

    def start(self, sampler: EpochBatches) -> None:
        """Bring the order, shifts and flips of the sampler's epoch onto the device."""
        self.images.start(sampler.epoch)
        keys = [[position for _, position in batch] for batch in sampler]
        order = torch.tensor(keys).view(-1, *self.positions.shape)
        self._order = iter(order.to(self.trainer.device, non_blocking=True))

    def __call__(self) -> None:
        """The next step of the epoch."""
        self.positions.copy_(next(self._order))
        self.graph.replay()


class Replayed(nn.Module):
    """A network in eval mode: recorded at its first images, replayed for all of their shape and
    type, as it is for others. An answer is the caller's until the next one."""

    def __init__(self, network: nn.Module, graph: Graph) -> None:
        super().__init__()
        self.network, self.graph = network, graph
        self.images: Tensor | None = None
        self.answer: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """The network's answer to images on its device."""
        if self.images is None:
            self.images = images.clone()  # in their layout
            self.graph.record(self._work)
        if (images.shape, images.dtype) != (self.images.shape, self.images.dtype):
            answer: Tensor = self.network(images)
            return answer
        self.images.copy_(images)
        self.graph.replay()
        return self.answer

    def _work(self) -> None:
        assert self.images is not None
        kind = self.images.device.type
        # Weights that autocast has cast and kept are freed with it: the graph casts its own.
        with torch.autocast(
            kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind), False
        ):
            self.answer = self.network(self.images)


def captured_step(trainer: Training, images: object) -> CapturedStep | None:
    """The trainer's step as a CUDA graph, or None, with the reason in the log.

    Raises ValueError for a network whose step cannot be recorded.
    """
    reason = why_not(trainer, images)
    if reason is None and not capturable(trainer.optimizer, trainer.device):
        reason = f"{type(trainer.optimizer).__name__} is not one of those that can be"
    if reason is not None:
        if trainer.device.type == "cuda":
            _LOG.info("steps are not captured as a graph: %s", reason)
        return None
    assert isinstance(images, ResidentImages)
    try:
        return CapturedStep(trainer, images, CudaGraph)
    except NotRecordedError as error:
        raise ValueError(f"{error}. With capture=False each step is computed anew.") from error


def why_not(trainer: Training, images: object) -> str | None:
    """Why the steps of a trainer cannot be captured; None when they can."""
    recipe = trainer.recipe
    reasons = {
        "capture is off": not recipe.capture,
        "the device is not a CUDA GPU": trainer.device.type != "cuda",
        "the images do not stay on the device": not isinstance(images, ResidentImages),
        "several processes share each step": trainer.accelerator.num_processes > 1,
        "precision fp16 reads on the host whether a gradient overflowed": (
            recipe.precision == "fp16"
        ),
        "mixup and CutMix draw on the host, but with augment='batches'": trainer.mix is not None,
        "grad_checkpointing reads the random state on the host": recipe.grad_checkpointing,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def capturable(optimizer: torch.optim.Optimizer, device: torch.device) -> bool:
    """Make an optimiser read its learning rate from a tensor, in one kernel where it has one.
    Whether it is one of torch's that can, and whose state starts at zero."""
    if type(optimizer) not in FROM_ZERO:
        return False
    for group in optimizer.param_groups:
        # Adam has both: one kernel, and without the other torch refuses to record it.
        group.update({key: True for key in ("fused", "capturable") if key in group})
        group["lr"] = torch.tensor(float(group["lr"]), device=device)
    for values in optimizer.state.values():
        if "step" in values:  # on the host, where plain steps were taken before
            values["step"] = values["step"].to(device)
    return True


@contextlib.contextmanager
def _left_as_it_was(trainer: Training) -> Iterator[None]:
    """Whatever is trained inside is undone, in the same tensors: a graph has their addresses.

    State that the optimiser makes inside starts at zero, which is what it starts from.
    """
    network, state = trainer.network, trainer.optimizer.state
    tensors = [*network.parameters(), *network.buffers(), trainer.loss, *_tensors(state)]
    before = [(tensor, tensor.detach().clone()) for tensor in tensors]
    yield
    with torch.no_grad():
        for tensor in _tensors(state):
            tensor.zero_()
        for tensor, value in before:
            tensor.copy_(value)


def _tensors(state: Any) -> list[Tensor]:
    return [v for values in state.values() for v in values.values() if torch.is_tensor(v)]
