"""Callbacks are called when they say, in order, and change nothing by being there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
    monkeypatch.setattr(tracking, "filter_trackers", lambda names, folder: names)
    train(tiny(), short(), progress=False, callbacks=[Track(["tensorboard"], tmp_path, "mine")])
    assert got == [
        ("mine", str(tmp_path)), ("recipe", 0.1), ("4", "epoch"), ("8", "epoch"),
        ("8", "final_top1"), ("end", None),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="tensorboard"):
        Track(["tensorbord"], tmp_path, "mine")
