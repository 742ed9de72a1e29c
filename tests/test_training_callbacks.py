"""Callbacks are called when they say, in order, and change nothing by being there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from resnet_variants.comparison import Trial, run_trial
from resnet_variants.training import Callback, Track, train

from .training_runs import scores, short, tiny


class _Notes(Callback):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_step(self, trainer: Any) -> None:
        self.seen.append(trainer.step)

    def on_epoch(self, trainer: Any, line: dict[str, Any]) -> None:
        self.seen.append((line["epoch"], line["top1"]))

    def on_end(self, trainer: Any, result: Any) -> None:
        self.seen.append(result.top1)


def test_order_and_what_is_given() -> None:
    notes = _Notes()
    result = train(tiny(), short(), progress=False, callbacks=[notes])
    tops = [line["top1"] for line in result.history]
    assert notes.seen == [1, 2, 3, 4, (1, tops[0]), 5, 6, 7, 8, (2, tops[1]), result.top1]
    assert scores(result) == scores(train(tiny(), short(), progress=False))


@pytest.mark.parametrize("at_once", [1, 2])
def test_each_run_of_a_trial_has_its_own(at_once: int, tmp_path: Path) -> None:
    """As ``train`` calls them, also where runs take turns; a finished run calls none."""
    given: dict[tuple[str, int, str], _Notes] = {}

    def give(row: str, seed: int, folder: Path) -> list[_Notes]:
        return [given.setdefault((row, seed, folder.name), _Notes())]

    recipe = short(epochs=1, warmup_epochs=0, train_images=64)
    trial = Trial(
        networks={"net": tiny()}, recipe=recipe, seeds=(0,), vary={"attention": [None, "eca"]}
    )
    options: dict[str, Any] = {"progress": False, "at_once": at_once, "callbacks": give}
    report = run_trial(trial, tmp_path, **options)
    for row in report.rows:
        notes = given[row.name, 0, f"{row.name.replace(' ', '-')}-seed0"]
        assert notes.seen == [1, 2, (1, row.runs[0].top1), row.runs[0].top1]
    given.clear()
    run_trial(trial, tmp_path, **options)
    assert len(given) == 2 and not any(notes.seen for notes in given.values())


def test_trackers_get_every_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import tracking

    got: list[tuple[str, Any]] = []

    class Fake:
        requires_logging_directory = True

        def __init__(self, run: str, logging_dir: str) -> None:
            got.append((run, logging_dir))

        def store_init_configuration(self, values: dict[str, Any]) -> None:
            got.append(("recipe", values["lr"]))

        def log(self, values: dict[str, Any], step: int) -> None:
            got.append((str(step), sorted(values)[0]))

        def finish(self) -> None:
            got.append(("end", None))

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "tensorboard", Fake)
    monkeypatch.setattr(tracking, "get_available_trackers", lambda: ["tensorboard"])
    train(tiny(), short(), progress=False, callbacks=[Track(["tensorboard"], tmp_path, "mine")])
    assert got == [
        ("mine", str(tmp_path)), ("recipe", 0.1), ("4", "epoch"), ("8", "epoch"),
        ("8", "final_top1"), ("end", None),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="tensorboard"):
        Track(["tensorbord"], tmp_path, "mine")
