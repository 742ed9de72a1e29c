"""A trial: networks, axes and seeds, under one recipe: what is compared, checked before it runs."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..choices import check_choice, unknown
from ..config import NetworkConfig
from ..registry import model_config
from ..training.recipe import MACHINE_FIELDS, Recipe
from ..training.start import Start, starting
from .control import COSTS, Cost, has_gate, widths_of, without_gate

BUDGETS = ("epochs", "macs", "time")


@dataclass(frozen=True)
class Variant:
    """A network under a recipe: one row of the table."""

    label: str
    """the network and the axes that are fields of its configuration"""
    config: NetworkConfig
    recipe: Recipe
    conditions: dict[str, Any]
    """the axes that are fields of the recipe"""
    start: Start | None
    """the weights that training begins with"""

    @property
    def name(self) -> str:
        """Label and conditions."""
        return " ".join([self.label, *(f"{k}={_shown(v)}" for k, v in self.conditions.items())])

    @property
    def computed(self) -> str:
        """What decides the numbers that come out, as text: equal for no two of a trial."""
        config = self.config.replace(**self.recipe.network_changes)
        start = self.start and self.start.digest
        known = {**self.recipe.identity(), "data": self.recipe.data, "weights": start}
        return json.dumps([config.to_dict(), known])

    def folder(self, seed: int) -> str:
        """The name of a run's folder."""
        text = re.sub(r"[^\w.=+-]+", "-", f"{self.name} seed{seed}")
        if len(text) <= 200:
            return text
        return f"{text[:150]}-{zlib.crc32(self.name.encode()):08x}-seed{seed}"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is compared. The first network with the first value of each axis is the baseline.

    Raises ValueError for an unknown name, an axis that is no field of a network's configuration
    or of the recipe or that another setting decides, rows that would compute the same, and a
    combination that makes no sense.
    """

    networks: Sequence[str] | Mapping[str, NetworkConfig]
    """names of the zoo, or labels and configurations"""
    recipe: Recipe = field(default_factory=Recipe)
    vary: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """axes: values of fields of the networks' configuration or of the recipe"""
    seeds: Sequence[int] = range(5)
    budget: Literal["epochs", "macs", "time"] = "epochs"
    """what is equal: passes over the images, or training cost, in multiply-accumulates or time.
    For the latter two the schedule is stretched to cost what the baseline's does."""
    until_width: float | None = None
    """add seeds until the confidence interval of every difference is narrower, in points"""
    max_hours: float | None = None
    """add seeds while one more will be done within so many hours of this call; the first
    ``seeds`` are trained whatever they take. Results do not decide it, so that levels stay exact"""
    max_seeds: int = 20
    """with ``until_width`` or ``max_hours``: the most seeds"""
    control: Cost | None = None
    """beside each gated network the plain one, wider until it has as many parameters or MACs, or
    takes as long"""
    margin: float | None = None
    """test also whether networks are within so many points of the baseline"""

    def __post_init__(self) -> None:
        check_choice("budget", self.budget, BUDGETS)
        if isinstance(self.networks, str):
            raise ValueError(f"networks must be a list of names, not {self.networks!r}.")
        if not self.networks:
            raise ValueError("A trial needs at least one network.")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be different whole numbers, not {self.seeds!r}.")
        if self.grows and self.max_seeds < len(self.seeds):
            raise ValueError(f"max_seeds={self.max_seeds} is less than {len(self.seeds)} seeds.")
        for name in ("until_width", "max_hours", "margin"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be more than 0, not {value!r}.")
        for name, values in self.vary.items():
            if isinstance(values, str) or not values:
                raise ValueError(f"vary: {name} must be a list of values, not {values!r}.")
            if name in _NO_AXES:
                raise ValueError(f"{name} cannot be varied: {_NO_AXES[name]}.")
            if name in MACHINE_FIELDS:
                raise ValueError(f"{name} cannot be varied: it does not change what comes out.")
            if name == "epochs" and self.budget != "epochs":
                raise ValueError(f"epochs cannot be varied: budget={self.budget!r} decides them.")
        if self.control is not None:
            self._check_control()
        known: dict[str, str] = {}
        folders: dict[str, str] = {}
        for each in self.variants():
            if each.computed in known:
                raise ValueError(
                    f"{each.name!r} is compared with itself: {known[each.computed]!r} computes the "
                    "same."
                )
            known[each.computed] = each.name
            if folders.setdefault(each.folder(0), each.name) != each.name:
                raise ValueError(
                    f"{each.name!r} and {folders[each.folder(0)]!r} would share a folder: rename "
                    "one of them."
                )

    def _check_control(self) -> None:
        check_choice("control", self.control, COSTS)
        gated = [each for each in self.variants() if has_gate(each.config)]
        if not gated:
            raise ValueError(
                f"control={self.control!r}: no network of the trial has a gate, whose cost the "
                "control would have."
            )
        for each in gated:
            widths_of(without_gate(each.config))
            if each.recipe.weights is not None:
                raise ValueError(
                    f"control={self.control!r} adds wider networks, and none of them can begin "
                    f"with weights={each.recipe.weights!r}."
                )

    @property
    def grows(self) -> bool:
        """Whether seeds may be added."""
        return self.until_width is not None or self.max_hours is not None

    def variants(self) -> list[Variant]:
        """All rows, the baseline first."""
        pairs = (
            list(self.networks.items())
            if isinstance(self.networks, Mapping)
            else [(name, model_config(name)) for name in self.networks]
        )
        return [v for name, config in pairs for v in self._grid(name, config)]

    def _grid(self, name: str, config: NetworkConfig) -> Iterator[Variant]:
        fields = [each.name for each in dataclasses.fields(config)]
        of_recipe = [each.name for each in dataclasses.fields(Recipe)]
        for axis in self.vary:
            if axis not in (*fields, *of_recipe):
                raise unknown("axis to vary", axis, [*fields, *of_recipe], limit=200)
        for values in itertools.product(*self.vary.values()):
            chosen = dict(zip(self.vary, values, strict=True))
            changes = {k: v for k, v in chosen.items() if k in fields}
            label = " ".join([name, *(f"{k}={_shown(v)}" for k, v in changes.items())])
            try:
                changed = config.replace(**changes)
            except (ValueError, TypeError) as error:
                raise ValueError(f"{label} cannot be built: {error}") from error
            others = {k: v for k, v in chosen.items() if k not in fields}
            # an axis is what its rows say: the recipe does not replace it
            given_up = {k: None for k in changes if k in of_recipe}
            recipe = self.recipe.replace(**others, **given_up)
            conditions = {k: recipe.to_dict()[k] for k in others}
            recipe, start = starting(recipe, name)
            yield Variant(label, changed, recipe, conditions, start)

    def to_dict(self) -> dict[str, Any]:
        """What a reader of the results needs to know, as JSON values."""
        variants = self.variants()
        return {
            "labels": list(dict.fromkeys(v.label for v in variants)),
            "vary": {name: [_shown(v) for v in values] for name, values in self.vary.items()},
            "conditions": [v.conditions for v in variants],
            "seeds": list(self.seeds),
            "budget": self.budget,
            "control": self.control,
            "margin": self.margin,
            "recipe": self.recipe.to_dict(),
        }


# axes that something else decides
_NO_AXES = {
    "seed": "seeds says which there are",
    "num_classes": "the images have the classes that they have",
    "in_chans": "the images have the channels that they have",
}


_GATES = ("none", "se", "eca", "ssa", "salient", "cbam", "gc", "coordinate", "triplet", "simam")
# What `compare --preset` takes beside a recipe of this name where the command says nothing else.
TRIALS: dict[str, dict[str, Any]] = {
    "gate_trial": {
        "networks": ("resnet20_cifar",),
        "vary": {"attention": _GATES},
        "max_seeds": 100,
    }
}


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_shown, value)) + "]"
    return str(getattr(value, "__name__", value))


def parse_axis(text: str) -> tuple[str, list[Any]]:
    """``attention=none,se,[none,none,se,se]`` to the axis and its values, each read as YAML."""
    import yaml

    name, equals, values = text.partition("=")
    if not equals or not name or not values:
        raise ValueError(f"An axis is FIELD=VALUE,VALUE,…, not {text!r}.")
    try:
        parsed = yaml.safe_load(f"[{values}]")
    except yaml.YAMLError as error:
        raise ValueError(f"The values of the axis {text!r} cannot be read: {error}") from error
    return name, parsed
