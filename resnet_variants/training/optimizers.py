"""Optimisers by name: torch's, one's own, and timm's where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ..choices import Registry, unknown

Groups = list[dict[str, Any]]
"""groups of parameters, each with its own ``weight_decay`` and ``lr_scale``"""


class Settings(Protocol):
    """What an optimiser may read of a recipe."""

    @property
    def lr(self) -> float:
        """Highest learning rate."""

    @property
    def momentum(self) -> float:
        """Of the gradient."""

    @property
    def nesterov(self) -> bool:
        """Whether the gradient is that after the momentum's step."""

    @property
    def weight_decay(self) -> float:
        """Of most weights; the groups say it of each."""


Make = Callable[[Groups, Settings], torch.optim.Optimizer]


@dataclass(frozen=True)
class Kind:
    """An optimiser, and the fields of a recipe that change it beside rate and decay."""

    make: Make
    uses: tuple[str, ...] = ()


OPTIMIZERS: Registry[Kind] = Registry("optimizer")
_OF_TIMM = ("adan", "lamb", "lars", "lion", "muon", "nadamw")


def register_optimizer(name: str, *, uses: tuple[str, ...] = ()) -> Callable[[Make], Make]:
    """Decorate what makes an optimiser of groups of parameters and a recipe.

    ``uses`` names what it reads of ``momentum`` and ``nesterov``: runs that differ in another
    field of those are the same run. The groups bring their ``weight_decay``; the rate of each step
    is set from outside.
    """

    def add(make: Make) -> Make:
        OPTIMIZERS.register(name, Kind(make, uses))
        return make

    return add


@register_optimizer("sgd", uses=("momentum", "nesterov"))
def _sgd(groups: Groups, settings: Settings) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        groups, settings.lr, momentum=settings.momentum, nesterov=settings.nesterov
    )


@register_optimizer("adamw")
def _adamw(groups: Groups, settings: Settings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, settings.lr)


@register_optimizer("rmsprop", uses=("momentum",))
def _rmsprop(groups: Groups, settings: Settings) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(groups, settings.lr, momentum=settings.momentum)


def optimizer_uses(name: str) -> tuple[str, ...]:
    """The fields that change the optimiser ``name``; of timm's none is asked."""
    return OPTIMIZERS[name].uses if name in OPTIMIZERS else ()


def check_optimizer(name: str) -> None:
    """Raises ValueError for what is neither registered nor timm's."""
    timm = importlib.util.find_spec("timm") is not None
    if name in OPTIMIZERS or (timm and name in _OF_TIMM):
        return
    known: list[str] = []
    if timm:  # asked only for names that are not known to be there: it is slow to import
        from timm.optim import list_optimizers

        known = [str(each) for each in list_optimizers()]
    if name not in known:
        missing = "" if timm else " (those of timm, lamb for instance, need it installed)"
        raise ValueError(f"{unknown('optimizer', name, [*OPTIMIZERS, *known])}{missing}")


def create_optimizer(name: str, groups: Groups, settings: Settings) -> torch.optim.Optimizer:
    """The optimiser ``name`` of these groups."""
    if name in OPTIMIZERS:
        return OPTIMIZERS[name].make(groups, settings)
    from timm.optim import create_optimizer_v2

    # the groups say which decay is whose, so timm shall not part them again
    return create_optimizer_v2(
        groups, name, settings.lr, settings.weight_decay, filter_bias_and_bn=False
    )
