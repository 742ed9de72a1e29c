"""A trial is run: in parts that are never done twice, by one process or several."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset
from tqdm import tqdm

from ..config import check_count
from ..storage import make_folder, write_json
from ..text import counted
from ..training.engine import determinism, everyone, from_main, make_accelerator
from ..training.loop import check, own_random_state, probe, resolve, smaller_parts
from ..training.rundir import RESULT
from ..training.trainer import Trainer
from .control import equal_cost, has_gate, widths_of, without_gate
from .processes import helpers
from .report import Report, read_plan
from .statistics import detectable
from .trial import Trial, Variant
from .turns import RunCallbacks, TrialImages, train_all

TRIAL, RUNS = "trial.json", "runs"
FEWEST_STEPS = 20
"""what an equal budget must leave of a schedule"""


def run_trial(
    trial: Trial,
    out: str | Path,
    *,
    train_set: Dataset[Any] | None = None,
    test_set: Dataset[Any] | None = None,
    progress: bool = True,
    processes: int = 1,
    at_once: int = 1,
    callbacks: RunCallbacks | None = None,
) -> Report:
    """Train every network with every seed, and report.

    The same call goes on where an interrupted one stopped, and runs only what is new when
    networks or seeds were added. Several processes may work on one folder; ``processes`` starts
    as many, on a GPU each where there are several. ``at_once`` runs take turns in each process,
    step by step, so that small networks fill a large GPU: each gives what it gives alone, but for
    speeds and, on a GPU, training memory, which are those beside the others. A run that fails is
    written down and reported, and tried again by the next call; the others go on.

    ``callbacks`` gives those of a run, as ``train`` takes them, by the name of its row, its seed
    and its folder; several processes need a function that can be pickled. Of finished runs none
    is called.

    Raises ValueError before the first step for whatever could not be trained later.
    """
    check_count("at_once", at_once, 1)
    variants = trial.variants()
    shared = {"progress": False, "at_once": at_once, "callbacks": callbacks}
    sets = {"train_set": train_set, "test_set": test_set}
    for v in variants:  # made to be checked
        for seed in trial.seeds:
            v.recipe.replace(seed=seed)
    accelerator = make_accelerator(trial.recipe)
    if processes > 1 and accelerator.num_processes > 1:
        raise ValueError(
            f"processes={processes} starts processes with runs of their own, and here "
            f"{accelerator.num_processes} already share each run: choose one of the two."
        )
    folder = make_folder(Path(out))
    everyone()
    known = from_main(read_plan(folder / TRIAL) if (folder / TRIAL).exists() else {})
    images = TrialImages(sets)
    controls = from_main(_controls(trial, variants, known, images))
    variants += [each for each, _ in controls if each is not None]
    plan = _plan(trial, variants, known, folder, images)
    plan["controls"] = _merged([*known.get("controls", []), *(said for _, said in controls)])
    everyone()  # all have read what the main process writes now
    if accelerator.is_main_process:
        write_json(folder / TRIAL, plan)
        trial.recipe.save(folder / "recipe.yaml")
    lengths = plan["lengths"][trial.budget]
    shown = progress and accelerator.is_main_process
    if shown:
        tqdm.write(before_training(len(trial.seeds), len(variants) - 1), file=sys.stderr)
    seeds, begun = list(trial.seeds), [time.monotonic()]
    bar = tqdm(desc="runs", unit="run", total=0, disable=not shown)
    with bar, helpers(processes - 1, run_trial, trial, out, **sets, **shared):
        waiting = [(variant, seed) for seed in seeds for variant in variants]
        while True:
            bar.total = (bar.total or 0) + len(waiting)
            train_all(
                waiting, folder / RUNS, lengths, images, bar, progress, accelerator, at_once,
                callbacks,
            )  # fmt: skip
            begun.append(time.monotonic())
            more = from_main(_next_seed(trial, folder, seeds, begun))
            if more is None:
                break
            seeds.append(more)
            waiting = [(variant, more) for variant in variants]
    return Report.read([folder])


def before_training(seeds: int, comparisons: int) -> str:
    """What a trial of so many seeds can find, said before it begins."""
    found = detectable(seeds, max(comparisons, 1))
    if found is None:
        return f"{seeds} seeds: means only, no test. Three are the fewest, five are usual."
    return (
        f"{seeds} seeds, {counted(comparisons, 'comparison')}: 80 % of such trials find a "
        f"difference of {found:.1f} standard deviations of a paired difference "
        f"({0.3 * found:.2f} points if that is 0.3); smaller ones are mostly missed."
    )


def _next_seed(trial: Trial, folder: Path, seeds: list[int], begun: list[float]) -> int | None:
    """The seed to add, or None: the intervals are narrow enough, or the budget is used up.

    ``begun`` has the times at which this call began, and at which it was done with the seeds given
    and with each one more: the next is taken to last as long as the longest of those.
    """
    if not trial.grows or len(seeds) >= trial.max_seeds:
        return None
    if trial.max_hours is not None:
        first, *more = [end - start for start, end in itertools.pairwise(begun)]
        longest = max([first / len(trial.seeds), *more])
        if begun[-1] + longest > begun[0] + 3600 * trial.max_hours:
            return None
    if trial.until_width is not None:
        widths = [row.difference.width for row in Report.read([folder]).rows if row.difference]
        if all(width is not None and width <= trial.until_width for width in widths):
            return None
    return max(seeds) + 1


def _plan(
    trial: Trial,
    variants: list[Variant],
    known: dict[str, Any],
    folder: Path,
    images: TrialImages,
) -> dict[str, Any]:
    """What ``trial.json`` will say: the trial with what earlier calls of it have added.

    Raises ValueError for what could not be trained, or does not belong to this folder.
    """
    costs, steps = {}, {}
    for v in variants:
        data = images.of(v.recipe)
        config = resolve(v.config, v.recipe, data)
        try:
            counts = check(config, data)
            runs = [folder / RUNS / v.folder(seed) for seed in trial.seeds]
            if not all((run / RESULT).exists() for run in runs):
                with smaller_parts(config, v.recipe, data):
                    probe(config, v.recipe, data)
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{v.name} cannot be trained: {error}") from error
        steps[v.name] = v.recipe.epochs * (len(data.train) // v.recipe.batch_size)
        costs[v.name] = steps[v.name] * counts.macs * v.recipe.batch_size
    kept = _kept_lengths(known)
    first = variants[0].name
    lengths = {v.name: 1.0 for v in variants}
    if trial.budget == "macs":
        lengths = {name: costs[first] / cost for name, cost in costs.items()}
    elif trial.budget == "time":
        lengths = from_main(_timed(variants, kept.get("time", {}), steps, images))
    for name, length in lengths.items():
        if length < 1 and round(steps[name] * length) < FEWEST_STEPS:
            raise ValueError(
                f"{name}: an equal budget leaves {steps[name] * length:.0f} steps, and fewer than "
                f"{FEWEST_STEPS} are no training. Compare networks of nearer cost, or train for "
                "more epochs."
            )
    plan = trial.to_dict() | {"lengths": {**kept, trial.budget: lengths}}
    plan["lengths"][trial.budget] = {**kept.get(trial.budget, {}), **lengths}
    plan["labels"] = [v.label for v in variants]
    for name in ("labels", "conditions"):
        plan[name] = _merged([*known.get(name, []), *plan[name]])
    return plan


def _merged(values: list[Any]) -> list[Any]:
    """JSON values, each once."""
    return list({json.dumps(each): each for each in values}.values())


def _controls(
    trial: Trial, variants: list[Variant], known: Mapping[str, Any], images: TrialImages
) -> list[tuple[Variant | None, dict[str, Any]]]:
    """For each gated row its control, and what ``trial.json`` says of it. A row that is there
    already, as the gate costs nothing or as much as another, is not added again.

    A control that an earlier call found stays, as runs were made of it.
    """
    if trial.control is None:
        return []
    there = {v.computed: v for v in variants}
    kept = {
        json.dumps([c["row"], c["conditions"], c["cost"]]): c for c in known.get("controls", [])
    }
    found: list[tuple[Variant | None, dict[str, Any]]] = []
    for v in tqdm([v for v in variants if has_gate(v.config)], desc="controls", leave=False):
        said = kept.get(json.dumps([v.label, v.conditions, trial.control]))
        plain = without_gate(v.config)
        if said is None:
            said = {"row": v.label, "conditions": v.conditions, **_control(trial, v, images)}
        config = plain.replace(widths=said["widths"]) if said["widths"] else plain
        same = (each for each in variants if without_gate(each.config) == plain)
        base = next((each.label for each in same if not has_gate(each.config)), None)
        label = base or f"{v.label} without gate"
        if said["widths"]:
            label += f" widths=[{','.join(map(str, said['widths']))}]"
        own = dataclasses.replace(v, label=label, config=config)
        first = there.setdefault(own.computed, own)
        found.append((own if first is own else None, said | {"control": first.label}))
    return found


def _control(trial: Trial, v: Variant, images: TrialImages) -> dict[str, Any]:
    data = images.of(v.recipe)
    config, cost = resolve(v.config, v.recipe, data), trial.control
    assert cost is not None
    size, device = (data.shape[1], data.shape[2]), make_accelerator(v.recipe).device
    try:
        found = equal_cost(config, cost, image_size=size, batch=v.recipe.batch_size, device=device)
    except ValueError as error:
        raise ValueError(f"{v.name} gets no control: {error}") from error
    wider = found.widths != widths_of(config)
    return {
        "cost": cost,
        "widths": list(found.widths) if wider else None,
        "wanted": found.wanted,
        "reached": found.reached,
    }


def _kept_lengths(known: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    lengths = dict(known.get("lengths", {}))
    if any(not isinstance(value, dict) for value in lengths.values()):  # of an earlier version
        return {known.get("budget", "epochs"): lengths}
    return lengths


def _timed(
    variants: list[Variant],
    known: Mapping[str, float],
    steps: Mapping[str, float],
    images: TrialImages,
) -> dict[str, float]:
    """Lengths of equal time. Those that a trial began with stay, as runs were made by them; a
    network that comes new is measured beside one of the old ones."""
    new = [v for v in variants if v.name not in known]
    if not new:
        return {v.name: known[v.name] for v in variants}
    old = next((v for v in variants if v.name in known), None)
    beside = [*([old] if old else []), *new]
    seconds = _step_seconds(beside, images)
    budget = (known[old.name] if old else 1.0) * seconds[beside[0].name] * steps[beside[0].name]
    measured = {v.name: budget / (seconds[v.name] * steps[v.name]) for v in new}
    return {v.name: {**measured, **known}[v.name] for v in variants}


def _step_seconds(variants: list[Variant], images: TrialImages) -> dict[str, float]:
    """The fastest of several training steps of each network, measured in turns."""
    best: dict[str, float] = {}
    trainers = {}
    with own_random_state():
        for v in variants:
            data = images.of(v.recipe)
            config = resolve(v.config, v.recipe, data)
            with determinism(v.recipe):  # as in training, where cuDNN tries its ways
                trainers[v.name] = Trainer(config, v.recipe, data, make_accelerator(v.recipe))
        for turn in tqdm(range(6), desc="measuring steps", leave=False):
            for name, trainer in trainers.items():
                with determinism(trainer.recipe):
                    seconds = trainer.time_step()
                if turn:
                    best[name] = min(best.get(name, seconds), seconds)
    return best
