"""The commands ``train``, ``compare`` and ``report``."""

from __future__ import annotations

import inspect
import re
import sys
from functools import partial
from json import dumps
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, get_type_hints

import tyro

from ..comparison.report import Report
from ..comparison.running import run_trial
from ..comparison.tables import terminal
from ..comparison.trial import TRIALS, Trial, parse_axis
from ..comparison.turns import RunCallbacks
from ..comparison.writing import save_report
from ..training.callbacks import Track
from ..training.loop import train as run_training
from ..training.recipe import PRESETS, Recipe


def _field_help() -> dict[str, str]:
    """The documentation of each field of a recipe."""
    text = inspect.getsource(Recipe)
    found = re.findall(r'^    (\w+): [^\n]*\n(?:    """(.*?)""")?', text, re.M | re.S)
    return {name: re.sub(r"\s+", " ", doc.replace("``", "'")) for name, doc in found}


_HELP = _field_help()
# All fields of the recipe, those given on the command line only: the rest is the preset's.
Options = TypedDict(  # type: ignore[misc]
    "Options",
    {
        name: Annotated[hint, tyro.conf.arg(help=_HELP.get(name, ""))]
        for name, hint in get_type_hints(Recipe).items()
    },
    total=False,
)
RecipeOptions = tyro.conf.OmitArgPrefixes[Options]


def _recipe(preset: str | None, file: Path | None, options: Any) -> Recipe:
    if preset is not None and file is not None:
        raise ValueError(f"--preset {preset} and --recipe {file} exclude each other.")
    usual = "finetune" if options.get("weights") else "digits"
    base = Recipe.load(file) if file is not None else PRESETS[preset or usual]
    return base.replace(**options)


def train(
    name: str,
    /,
    *,
    out: Path | None = None,
    preset: str | None = None,
    recipe: Path | None = None,
    json: bool = False,
    track: tuple[str, ...] = (),
    options: RecipeOptions,
) -> None:
    """Train one model; the same command goes on where it was interrupted.

    Args:
        name: a model's name
        out: folder of the run; by default runs/NAME-seedN
        preset: recipe to start from, digits (with weights finetune) if none is named; they are
            in docs/comparison.md
        recipe: YAML file to start from
        json: print the report as JSON instead
        track: send each epoch to tensorboard, trackio, wandb or mlflow, which must be installed
    """
    chosen = _recipe(preset, recipe, options)
    folder = out or Path("runs") / f"{name}-seed{chosen.seed}"
    callbacks = [Track(track, folder, folder.name)] if track else []
    result = run_training(name, chosen, folder, callbacks=callbacks)
    if _is_main():
        if json:
            print(dumps(Report.of([result]).to_dict(), indent=2))
            return
        print(terminal(Report.of([result])))
        print(f"\nThe run is in {folder}: model.safetensors, log.csv, result.json")


def compare(
    names: tuple[str, ...] = (),
    /,
    *,
    vary: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    seeds: int = 5,
    until_width: float | None = None,
    max_seeds: int | None = None,
    max_hours: float | None = None,
    margin: float | None = None,
    budget: Literal["epochs", "macs", "time"] = "epochs",
    control: Literal["params", "macs", "latency"] | None = None,
    out: Path = Path("runs/comparison"),
    processes: int = 1,
    at_once: int = 1,
    preset: str | None = None,
    recipe: Path | None = None,
    json: bool = False,
    track: tuple[str, ...] = (),
    options: RecipeOptions,
) -> None:
    """Train models under one recipe, over several seeds, and report; resumes like train.

    Args:
        names: models; the first is the baseline. The preset gate_trial has a network and axes
            of its own, none and nine gates
        vary: an axis, repeatable: attention=none,se,eca or any field of the networks'
            configuration or the recipe
        seeds: how many
        until_width: add seeds until the confidence interval of every difference is narrower than
            so many points
        max_hours: add seeds while one more will be done within so many hours
        max_seeds: with until-width or max-hours, the most seeds; 20, with gate_trial 100
        margin: test also whether networks are within so many points of the baseline
        budget: what is equal: passes over the images, or the cost of training
        control: beside each gated network the plain one, made wider until it has as many
            parameters or MACs, or takes as long
        out: folder of the comparison
        processes: how many train at once, on a GPU each where there are several
        at_once: runs that take turns in each process, step by step, to fill a large GPU with small
            networks; the results are those of one after another, but for speeds and a GPU's memory
        preset: recipe to start from, digits (with weights finetune) if none is named; they are
            in docs/comparison.md
        recipe: YAML file to start from
        json: print the report as JSON instead
        track: send each epoch of each run to tensorboard, trackio, wandb or mlflow, which must be
            installed
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, not {seeds}.")
    axes = dict(map(parse_axis, vary))
    if len(axes) < len(vary):
        raise ValueError(f"An axis is there twice: {', '.join(vary)}.")
    usual = TRIALS.get(preset or "", {})
    trial = Trial(
        networks=names or usual.get("networks", ()),
        vary={**usual.get("vary", {}), **axes},
        max_seeds=usual.get("max_seeds", 20) if max_seeds is None else max_seeds,
        recipe=_recipe(preset, recipe, options),
        seeds=range(seeds),
        budget=budget,
        control=control,
        until_width=until_width,
        max_hours=max_hours,
        margin=margin,
    )
    found = run_trial(
        trial, out, processes=processes, at_once=at_once, callbacks=_tracked(track, out)
    )
    if _is_main():
        _show(found, out, json)
    if found.failed:
        lines = ["", "Failed; the same command tries again:", *found.failed]
        print("\n".join(lines), file=sys.stderr if json else sys.stdout)
        raise SystemExit(1)


def _tracked(names: tuple[str, ...], out: Path) -> RunCallbacks | None:
    """What sends the epochs of each run of a comparison to trackers."""
    if not names:
        return None
    Track(names, out, out.name)  # refuses names before the first run
    return partial(_track_run, names)


def _track_run(names: tuple[str, ...], row: str, seed: int, folder: Path) -> list[Track]:
    return [Track(names, folder, folder.name)]


def report(
    folders: tuple[Path, ...],
    /,
    *,
    out: Path | None = None,
    baseline: str | None = None,
    confidence: float = 0.95,
    margin: float | None = None,
    json: bool = False,
) -> None:
    """Rebuild the report of finished runs, and merge those of several folders.

    Args:
        folders: folders of comparisons or runs
        out: where the report goes; by default the first folder
        baseline: the network that others are compared with
        confidence: of the intervals
        margin: test also whether networks are within so many points of the baseline
        json: print the report as JSON instead
    """
    if not folders:
        raise ValueError("report needs at least one folder.")
    found = Report.read(folders, baseline=baseline, confidence=confidence, margin=margin)
    _show(found, out or folders[0], json)


def _is_main() -> bool:
    from accelerate import PartialState

    return bool(PartialState().is_main_process)


def _show(found: Report, out: Path, json: bool) -> None:
    paths = save_report(found, out)
    if json:
        print(dumps(found.to_dict(), indent=2))
        return
    print(terminal(found))
    if found.twice:
        print(f"\n{found.twice} runs were found twice and counted once.")
    print(f"\nThe report is in {out}: {', '.join(path.name for path in paths)}")
