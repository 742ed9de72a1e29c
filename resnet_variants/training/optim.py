"""The optimiser and the learning rate as a function of the step."""

from __future__ import annotations

import math

import torch
from torch import nn

from .recipe import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser; normalisation and biases (one-dimensional) are a group of theirs."""
    wide = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    flat = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    decay = recipe.weight_decay
    flat_decay = decay if recipe.norm_weight_decay is None else recipe.norm_weight_decay
    groups = [
        {"params": params, "weight_decay": wd}
        for params, wd in ((wide, decay), (flat, flat_decay))
        if params
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups, recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov
        )
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, recipe.lr)
    return torch.optim.RMSprop(groups, recipe.lr, momentum=recipe.momentum)


def learning_rate(
    recipe: Recipe, step: int, total_steps: int, epoch_steps: int, length: float = 1.0
) -> float:
    """The rate of a step: a linear rise, then the schedule over what remains.

    ``length`` stretches the rise, as ``total_steps`` is stretched already.
    """
    warmup = min(round(recipe.warmup_epochs * length * epoch_steps), total_steps - 1)
    if step < warmup:
        return recipe.lr * (step + 1) / (warmup + 1)
    if recipe.schedule == "constant":
        return recipe.lr
    if recipe.schedule == "step":
        passed = sum(step >= round(part * total_steps) for part in recipe.milestones)
        return recipe.lr * 0.1**passed
    part = (step - warmup) / max(1, total_steps - warmup)
    return recipe.lr * (
        1 - part if recipe.schedule == "linear" else (1 + math.cos(math.pi * part)) / 2
    )
