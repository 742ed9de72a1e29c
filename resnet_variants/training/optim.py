"""The optimiser and the learning rate as a function of the step."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from .optimizers import create_optimizer
from .recipe import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser; normalisation and biases (one-dimensional) are a group of theirs,
    and with ``layer_decay`` each unit is, whose ``lr_scale`` multiplies the rate."""
    scales = _scales(network, recipe.layer_decay)
    biases = {
        f"{name}.bias" for name, each in network.named_modules() if isinstance(each, _WEIGHTED)
    }
    groups: dict[tuple[float, float, bool], dict[str, Any]] = {}
    for flat in (False, True):
        for name, parameter in network.named_parameters():
            if not parameter.requires_grad or (parameter.ndim <= 1) != flat:
                continue
            scale, decay = scales[_unit(name)], recipe.weight_decay
            if flat and recipe.norm_weight_decay is not None:
                decay = recipe.norm_weight_decay
            if name in biases and recipe.bias_weight_decay is not None:
                decay = recipe.bias_weight_decay
            empty = {"params": [], "weight_decay": decay, "lr_scale": scale}
            groups.setdefault((scale, decay, flat), empty)["params"].append(parameter)
    return create_optimizer(recipe.optimizer, list(groups.values()), recipe)


_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def _unit(name: str) -> str:
    """The unit that a parameter is in: the stem, a unit of a stage, or the rest."""
    part, _, rest = name.partition(".")
    return ".".join([part, *rest.split(".")[:2]]) if part == "stages" else part


def _scales(network: nn.Module, decay: float) -> dict[str, float]:
    """By how much the rate of each unit is smaller than the classifier's."""
    units = list(dict.fromkeys(_unit(name) for name, _ in network.named_parameters()))
    body = [unit for unit in units if unit == "stem" or unit.startswith("stages.")]
    scales = {unit: decay ** (len(body) - i) for i, unit in enumerate(body)}
    return {unit: scales.get(unit, 1.0) for unit in units}


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
