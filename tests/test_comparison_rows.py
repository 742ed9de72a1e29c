"""A report has a row for each network under each condition, whatever became of its runs."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from resnet_variants.cli import main
from resnet_variants.comparison import Report, save_report
from resnet_variants.comparison.findings import findings
from resnet_variants.storage import write_json
from resnet_variants.training import Recipe
from resnet_variants.training.rundir import FAILED, RESULT

from .training_runs import made_up

AXES: dict[str, list[dict[str, Any]]] = {
    "network": [{"label": "plain"}, {"label": "se"}],
    "lr": [{"recipe": {"lr": 0.1}}, {"recipe": {"lr": 0.2}}],
    "weights": [{"recipe": {"weights": "here/a.pth"}}, {"recipe": {"weights": "there/a.pth"}}],
    "data": [{"recipe": {"data": name}, "data": {"train": name}} for name in ("cifar10", "svhn")],
    "content": [{"recipe": {"weights": "a.pth"}, "start": start} for start in ("01ab", "02cd")],
    "images": [{"data": {"train": "2020ab"}}, {"data": {"train": "2026cd"}}],
}


def _row(label: str = "plain", recipe: dict[str, Any] | None = None, **more: Any) -> list[Any]:
    """Label, seed and the rest of two runs."""
    recipes = [Recipe(seed=seed, **(recipe or {})).to_dict() for seed in (0, 1)]
    return [(label, seed, {"recipe": recipes[seed], **more}) for seed in (0, 1)]


@pytest.mark.parametrize("fails", [None, 0, 1])
@pytest.mark.parametrize("axis", AXES)
def test_each_row_has_its_own_runs(axis: str, fails: int | None, tmp_path: Path) -> None:
    """Also where none of its runs has a result: it is there, and no other row has its failures."""
    runs, failures = [], []
    for i, row in enumerate(AXES[axis]):
        for label, seed, more in _row(**row):
            if i == fails:
                failures.append({"label": label, "seed": seed, "why": "it broke", **more})
            else:
                runs.append(made_up(label, seed, 90.0 + i + seed / 2, **more))
    order = [row.get("label", "plain") for row in AXES[axis]]
    report = Report.of(runs, order=order, failures=failures)
    rows = {row.name: (len(row.seeds), len(row.failed)) for row in report.rows}
    expected = [(0, 2) if i == fails else (2, 0) for i in range(2)]
    assert sorted(rows.values()) == sorted(expected) and len(rows) == 2
    assert report.twice == 0 and len(report.failed) == len(failures)
    assert sum(row.difference is not None for row in report.rows) == (fails is None)
    if fails is not None:
        lost = next(row.name for row in report.rows if row.failed)
        assert any(text.startswith(f"{lost}: 0 of 2 seeds count") for text in findings(report))
        save_report(report, tmp_path, pictures=False)
        said = json.loads((tmp_path / "report.json").read_text())["rows"]
        assert [row["failed"] for row in said if row["failed"]] == [
            {"0": "it broke", "1": "it broke"}
        ]
        assert "seed 1: it broke" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize("tags", [["in1k"], ["in1k", "c10"], [None, "in1k"]])
def test_networks_of_their_own_weights_are_compared(tags: list[str | None]) -> None:
    """Each network begins with weights of its own, that is no condition; their tag may be one."""
    runs = []
    for label in ("resnet50", "seresnet50"):
        for tag in tags:
            own = {"weights": tag and f"{label}.{tag}"}
            runs += [made_up(*each[:2], 90.0, **each[2]) for each in _row(label, own)]
    rows = Report.of(runs).rows
    assert len(rows) == 2 * len(tags) and all(len(row.seeds) == 2 for row in rows)
    others = [row for row in rows if row.label == "seresnet50"]
    assert [row.against for row in others] == [row.name.removeprefix("se") for row in others]
    if len(tags) > 1:
        assert {row.conditions["weights"] for row in others} == {*tags}


def test_weights_and_images_are_known_by_their_content() -> None:
    """Not by the file or folder they were read from, which may move, or change."""

    def rows(*given: tuple[str, dict[str, Any]], **more: Any) -> dict[str, int]:
        runs = [made_up(*each[:2], 90.0, **each[2])
                for label, own in given for each in _row(label, **own)]  # fmt: skip
        report = Report.of(runs, **more)
        assert len({row.name for row in report.rows}) == len(report.rows)
        return {row.name: len(row.seeds) for row in report.rows if row.difference is not None}

    def begun(path: str, digest: str | None) -> dict[str, Any]:
        return {"recipe": {"weights": path}, "start": digest}

    one, moved, changed = begun("a", "0" * 9), begun("b", "0" * 9), begun("a", "1" * 9)
    assert rows(("plain", one), ("se", moved)) == {"se": 2}
    # one row: the same runs, found twice
    assert rows(("plain", one), ("plain", moved), ("se", one)) == {"se": 2}
    # the file that "se" began with is another: nothing to compare it with
    assert rows(("plain", one), ("se", changed)) == {}
    both = rows(("plain", one), ("plain", changed), ("se", changed))
    assert both == {"plain weights=a (111111)": 2, "se weights=a (111111)": 2}
    # what failed before its weights were read began with what the others did
    lost = {"label": "plain", "seed": 2, "why": "it broke", "recipe": Recipe(weights="a").to_dict()}
    assert rows(("plain", one), ("se", one), failures=[lost]) == {"se": 2}
    images = [{"recipe": {"data": name}, "data": {"train": "1", "test": test}}
              for name, test in (("x", "2" * 9), ("y", "2" * 9), ("x", "3" * 9))]  # fmt: skip
    assert rows(("plain", images[0]), ("se", images[1])) == {"se": 2}
    assert len(rows(("plain", images[0]), ("plain", images[2]))) == 1


def test_a_seed_that_failed_elsewhere_and_has_a_result_counts() -> None:
    (label, seed, more), _ = _row()
    failed = {"label": label, "seed": seed, "why": "it broke", **more}
    assert not Report.of([made_up(label, seed, 90.0, **more)], failures=[failed]).failed


@pytest.mark.parametrize("every", [False, True], ids=["a network", "all"])
def test_compare_ends_with_an_error(every: bool, tmp_path, capsys, monkeypatch) -> None:
    """Runs are made up; what a trial reads of its folder is real."""
    for label in ("plain", "se"):
        for _, seed, more in _row(label):
            folder = tmp_path / "runs" / f"{label}-seed{seed}"
            folder.mkdir(parents=True)
            if every or label == "se":
                failed = {"label": label, "seed": seed, "why": "it broke", **more}
                write_json(folder / FAILED, failed)
            else:
                write_json(folder / RESULT, made_up(label, seed, 90.0, **more).to_dict())
    read = partial(Report.read, [tmp_path])
    monkeypatch.setattr("resnet_variants.cli.training.run_trial", lambda *_, **__: read())
    try:
        code = main(["compare", "resnet20_cifar", "--out", str(tmp_path)])
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr()
    assert code not in (0, None)
    if every:
        assert "No run counts: 4 failed" in said.err and "it broke" in said.err
    else:
        assert "se seed 0: it broke" in said.out and "se seed 1: it broke" in said.out


def test_where_every_run_diverged_none_is_shown() -> None:
    runs = [made_up("plain", seed, 10.0, test_loss=None) for seed in (0, 1)]
    with pytest.raises(ValueError, match="No run counts: 0 failed, the loss of 2 became no number"):
        Report.of(runs)
