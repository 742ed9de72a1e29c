"""The report of one or several trials, as data: rows of means and differences."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..choices import unknown
from ..storage import read_json
from ..training.recipe import Recipe
from ..training.result import Result
from ..training.rundir import (
    FAILED,
    RESULT,
    read_predictions,
    read_result,
)
from .statistics import (
    Difference,
    Summary,
    holm,
    paired_difference,
    seeds_and_images,
    summarise,
)


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
class Report:
    """Rows, and what they are compared with."""

    rows: list[Row]
    baseline: str
    confidence: float
    twice: int
    """runs that were found more than once, and counted once"""
    margin: float | None = None
    """points within which networks were tested to be equivalent"""

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

        Raises ValueError for folders without finished runs, for damaged results, or when two
        runs of one name and seed computed different things.
        """
        plans: list[dict[str, Any]] = []
        runs: list[Result] = []
        images: list[Correct | None] = []
        failures: list[dict[str, Any]] = []
        for folder in map(Path, folders):
            if not folder.is_dir():
                raise ValueError(f"No folder {str(folder)!r}.")
            if (folder / "trial.json").exists():
                plans.append(read_json(folder / "trial.json"))
            paths = sorted(folder.rglob(RESULT))
            lost = [p for p in sorted(folder.rglob(FAILED)) if not (p.parent / RESULT).exists()]
            failures += [{**read_json(path), "path": str(path)} for path in lost]
            if not paths:
                why = f": {failures[0]['why']}" if failures else "."
                raise ValueError(f"No finished run in {str(folder)!r}{why}")
            for path in paths:
                found = read_result(path.parent)
                assert found is not None
                runs.append(_result(path, found))
                images.append(_correct(read_predictions(path.parent, found)))
        return cls.of(
            runs,
            order=[label for plan in plans for label in plan.get("labels", [])],
            conditions=[each for plan in plans for each in plan.get("conditions", [])],
            baseline=baseline,
            confidence=confidence,
            margin=margin or next((p["margin"] for p in plans if p.get("margin")), None),
            images=images,
            failures=failures,
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
    ) -> Report:
        """The report of runs, rows in ``order`` and under ``conditions`` in theirs; the first
        label is the baseline by default. ``images`` says of each run which test images it got
        right, ``failures`` which runs have no result.
        """
        if not runs:
            raise ValueError("There are no runs to report.")
        told = _conditions(runs)
        groups: dict[tuple[str, str], _Group] = {}
        twice = 0
        rights = [*images, *[None] * (len(runs) - len(images))]
        for run, conditioned, right in zip(runs, told, rights, strict=True):
            group = groups.setdefault((run.label, json.dumps(conditioned)), _Group())
            if run.seed in group.runs:
                twice += 1
            group.add(run, right)
        for each in failures:
            for key, group in groups.items():
                given = {**json.loads(key[1])}
                if key[0] == each["label"] and all(
                    given.get(name, value) == value for name, value in each["conditions"].items()
                ):
                    group.failed[each["seed"]] = each["why"]
        labels = list(dict.fromkeys([*order, *(label for label, _ in groups)]))
        present = [label for label in labels if any(label == key[0] for key in groups)]
        baseline = baseline or present[0]
        if baseline not in present:
            raise unknown("baseline", baseline, present)
        under_order = _ordered([json.loads(under) for _, under in groups], conditions)
        keys = sorted(groups, key=lambda key: (under_order[key[1]], labels.index(key[0])))
        start = next(key for key in keys if key[0] == baseline)
        rows = []
        for label, under in keys:
            group = groups[label, under]
            against = (baseline, under) if label != baseline else start
            compared = against in groups and against != (label, under)
            difference = (
                _difference(groups[against], group, confidence, margin) if compared else None
            )
            kept = [group.counted[seed] for seed in sorted(group.counted)]
            rows.append(
                Row(
                    label,
                    json.loads(under),
                    sorted(group.counted),
                    _metrics(kept),
                    difference,
                    kept,
                    _name(*against) if compared else None,
                    {s: r.top1 for s, r in group.runs.items() if s not in group.counted},
                    group.failed,
                )
            )
        return cls(_corrected(rows), baseline, confidence, twice, margin)

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


SCORES = (
    "top1",
    "val_top1",
    "last_top1",
    "top5",
    "test_loss",
    "train_speed",
    "test_speed",
    "train_memory",
    "seconds",
)
COUNTS = ("params", "macs", "memory_access", "epochs")


def _metrics(runs: list[Result]) -> dict[str, Summary]:
    out: dict[str, Summary] = {}
    for name in (*SCORES, *COUNTS) if runs else ():
        values = [getattr(run, name) for run in runs]
        if all(value is not None for value in values):
            out[name] = summarise(values)
    for name in runs[0].corrupted if runs else ():
        out[f"top1 {name}"] = summarise([run.corrupted[name] for run in runs])
    return out


Correct = dict[str, Any]
"""``right``: a truth value for each test image; ``data``: the digest of the images"""


def _correct(predictions: dict[str, Tensor] | None) -> Correct | None:
    if predictions is None:
        return None
    kept = predictions["label"] >= 0
    right = predictions["label"] == predictions["predicted"]
    return {"right": right[kept].numpy(), "images": kept.nonzero().flatten().tolist()}


def _result(path: Path, found: dict[str, Any]) -> Result:
    try:
        return Result.from_dict(found)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _name(label: str, under: str) -> str:
    return " ".join([label, *(f"{k}={v}" for k, v in json.loads(under).items())])


@dataclass
class _Group:
    """The runs of a row: all of one network, under one recipe, on the same images."""

    runs: dict[int, Result] = field(default_factory=dict)
    right: dict[int, Correct] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    @property
    def counted(self) -> dict[int, Result]:
        return {
            seed: run
            for seed, run in self.runs.items()
            if run.diverged is None and run.test_loss is not None
        }

    def add(self, run: Result, right: Correct | None) -> None:
        """Raises ValueError for a run that computed something else than those that are here."""
        for other in list(self.runs.values())[:1]:
            for what, mine, theirs in (
                ("networks", run.config, other.config),
                ("lengths of training", run.epochs, other.epochs),
                ("images", run.data or other.data, other.data or run.data),
            ):
                if mine != theirs:
                    shown = f" ({mine:g} and {theirs:g} epochs)" if what[0] == "l" else ""
                    raise ValueError(
                        f"Two different {what} are called {run.label!r}{shown}: rename one of "
                        "them, or report them apart."
                    )
        self.runs.setdefault(run.seed, run)
        if right is not None:
            self.right.setdefault(run.seed, right)


def _difference(
    base: _Group, own: _Group, confidence: float, margin: float | None
) -> Difference | None:
    """The paired difference of two rows' top-1, over seeds, and over seeds and images."""
    before, after = ({s: r.top1 for s, r in group.counted.items()} for group in (base, own))
    sizes = [r.test_images for group in (base, own) for r in group.counted.values()]
    quantum = 100 / max(min(sizes), 1) if sizes else 0.0
    found = paired_difference(before, after, confidence, quantum=quantum, margin=margin)
    if found is None or found.n < 2:
        return found
    seeds = sorted({*before} & {*after})
    pairs = [(base.right.get(seed), own.right.get(seed)) for seed in seeds]
    if any(a is None or b is None or a["images"] != b["images"] for a, b in pairs):
        return found
    if len({tuple(a["images"]) for a, _ in pairs if a is not None}) > 1:
        return found
    values = np.stack([100.0 * (b["right"] * 1.0 - a["right"]) for a, b in pairs if a and b])
    low, high = seeds_and_images(values, confidence)
    return replace(found, image_low=low, image_high=high)


def _conditions(runs: Sequence[Result]) -> list[dict[str, Any]]:
    """Of each run, the fields of its recipe that decide results and are not the same everywhere,
    and the name of its images if they are not the same."""
    varied = _varied([run.recipe for run in runs])
    told = [{name: run.recipe.get(name) for name in varied} for run in runs]
    digests = [run.data.get("train", "") + run.data.get("test", "") for run in runs]
    if len({*digests} - {""}) > 1:
        names = {(run.recipe["data"], digest) for run, digest in zip(runs, digests, strict=True)}
        plain = [name for name, _ in names]
        for run, digest, conditions in zip(runs, digests, told, strict=True):
            name = run.recipe["data"]
            conditions["data"] = name if plain.count(name) == 1 else f"{name} ({digest[:6]})"
    return told


def _ordered(
    unders: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[Any, ...]]:
    """A sorting key for each set of conditions: values in the order given, else as numbers."""
    out = {}
    for under in unders:
        key: list[Any] = []
        for name, value in under.items():
            listed = list(dict.fromkeys(json.dumps(each[name]) for each in given if name in each))
            text = json.dumps(value)
            place = listed.index(text) if text in listed else len(listed)
            number = float(value) if isinstance(value, (int, float)) else 0.0
            key += [place, number, text]
        out[json.dumps(under)] = tuple(key)
    return out


def _varied(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Fields of the recipe that decide results and are not the same everywhere."""
    known = [Recipe.from_dict(each).identity() for each in recipes]
    names = dict.fromkeys(name for each in known for name in each)
    return [n for n in names if any(each.get(n) != known[0].get(n) for each in known)]


def _corrected(rows: list[Row]) -> list[Row]:
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
