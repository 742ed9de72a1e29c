"""The runs of one row of a report, and what they differ in from those of another."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor

from ..training.identity import state_digest
from ..training.recipe import Recipe
from ..training.result import Result
from .statistics import Difference, Summary, paired_difference, seeds_and_images, summarise

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

Correct = dict[str, Any]
"""``right``: a truth value for each test image; ``images``: which of the test images they are"""


def correct(predictions: dict[str, Tensor] | None) -> Correct | None:
    """Which test images a run got right, of those that have a label."""
    if predictions is None:
        return None
    kept = predictions["label"] >= 0
    right = predictions["label"] == predictions["predicted"]
    return {"right": right[kept].numpy(), "images": kept.nonzero().flatten().tolist()}


@dataclass
class Group:
    """The runs of a row: all of one network, under one recipe, on the same images."""

    runs: dict[int, Result] = field(default_factory=dict)
    right: dict[int, Correct] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    @property
    def counted(self) -> dict[int, Result]:
        """Those that ended with a loss that is a number, in the order of seeds."""
        return {
            seed: run
            for seed, run in sorted(self.runs.items())
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

    def metrics(self) -> dict[str, Summary]:
        """Mean and spread of what was measured, over the runs that count."""
        runs = list(self.counted.values())
        out: dict[str, Summary] = {}
        for name in (*SCORES, *COUNTS) if runs else ():
            values = [getattr(run, name) for run in runs]
            if all(value is not None for value in values):
                out[name] = summarise(values)
        for name in runs[0].corrupted if runs else ():
            out[f"top1 {name}"] = summarise([run.corrupted[name] for run in runs])
        return out

    def difference(self, base: Group, confidence: float, margin: float | None) -> Difference | None:
        """The paired difference to ``base`` in top-1, over seeds, and over seeds and images."""
        before, after = ({s: r.top1 for s, r in group.counted.items()} for group in (base, self))
        sizes = [r.test_images for group in (base, self) for r in group.counted.values()]
        quantum = 100 / max(min(sizes), 1) if sizes else 0.0
        found = paired_difference(before, after, confidence, quantum=quantum, margin=margin)
        if found is None or found.n < 2:
            return found
        seeds = sorted({*before} & {*after})
        pairs = [(base.right.get(seed), self.right.get(seed)) for seed in seeds]
        if any(a is None or b is None or a["images"] != b["images"] for a, b in pairs):
            return found
        if len({tuple(a["images"]) for a, _ in pairs if a is not None}) > 1:
            return found
        values = np.stack([100.0 * (b["right"] * 1.0 - a["right"]) for a, b in pairs if a and b])
        low, high = seeds_and_images(values, confidence)
        return replace(found, image_low=low, image_high=high)


def conditions_of(
    labels: Sequence[str],
    recipes: Sequence[Mapping[str, Any]],
    images: Sequence[Mapping[str, str]],
    starts: Sequence[str | None],
) -> list[dict[str, Any]]:
    """Of each run, by its label, recipe and digests of its images and of the weights that it began
    with, the fields of the recipe that decide results and are not the same everywhere, and the
    names of the images and the weights if those are not.

    Start weights are a condition where one network begins with several, or a file was changed;
    each network's own are none.
    """
    varied = _varied(recipes)
    told = [{name: recipe.get(name) for name in varied} for recipe in recipes]
    names = [recipe.get("weights") for recipe in recipes]
    begun = _contents(names, starts)
    several = len({*zip(labels, begun, strict=True)}) > len({*labels})
    if several or len({*zip(names, begun, strict=True)}) > len({*names}):
        shown = _named(names, begun)
        for label, name, conditions in zip(labels, shown, told, strict=True):
            # published ones by their tag alone
            conditions["weights"] = name and name.removeprefix(f"{label.partition(' ')[0]}.")
    names = [recipe["data"] for recipe in recipes]
    seen = _contents(names, [state_digest(each) if each else None for each in images])
    if len({*seen}) > 1:
        for name, conditions in zip(_named(names, seen), told, strict=True):
            conditions["data"] = name
    return told


def _contents(names: Sequence[str | None], digests: Sequence[str | None]) -> list[str | None]:
    """What was read by each name: its digest. Where that is not known it is what the others read
    by this name, if they all read the same, or else it is known by the name alone."""
    known: dict[str | None, set[str | None]] = {}
    for name, digest in zip(names, digests, strict=True):
        known.setdefault(name, set()).update({digest} - {None})
    return [
        digest or (next(iter(known[name])) if len(known[name]) == 1 else name)
        for name, digest in zip(names, digests, strict=True)
    ]


def _named(names: Sequence[str | None], contents: Sequence[str | None]) -> list[str | None]:
    """The first name that each content was read by, with the end of its digest where others were
    read by it, too."""
    first: dict[str | None, str | None] = {}
    for name, content in zip(names, contents, strict=True):
        first.setdefault(content, name)
    called = list(first.values())
    return [
        first[each] if called.count(first[each]) == 1 else f"{first[each]} ({str(each)[-6:]})"
        for each in contents
    ]


def ordered(
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
