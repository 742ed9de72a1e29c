"""The report of one or several trials, as data: rows of means and differences."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..choices import unknown
from ..storage import read_json
from ..training.recipe import Recipe
from ..training.result import Result
from ..training.rundir import RESULT
from .statistics import Difference, Summary, holm, paired_difference, summarise


@dataclass(frozen=True)
class Row:
    """A network under a recipe, over its seeds."""

    label: str
    conditions: dict[str, Any]
    """fields of the recipe that differ between the rows of the report"""
    seeds: list[int]
    metrics: dict[str, Summary]
    difference: Difference | None
    """top-1 against the baseline under the same conditions; None for the baseline"""
    runs: list[Result]

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

    @classmethod
    def read(
        cls,
        folders: Sequence[str | Path],
        *,
        baseline: str | None = None,
        confidence: float = 0.95,
    ) -> Report:
        """Merge the finished runs in folders of trials or single runs.

        Raises ValueError for folders without finished runs, or when two runs of one name and
        seed are of different networks.
        """
        order: list[str] = []
        runs: list[Result] = []
        for folder in map(Path, folders):
            if not folder.is_dir():
                raise ValueError(f"No folder {str(folder)!r}.")
            if (folder / "trial.json").exists():
                order += read_json(folder / "trial.json")["labels"]
            found = sorted(folder.rglob(RESULT))
            if not found:
                raise ValueError(f"No finished run in {str(folder)!r}.")
            runs += [Result.from_dict(read_json(path)) for path in found]
        return cls.of(runs, order=order, baseline=baseline, confidence=confidence)

    @classmethod
    def of(
        cls,
        runs: Sequence[Result],
        *,
        order: Sequence[str] = (),
        baseline: str | None = None,
        confidence: float = 0.95,
    ) -> Report:
        """The report of runs, rows in ``order``; the first label is the baseline by default."""
        if not runs:
            raise ValueError("There are no runs to report.")
        varied = _varied([run.recipe for run in runs])
        groups: dict[tuple[str, str], dict[int, Result]] = {}
        twice = 0
        for run in runs:
            conditions = {name: run.recipe[name] for name in varied}
            seeds = groups.setdefault((run.label, json.dumps(conditions)), {})
            if run.seed in seeds:
                if seeds[run.seed].config != run.config:
                    raise ValueError(
                        f"Two different networks are called {run.label!r}: rename one of them."
                    )
                twice += 1
                continue
            seeds[run.seed] = run
        labels = list(dict.fromkeys([*order, *(label for label, _ in groups)]))
        present = [label for label in labels if any(label == key[0] for key in groups)]
        baseline = baseline or present[0]
        if baseline not in present:
            raise unknown("baseline", baseline, present)
        rows = []
        for (label, under), found in sorted(
            groups.items(), key=lambda item: (item[0][1], labels.index(item[0][0]))
        ):
            against = groups.get((baseline, under))
            difference = None
            if label != baseline and against is not None:
                base, own = ({s: r.top1 for s, r in each.items()} for each in (against, found))
                difference = paired_difference(base, own, confidence)
            ordered = [found[seed] for seed in sorted(found)]
            rows.append(
                Row(
                    label,
                    json.loads(under),
                    sorted(found),
                    _metrics(ordered),
                    difference,
                    ordered,
                )
            )
        return cls(_corrected(rows), baseline, confidence, twice)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, without the curves of single runs."""
        return {
            "baseline": self.baseline,
            "confidence": self.confidence,
            "rows": [
                {
                    "label": row.label,
                    "conditions": row.conditions,
                    "seeds": row.seeds,
                    "metrics": {k: dataclasses.asdict(v) for k, v in row.metrics.items()},
                    "difference": row.difference and dataclasses.asdict(row.difference),
                    "runs": [{"seed": r.seed, "top1": r.top1, "top5": r.top5} for r in row.runs],
                    "config": row.runs[0].config,
                }
                for row in self.rows
            ],
            "recipe": Recipe.from_dict(self.rows[0].runs[0].recipe).identity(),
            "diverged": self.diverged,
            "unreadable": self.unreadable,
        }

    @property
    def diverged(self) -> list[str]:
        """Runs whose loss is no number any more."""
        runs = [(row, run) for row in self.rows for run in row.runs]
        return [f"{row.name} seed {run.seed}" for row, run in runs if run.test_loss is None]

    @property
    def unreadable(self) -> dict[str, str]:
        """Images that some run left out, and why."""
        return {k: v for row in self.rows for run in row.runs for k, v in run.unreadable.items()}


SCORES = ("top1", "top5", "test_loss", "train_speed", "test_speed", "train_memory", "seconds")
COUNTS = ("params", "macs", "memory_access", "epochs")


def _metrics(runs: list[Result]) -> dict[str, Summary]:
    out: dict[str, Summary] = {}
    for name in (*SCORES, *COUNTS):
        values = [getattr(run, name) for run in runs]
        if all(value is not None for value in values):
            out[name] = summarise(values)
    for name in runs[0].corrupted:
        out[f"top1 {name}"] = summarise([run.corrupted[name] for run in runs])
    return out


def _varied(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Fields of the recipe that decide results and are not the same everywhere."""
    known = [Recipe.from_dict(each).identity() for each in recipes]
    names = dict.fromkeys(name for each in known for name in each)
    return [n for n in names if any(each.get(n) != known[0].get(n) for each in known)]


def _corrected(rows: list[Row]) -> list[Row]:
    """The rows with p values corrected for their number."""
    tested = [r for r in rows if r.difference is not None and r.difference.p is not None]
    corrected = holm([r.difference.p for r in tested])  # type: ignore[union-attr, misc]
    by_row = {id(row): p for row, p in zip(tested, corrected, strict=True)}
    return [
        replace(row, difference=replace(row.difference, p_holm=by_row[id(row)]))
        if id(row) in by_row and row.difference is not None
        else row
        for row in rows
    ]
