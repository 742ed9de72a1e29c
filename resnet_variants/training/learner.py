"""A network that learns: its weights, their average and its optimiser, on one device or many."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_state_dict,
)

from ..builders import build
from ..config import NetworkConfig
from ..finetune import freeze
from ..network import initialise
from .augment import Normalise, batch_mix
from .batched import Mixing
from .criterion import make_loss
from .data import Data
from .engine import Average, distribute, shard
from .images import Batch
from .optim import make_optimizer
from .recipe import Recipe
from .start import Start, fill

_LOG = logging.getLogger(__name__)
_OF_MACHINE = ("lr", "fused", "foreach", "capturable")
"""of a group of the optimiser: a rate may lie on a device, and is set before each step"""


class Learner:
    """What takes batches and learns; which batches, and when, is the trainer's to say."""

    def __init__(
        self,
        config: NetworkConfig,
        recipe: Recipe,
        data: Data,
        accelerator: Any,
        start: Start | None = None,
    ) -> None:
        self.config, self.recipe, self.accelerator = config, recipe, accelerator
        self.device = accelerator.device
        network = build(config)
        initialise(network, recipe.seed)
        if start is not None:
            new = fill(network, start, recipe, data.classes)
            _LOG.info("starts from %s%s", start.name, f", with {' and '.join(new)}" * bool(new))
        if recipe.freeze_stages is not None:
            freeze(network, recipe.freeze_stages)
        layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.layout = layout
        network.to(device=self.device, memory_format=layout)
        network.set_grad_checkpointing(recipe.grad_checkpointing)
        self.network = network
        self.ema = None
        if recipe.ema:
            self.ema = Average(network, recipe.ema, rises=recipe.ema_start == "rise")
            if recipe.sharding == "fsdp":
                shard(self.ema.module, accelerator)
        self.model = distribute(network, accelerator, recipe)
        if recipe.compile:
            # Code is compiled once for all networks of a configuration; with the default limit of
            # 8 for all of a process, the ninth gate of a trial would be computed uncompiled.
            limits = torch._dynamo.config
            limits.recompile_limit = max(limits.recompile_limit, 64)
            self.model.compile()
        self.optimizer = make_optimizer(network, recipe)
        self.stepper = accelerator.prepare_optimizer(self.optimizer)
        self.criterion = make_loss(recipe)
        self.mix = batch_mix(recipe, data.num_classes)
        self.mixing = Mixing(recipe.mixup, recipe.cutmix, data.num_classes)
        self.normalise = Normalise(data.mean, data.std, self.device)
        self.loss = torch.zeros((), device=self.device)
        """the sum of the epoch's losses in this process"""

    def part(self, images: Tensor, labels: Tensor, part: int) -> None:
        """Compute one part of a batch; with the last one the optimiser takes its step."""
        recipe, accelerator = self.recipe, self.accelerator
        with accelerator.accumulate(self.model):
            with accelerator.autocast():
                loss = self.criterion(self.model(images), labels)
            if part == 0:  # here their memory is at once that of the new ones
                self.optimizer.zero_grad()
            accelerator.backward(loss)
            if recipe.clip_norm and accelerator.sync_gradients:
                accelerator.clip_grad_norm_(self.network.parameters(), recipe.clip_norm)
            self.stepper.step()
        self.loss += loss.detach() / recipe.accumulate

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """A batch on the device, normalised, in the memory format of the recipe; with the draws
        for it mixed."""
        images = self.normalise(batch.images.to(self.device, non_blocking=True))
        labels = batch.labels.to(self.device, non_blocking=True)
        images = images.contiguous(memory_format=self.layout)
        if batch.mixing is None:
            return images, labels
        return self.mixing(images, labels, batch.mixing.to(self.device, non_blocking=True))

    def mean_loss(self) -> Tensor:
        """The sum of the epoch's losses, of all processes."""
        loss: Tensor = self.accelerator.reduce(self.loss, "mean")
        return loss

    def average(self, step: int, rising: float) -> None:
        """Let the averaged weights, if there are any, follow after a step; until the step
        ``rising`` they only copy, where the recipe says so."""
        if self.ema is not None:
            self.ema.update_parameters(self.network)
            if self.recipe.ema_start == "warmup" and step < rising:
                self.ema.n_averaged.zero_()  # the next update copies the weights

    @property
    def tested(self) -> nn.Module:
        """What is tested and kept: the network of the averaged weights, if there are any."""
        return self.network if self.ema is None else self.ema.module

    def weights(self) -> dict[str, Any]:
        """The whole weights that are tested, on the CPU."""
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        return get_model_state_dict(self.tested, options=options)

    def state(self) -> dict[str, Any]:
        """All that is needed to go on learning: of one process where it lies, of several whole on
        the CPU."""
        several = self.accelerator.num_processes > 1
        options = StateDictOptions(full_state_dict=True, cpu_offload=several)
        network, optimizer = get_state_dict(self.network, self.optimizer, options=options)
        state = {"network": network, "optimizer": optimizer, "loss": self.mean_loss()}
        if self.ema is not None:
            state["ema"] = get_model_state_dict(self.ema.module, options=options)
            state["averaged"] = self.ema.n_averaged
        if self.accelerator.scaler is not None:
            state["scaler"] = self.accelerator.scaler.state_dict()
        return state

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        options = StateDictOptions(full_state_dict=True)
        # How a step is computed is this machine's affair, not that of the one that wrote the state.
        own = [
            {name: group[name] for name in _OF_MACHINE if name in group}
            for group in self.optimizer.param_groups
        ]
        set_state_dict(
            self.network,
            self.optimizer,
            model_state_dict=state["network"],
            optim_state_dict=state["optimizer"],
            options=options,
        )
        for group, values in zip(self.optimizer.param_groups, own, strict=True):
            group.update(values)
        if self.ema is not None:
            set_model_state_dict(self.ema.module, state["ema"], options=options)
            self.ema.n_averaged.copy_(state["averaged"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.loss.copy_(state["loss"])
