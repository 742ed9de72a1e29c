"""The report of one or several trials, as data: rows of means and differences."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ..choices import quoted, unknown
from ..storage import read_fields
from ..training.recipe import Recipe
from ..training.result import Result
from ..training.rundir import (
    FAILED,
    RESULT,
    read_failure,
    read_predictions,
    read_result,
)
from .groups import Correct, Group, conditions_of, correct, ordered
from .statistics import Difference, Summary, holm


@dataclass(frozen=True)
class Row:
    """A network under a recipe, over its seeds."""

    label: str
    conditions: dict[str, Any]
    """fields of the recipe that differ between the rows of the report"""
    seeds: list[int]
    """of the runs that count: finished, with a loss that stayed a number"""
    metrics: dict[str, Summary]
    difference: Difference | None
    """top-1 against the baseline under the same conditions, or of the baseline against itself
    under the first conditions; None for the first row"""
    runs: list[Result]
    """those that count"""
    against: str | None = None
    """the row that ``difference`` compares with"""
    diverged: dict[int, float] = field(default_factory=dict)
    """seeds whose loss became no number, and their top-1, which does not count"""
    failed: dict[int, str] = field(default_factory=dict)
    """seeds that ended in an error, and which"""

    @property
    def begun(self) -> int:
        """How many seeds were begun."""
        return len(self.seeds) + len(self.diverged) + len(self.failed)

    @property
    def name(self) -> str:
        """Label and conditions."""
        return " ".join([self.label, *(f"{k}={v}" for k, v in self.conditions.items())])


@dataclass(frozen=True)
class Controlled:
    """A gated network beside the plain one of equal cost."""

    name: str
    control: str
    """the row that it is compared with"""
    cost: str
    """what is equal: ``params``, ``macs`` or ``latency``"""
    wanted: float
    """cost of the gated network: of latency milliseconds of a batch"""
    reached: float
    """cost of the control"""
    difference: Difference | None
    """top-1 of the gated network over the control's; p values are corrected for all controls"""


@dataclass(frozen=True)
class Report:
    """Rows, and what they are compared with."""

    rows: list[Row]
    baseline: str
    confidence: float
    twice: int
    """runs that were found more than once, and counted once"""
    margin: float | None = None
    """points within which networks were tested to be equivalent"""
    controls: list[Controlled] = field(default_factory=list)
    """gated networks of which a control was trained"""

    @classmethod
    def read(
        cls,
        folders: Sequence[str | Path],
        *,
        baseline: str | None = None,
        confidence: float = 0.95,
        margin: float | None = None,
    ) -> Report:
        """Merge the finished runs in folders of trials or single runs.

        Raises ValueError for folders without runs, where no run counts, for damaged results, or
        when two runs of one name and seed computed different things.
        """
        plans: list[dict[str, Any]] = []
        runs: list[Result] = []
        images: list[Correct | None] = []
        failures: list[dict[str, Any]] = []
        for folder in map(Path, folders):
            if not folder.is_dir():
                raise ValueError(f"No folder {str(folder)!r}.")
            if (folder / "trial.json").exists():
                plans.append(read_plan(folder / "trial.json"))
            paths = sorted(folder.rglob(RESULT))
            lost = [p for p in sorted(folder.rglob(FAILED)) if not (p.parent / RESULT).exists()]
            for path in lost:
                failures.append(read_failure(path.parent))
                _check_recipe(path, failures[-1].get("recipe", {}))
            if not (paths or lost):
                raise ValueError(f"No finished run in {str(folder)!r}.")
            for path in paths:
                found = read_result(path.parent)
                assert found is not None
                runs.append(_result(path, found))
                images.append(correct(read_predictions(path.parent, found)))
        return cls.of(
            runs,
            order=[label for plan in plans for label in plan.get("labels", [])],
            conditions=[each for plan in plans for each in plan.get("conditions", [])],
            baseline=baseline,
            confidence=confidence,
            margin=margin or next((p["margin"] for p in plans if p.get("margin")), None),
            images=images,
            failures=failures,
            controls=[each for plan in plans for each in plan.get("controls", [])],
        )

    @classmethod
    def of(
        cls,
        runs: Sequence[Result],
        *,
        order: Sequence[str] = (),
        conditions: Sequence[Mapping[str, Any]] = (),
        baseline: str | None = None,
        confidence: float = 0.95,
        margin: float | None = None,
        images: Sequence[Correct | None] = (),
        failures: Sequence[Mapping[str, Any]] = (),
        controls: Sequence[Mapping[str, Any]] = (),
    ) -> Report:
        """The report of runs, rows in ``order`` and under ``conditions`` in theirs; the first
        label is the baseline by default. ``images`` says of each run which test images it got
        right, ``failures`` which runs have no result, ``controls`` which row has the cost of which.

        Raises ValueError where no run counts.
        """
        if not (runs or failures):
            raise ValueError("There are no runs to report.")
        told = conditions_of(
            [*(run.label for run in runs), *(each["label"] for each in failures)],
            [*(run.recipe for run in runs), *(_recipe_of(each, runs) for each in failures)],
            [*(run.data for run in runs), *(each.get("data", {}) for each in failures)],
            [*(run.start for run in runs), *(each.get("start") for each in failures)],
        )
        groups: dict[tuple[str, str], Group] = {}
        twice = 0
        rights = [*images, *[None] * (len(runs) - len(images))]
        for run, conditioned, right in zip(runs, told[: len(runs)], rights, strict=True):
            group = groups.setdefault((run.label, json.dumps(conditioned)), Group())
            if run.seed in group.runs:
                twice += 1
            group.add(run, right)
        for each, conditioned in zip(failures, told[len(runs) :], strict=True):
            group = groups.setdefault((each["label"], json.dumps(conditioned)), Group())
            if each["seed"] not in group.runs:
                group.failed[each["seed"]] = each["why"]
        if not any(group.counted for group in groups.values()):
            whys = [why for group in groups.values() for why in group.failed.values()]
            raise ValueError(
                f"No run counts: {len(whys)} failed, the loss of {len(runs)} became no number"
                + (f". The first that failed: {whys[0]}" if whys else ".")
            )
        labels = list(dict.fromkeys([*order, *(label for label, _ in groups)]))
        present = [label for label in labels if any(label == key[0] for key in groups)]
        baseline = baseline or present[0]
        if baseline not in present:
            raise unknown("baseline", baseline, present)
        under_order = ordered([json.loads(under) for _, under in groups], conditions)
        keys = sorted(groups, key=lambda key: (under_order[key[1]], labels.index(key[0])))
        start = next(key for key in keys if key[0] == baseline)
        rows = []
        for label, under in keys:
            group = groups[label, under]
            against = (baseline, under) if label != baseline else start
            compared = against in groups and against != (label, under)
            difference = group.difference(groups[against], confidence, margin) if compared else None
            rows.append(
                Row(
                    label,
                    json.loads(under),
                    list(group.counted),
                    group.metrics(),
                    difference,
                    list(group.counted.values()),
                    _name(*against) if compared else None,
                    {s: r.top1 for s, r in group.runs.items() if s not in group.counted},
                    group.failed,
                )
            )
        beside = [
            Controlled(
                _name(label, under),
                _name(each["control"], under),
                each["cost"],
                each["wanted"],
                each["reached"],
                group.difference(groups[each["control"], under], confidence, margin),
            )
            for (label, under), group in groups.items()
            for each in controls
            if each["row"] == label
            and (each["control"], under) in groups
            and _under(under, each["conditions"])
        ]
        order_of = [row.name for row in rows]
        beside.sort(key=lambda each: order_of.index(each.name))
        return cls(_corrected(rows), baseline, confidence, twice, margin, _corrected(beside))

    @property
    def first_run(self) -> Result:
        """A run that counts, for what all have in common."""
        return next(run for row in self.rows for run in row.runs)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, without the curves of single runs."""
        return {
            "baseline": self.baseline,
            "confidence": self.confidence,
            "margin": self.margin,
            "rows": [
                {
                    "label": row.label,
                    "conditions": row.conditions,
                    "seeds": row.seeds,
                    "against": row.against,
                    "diverged": row.diverged,
                    "failed": row.failed,
                    "metrics": {k: dataclasses.asdict(v) for k, v in row.metrics.items()},
                    "difference": row.difference and dataclasses.asdict(row.difference),
                    "runs": [{"seed": r.seed, "top1": r.top1, "top5": r.top5} for r in row.runs],
                    "config": row.runs[0].config if row.runs else None,
                }
                for row in self.rows
            ],
            "controls": [dataclasses.asdict(each) for each in self.controls],
            "recipe": Recipe.from_dict(self.first_run.recipe).identity(),
            "diverged": self.diverged,
            "unreadable": self.unreadable,
        }

    @property
    def diverged(self) -> list[str]:
        """Runs whose loss is no number any more: they do not count."""
        return [f"{row.name} seed {seed}" for row in self.rows for seed in row.diverged]

    @property
    def failed(self) -> list[str]:
        """Runs that ended in an error, and which."""
        return [
            f"{row.name} seed {seed}: {why}"
            for row in self.rows
            for seed, why in row.failed.items()
        ]

    @property
    def unreadable(self) -> dict[str, str]:
        """Images that some run left out, and why."""
        return {k: v for row in self.rows for run in row.runs for k, v in run.unreadable.items()}


def read_plan(path: Path) -> dict[str, Any]:
    """What ``trial.json`` holds. Raises ValueError if it is damaged."""
    lists = dict.fromkeys(("labels", "conditions", "controls", "seeds"), list)
    found = read_fields(path, **lists, lengths=dict, budget=str)
    for name in ("conditions", "controls"):
        if not all(isinstance(each, dict) for each in found.get(name, [])):
            raise ValueError(f"{path} is damaged: {name} are {quoted(found[name])}.")
    return found


def _result(path: Path, found: dict[str, Any]) -> Result:
    try:
        result = Result.from_dict(found)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    _check_recipe(path, result.recipe)
    return result


def _check_recipe(path: Path, recipe: Mapping[str, Any]) -> None:
    """Refuse a recipe that this version does not understand, in the name of its file."""
    try:
        Recipe.from_dict(recipe)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _recipe_of(failure: Mapping[str, Any], runs: Sequence[Result]) -> dict[str, Any]:
    """The recipe of a run without result, of which earlier versions kept the axes only."""
    if "recipe" in failure:
        return dict(failure["recipe"])
    return {**(runs[0].recipe if runs else {}), **failure.get("conditions", {})}


def _under(under: str, conditions: Mapping[str, Any]) -> bool:
    """Whether a row's conditions are those of a run, as far as the report knows them."""
    given = json.loads(under)
    return all(given.get(name, value) == value for name, value in conditions.items())


def _name(label: str, under: str) -> str:
    return " ".join([label, *(f"{k}={v}" for k, v in json.loads(under).items())])


R = TypeVar("R", Row, Controlled)


def _corrected(rows: list[R]) -> list[R]:
    """The rows with p values corrected for their number: of differences, and of equivalence."""
    which: tuple[tuple[str, str], ...] = (("p", "p_holm"), ("p_equal", "p_equal_holm"))
    for plain, corrected in which:
        tested = [
            i
            for i, row in enumerate(rows)
            if row.difference is not None and getattr(row.difference, plain) is not None
        ]
        values = holm([getattr(rows[i].difference, plain) for i in tested])
        for i, value in zip(tested, values, strict=True):
            difference = rows[i].difference
            assert difference is not None
            changes: dict[str, Any] = {corrected: value}
            rows[i] = replace(rows[i], difference=replace(difference, **changes))
    return rows
