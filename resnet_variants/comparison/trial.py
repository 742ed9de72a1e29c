"""A trial: networks, axes and seeds, under one recipe; run in parts that are never done twice."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from ..choices import check_choice, unknown
from ..config import NetworkConfig
from ..registry import model_config
from ..storage import make_folder, read_json, write_json
from ..training.data import load_data
from ..training.engine import make_accelerator
from ..training.loop import RunBusy, Trainer, check, resolve, train
from ..training.recipe import Recipe
from ..training.start import starting
from .processes import helpers
from .report import Report

TRIAL, RUNS = "trial.json", "runs"
BUDGETS = ("epochs", "macs", "time")


@dataclass(frozen=True)
class Variant:
    """A network under a recipe: one row of the table."""

    label: str
    config: NetworkConfig
    recipe: Recipe


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is compared. The first network with the first value of each axis is the baseline.

    Raises ValueError for an unknown name, an axis that is no field of a network's configuration
    or of the recipe, and a combination that makes no sense.
    """

    networks: Sequence[str] | Mapping[str, NetworkConfig]
    """names of the zoo, or labels and configurations"""
    recipe: Recipe = field(default_factory=Recipe)
    vary: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """axes: values of fields of the networks' configuration or of the recipe"""
    seeds: Sequence[int] = (0, 1, 2)
    budget: Literal["epochs", "macs", "time"] = "epochs"
    """what is equal: passes over the images, or training cost, in multiply-accumulates or time.
    For the latter two the schedule is stretched to cost what the baseline's does."""

    def __post_init__(self) -> None:
        check_choice("budget", self.budget, BUDGETS)
        if isinstance(self.networks, str):
            raise ValueError(f"networks must be a list of names, not {self.networks!r}.")
        if not self.networks:
            raise ValueError("A trial needs at least one network.")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be different whole numbers, not {self.seeds!r}.")
        for name, values in self.vary.items():
            if isinstance(values, str) or not values:
                raise ValueError(f"vary: {name} must be a list of values, not {values!r}.")
        labels = [(v.label, json.dumps(v.recipe.identity())) for v in self.variants()]
        for each in labels:
            if labels.count(each) > 1:
                raise ValueError(f"{each[0]!r} is compared with itself: it is there twice.")

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
            yield Variant(label, changed, starting(self.recipe.replace(**others), name)[0])

    def to_dict(self) -> dict[str, Any]:
        """What a reader of the results needs to know, as JSON values."""
        return {
            "labels": list(dict.fromkeys(v.label for v in self.variants())),
            "vary": {name: [_shown(v) for v in values] for name, values in self.vary.items()},
            "seeds": list(self.seeds),
            "budget": self.budget,
            "recipe": self.recipe.to_dict(),
        }


def run_trial(
    trial: Trial,
    out: str | Path,
    *,
    train_set: Dataset[Any] | None = None,
    test_set: Dataset[Any] | None = None,
    progress: bool = True,
    processes: int = 1,
) -> Report:
    """Train every network with every seed, and report.

    The same call goes on where an interrupted one stopped, and runs only what is new when
    networks or seeds were added. Several processes may work on one folder; ``processes`` starts
    as many, on a GPU each where there are several.

    Raises ValueError before the first step for whatever could not be trained later.
    """
    variants = trial.variants()
    seeded = [v.recipe.replace(seed=seed) for v in variants for seed in trial.seeds]
    del seeded  # made to be checked
    counts = _check(variants, train_set, test_set)
    accelerator = make_accelerator(trial.recipe)
    if processes > 1 and accelerator.num_processes > 1:
        raise ValueError(
            f"processes={processes} starts processes with runs of their own, and here "
            f"{accelerator.num_processes} already share each run: choose one of the two."
        )
    folder = make_folder(Path(out))
    lengths = _lengths(trial, variants, counts, folder, train_set, test_set)
    if accelerator.is_main_process:
        old = read_json(folder / TRIAL) if (folder / TRIAL).exists() else {}
        plan = trial.to_dict() | {"lengths": {**old.get("lengths", {}), **lengths}}
        plan["labels"] = list(dict.fromkeys([*old.get("labels", []), *plan["labels"]]))
        write_json(folder / TRIAL, plan)
        trial.recipe.save(folder / "recipe.yaml")
    waiting = [(variant, seed) for seed in trial.seeds for variant in variants]
    shown = progress and accelerator.is_main_process
    sets = {"train_set": train_set, "test_set": test_set}
    bar = tqdm(total=len(waiting), desc="runs", unit="run", disable=not shown)
    with bar, helpers(processes - 1, run_trial, trial, out, **sets, progress=False):
        while waiting:
            busy = []
            for variant, seed in waiting:
                try:
                    train(
                        variant.config,
                        variant.recipe.replace(seed=seed),
                        folder / RUNS / _slug(variant, seed, trial),
                        **sets,
                        label=variant.label,
                        length=lengths[variant.label],
                        progress=progress,
                    )
                    bar.update()
                except RunBusy:
                    busy.append((variant, seed))
            if busy:
                time.sleep(2)
            waiting = busy
    return Report.read([folder])


def _check(
    variants: list[Variant], train_set: Dataset[Any] | None, test_set: Dataset[Any] | None
) -> dict[str, int]:
    """Count every network on the images. Raises ValueError for what cannot work."""
    known: dict[str, Any] = {}
    counts = {}
    for variant in variants:
        key = json.dumps(variant.recipe.to_dict())
        if key not in known:
            known[key] = load_data(variant.recipe, train_set, test_set)
        config = resolve(variant.config, variant.recipe, known[key])
        try:
            counts[variant.label] = check(config, known[key]).macs
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{variant.label} cannot be trained: {error}") from error
    return counts


def _lengths(
    trial: Trial,
    variants: list[Variant],
    macs: dict[str, int],
    folder: Path,
    train_set: Dataset[Any] | None,
    test_set: Dataset[Any] | None,
) -> dict[str, float]:
    """By how much each network's schedule is stretched for an equal budget."""
    labels = [v.label for v in variants]
    if trial.budget == "epochs":
        return dict.fromkeys(labels, 1.0)
    if trial.budget == "macs":
        return {label: macs[labels[0]] / macs[label] for label in labels}
    # times differ from one measurement to the next: those that the trial began with stay
    known = read_json(folder / TRIAL)["lengths"] if (folder / TRIAL).exists() else {}
    if all(label in known for label in labels):
        return {label: known[label] for label in labels}
    seconds = _step_seconds(variants, train_set, test_set)
    return {label: seconds[labels[0]] / seconds[label] for label in labels}


def _step_seconds(
    variants: list[Variant], train_set: Dataset[Any] | None, test_set: Dataset[Any] | None
) -> dict[str, float]:
    """The fastest of several training steps of each network, measured in turns."""
    best: dict[str, float] = {}
    accelerator = make_accelerator(variants[0].recipe)
    trainers = {}
    with torch.random.fork_rng():
        for v in variants:
            data = load_data(v.recipe, train_set, test_set)
            config = resolve(v.config, v.recipe, data)
            trainers[v.label] = Trainer(config, v.recipe, data, accelerator)
        for turn in tqdm(range(6), desc="measuring steps", leave=False):
            for label, trainer in trainers.items():
                seconds = trainer.time_step()
                if turn:
                    best[label] = min(best.get(label, seconds), seconds)
    return best


def _slug(variant: Variant, seed: int, trial: Trial) -> str:
    """The name of a run's folder."""
    of_recipe = [
        f"{axis}={_shown(getattr(variant.recipe, axis))}"
        for axis in trial.vary
        if not hasattr(variant.config, axis)
    ]
    text = " ".join([variant.label, *of_recipe, f"seed{seed}"])
    return re.sub(r"[^\w.=+-]+", "-", text)


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
