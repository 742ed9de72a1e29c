"""A trial: what is equal, what is refused, what is never done twice, and its report."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_variants import cli
from resnet_variants.comparison import Report, Trial, run_trial, running, save_report
from resnet_variants.comparison.trial import parse_axis
from resnet_variants.storage import read_json
from resnet_variants.training import Recipe, Result, load_data
from resnet_variants.training.engine import make_accelerator
from resnet_variants.training.loop import resolve
from resnet_variants.training.trainer import Trainer

from .training_runs import equal, kill, scores, short, start, tiny, weights

GATES = ("se", "eca", "ssa", "salient", "se_var1", "se_var2", "se_var3", "se_gc")


def _trial(**changes) -> Trial:
    named = {"plain": tiny(), "se": tiny(attention="se")}
    return Trial(**{"networks": named, "recipe": short(), "seeds": (0, 1), **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trial")
    save_report(
        run_trial(_trial(recipe=short(corruptions=("contrast:5",))), out, progress=False), out
    )
    return out


def test_processes_share_a_trial(tmp_path: Path) -> None:
    """Two at once give what one gives: runs are done once, each bitwise that of the run alone."""
    trial = _trial(recipe=short(save_steps=1, epochs=4))
    for count in (1, 2):
        run_trial(trial, tmp_path / f"{count}", progress=False, processes=count)
    runs = sorted((tmp_path / "1" / "runs").iterdir())
    for run in runs:
        other = tmp_path / "2" / "runs" / run.name
        a, b = (Result.from_dict(read_json(each / "result.json")) for each in (run, other))
        assert scores(a) == scores(b)
        assert equal(weights(run), weights(other))
    with pytest.raises(ValueError, match="processes must be a whole number of at least 1, not 0"):
        run_trial(trial, tmp_path / "2", progress=False, processes=0)


def _trainer(seed: int = 0, **changes) -> Trainer:
    recipe = short(seed=seed)
    data = load_data(recipe)
    return Trainer(resolve(tiny(**changes), recipe, data), recipe, data, make_accelerator(recipe))


def test_networks_differ_in_nothing_but_what_is_named() -> None:
    """Shared weights, the order of images, augmentation and rates are bitwise equal."""
    widths = (16, 16, 32)
    plain = _trainer(widths=widths)
    shared = plain.network.state_dict()
    for gate in GATES:
        other = _trainer(attention=gate, widths=widths)
        state = other.network.state_dict()
        assert all(torch.equal(state[key], value) for key, value in shared.items()), gate
        for a, b in zip(plain.loader, other.loader, strict=True):
            assert torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels)
        assert other.total_steps == plain.total_steps
    zero = _trainer(attention="se", widths=widths, zero_init_last=True).network.state_dict()
    assert sum(not torch.equal(zero[k], v) for k, v in shared.items()) == 3  # one a unit
    elsewhere = _trainer(seed=1, widths=widths).network.state_dict()
    assert not torch.equal(elsewhere["head.fc.weight"], shared["head.fc.weight"])


def test_axes_are_every_field() -> None:
    trial = _trial(
        networks=["resnet20_cifar", "resnet32_cifar"],
        vary={"attention": ["none", "se", ("none", "none", "se")], "label_noise": [0.0, 0.4]},
    )
    variants = trial.variants()
    assert len(variants) == 2 * 3 * 2
    assert variants[0].label == "resnet20_cifar attention=none"
    assert variants[4].label == "resnet20_cifar attention=[none,none,se]"
    assert variants[4].config.attention == ("none", "none", "se")
    assert [v.recipe.label_noise for v in variants[:2]] == [0, 0.4]


def test_axes_as_text() -> None:
    assert parse_axis("attention=none,se") == ("attention", ["none", "se"])
    assert parse_axis("layers=[1,1,1],[2,2,2]") == ("layers", [[1, 1, 1], [2, 2, 2]])
    assert parse_axis("zero_init_last=true,false") == ("zero_init_last", [True, False])
    for bad in ("attention", "=se", "attention=", "attention=[se"):
        with pytest.raises(ValueError, match="axis"):
            parse_axis(bad)


REFUSED = [
    (dict(networks=[]), "at least one network"),
    (dict(networks=["resnet20_cifr"]), "Did you mean 'resnet20_cifar'"),
    (dict(networks=["resnet20_cifar"] * 2), "compared with itself"),
    (dict(seeds=()), "seeds must be"),
    (dict(seeds=(1, 1)), "seeds must be"),
    (dict(seeds=(-1,)), "seed must be in"),
    (dict(budget="money"), "Unknown budget 'money'"),
    (dict(vary={"atention": ["se"]}), "Unknown axis to vary 'atention'. Did you mean 'attention'"),
    (dict(vary={"attention": []}), "must be a list of values"),
    (dict(vary={"attention": ["sse"]}), "cannot be built: Unknown attention 'sse'"),
    (dict(vary={"groups": [1, 32]}), "cannot be built: groups=32 changes the 3x3 of a bottleneck"),
    (dict(vary={"lr": [0.1, -1]}), "lr must be more than 0"),
    (dict(recipe=Recipe(data="nowhere")), "Unknown data set or folder 'nowhere'"),
    (dict(recipe=short(drop_path_rate=0.1), networks=["resnet50"]), "cannot be trained: .*8x8"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_refused_before_the_first_step(tmp_path: Path, changes, message, monkeypatch) -> None:
    monkeypatch.setattr(Trainer, "_step", None)
    with pytest.raises(ValueError, match=message):
        run_trial(_trial(**changes), tmp_path / "out", progress=False)


def test_unwritable_output_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Trainer, "_step", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        run_trial(_trial(), tmp_path / "file" / "out", progress=False)


def test_finished_parts_are_not_run_again(finished: Path, monkeypatch) -> None:
    trained = []
    steps = Trainer.steps
    monkeypatch.setattr(Trainer, "steps", lambda self, *a: (trained.append(self), steps(self, *a)))
    recipe = short(corruptions=("contrast:5",))
    before = (finished / "report.json").read_text()
    again = run_trial(_trial(recipe=recipe), finished, progress=False)
    assert not trained
    assert {**json.loads(before), **json.loads(json.dumps(again.to_dict()))} == json.loads(before)


def test_killed_comparison_goes_on(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom tests.test_comparison_trial import _trial\n"
        "from resnet_variants.comparison import run_trial\nrun_trial(_trial(), sys.argv[1])"
    )
    out = tmp_path / "out"
    first = out / "runs" / "plain-seed0" / "result.json"
    assert kill(start(code, out), 0, until=first)
    done = first.stat().st_mtime_ns
    report = run_trial(_trial(), out, progress=False)
    assert first.stat().st_mtime_ns == done
    assert [row.seeds for row in report.rows] == [[0, 1], [0, 1]]


def test_seeds_and_networks_can_be_added(tmp_path: Path) -> None:
    recipe = short(epochs=1, warmup_epochs=0)
    run_trial(_trial(seeds=(0,), recipe=recipe), tmp_path, progress=False)
    more = {"plain": tiny(), "se": tiny(attention="se"), "eca": tiny(attention="eca")}
    report = run_trial(_trial(networks=more, recipe=recipe), tmp_path, progress=False)
    assert [(row.label, row.seeds) for row in report.rows] == [
        ("plain", [0, 1]), ("se", [0, 1]), ("eca", [0, 1]),
    ]  # fmt: skip


def test_report(finished: Path) -> None:
    report = Report.read([finished])
    plain, se = report.rows
    assert plain.difference is None and se.difference is not None
    top1 = [[run.top1 for run in row.runs] for row in report.rows]
    assert plain.metrics["top1"].mean == pytest.approx(sum(top1[0]) / 2)
    assert se.difference.mean == pytest.approx((sum(top1[1]) - sum(top1[0])) / 2)
    assert se.metrics["params"].mean > plain.metrics["params"].mean
    assert {"train_speed", "test_speed", "train_memory", "top1 contrast:5"} <= plain.metrics.keys()

    table = list(csv.DictReader((finished / "report.csv").open()))
    assert [line["network"] for line in table] == ["plain", "se"]
    assert float(table[0]["top1 mean"]) == plain.metrics["top1"].mean
    runs = list(csv.DictReader((finished / "runs.csv").open()))
    assert [(r["network"], r["seed"]) for r in runs] == [
        ("plain", "0"), ("plain", "1"), ("se", "0"), ("se", "1"),
    ]  # fmt: skip
    assert json.loads((finished / "report.json").read_text())["baseline"] == "plain"
    text = (finished / "report.md").read_text()
    assert text.count("\n| ") == 4 and "label_noise: 0.0" in text
    latex = (finished / "report.tex").read_text().splitlines()
    columns = re.findall(r"{(.*?)}", latex[1])[1]
    lines = [line for line in latex if line.endswith(r" \\")]
    assert len(lines) == 3 and sum(r"\textbf{" in line for line in lines) == 1
    assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(columns) - 1}
    assert r"top-1 \%" in lines[0]
    for name in ("differences", "curves", "tradeoff"):
        assert (finished / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert read_json(finished / "trial.json")["recipe"]["epochs"] == 2


def test_reports_merge(finished: Path, tmp_path: Path) -> None:
    recipe = short(corruptions=("contrast:5",), label_noise=0.5)
    run_trial(_trial(recipe=recipe, seeds=(0,)), tmp_path, progress=False)
    merged = Report.read([finished, tmp_path, finished], baseline="se")
    assert merged.twice == 4
    assert [(row.label, row.conditions["label_noise"], row.seeds) for row in merged.rows] == [
        ("plain", 0.0, [0, 1]), ("se", 0.0, [0, 1]), ("plain", 0.5, [0]), ("se", 0.5, [0]),
    ]  # fmt: skip
    assert merged.rows[0].difference is not None and merged.rows[1].difference is None
    noisy = merged.rows[2]
    assert noisy.difference is not None and noisy.difference.n == 1
    assert noisy.runs[0].flipped_labels == 64
    with pytest.raises(ValueError, match="Unknown baseline 'pain'. Did you mean 'plain'"):
        Report.read([finished], baseline="pain")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="No finished run"):
        Report.read([tmp_path / "empty"])


def test_different_networks_of_one_name_are_not_merged(finished: Path, tmp_path: Path) -> None:
    recipe = short(corruptions=("contrast:5",))
    other = _trial(networks={"plain": tiny(widths=(8, 8, 8))}, recipe=recipe, seeds=(0,))
    run_trial(other, tmp_path, progress=False)
    with pytest.raises(ValueError, match="Two different networks are called 'plain'"):
        Report.read([finished, tmp_path])


@pytest.mark.parametrize("budget", ["macs", "time"])
def test_budgets(tmp_path: Path, budget: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def half_as_fast(*given: Any) -> dict[str, float]:
        """Steps are measured, and their time is not this machine's."""
        found = measured(*given)
        assert all(seconds > 0 for seconds in found.values())
        return {name: 2.0 if "wide" in name else 1.0 for name in found}

    def timed(trainer: Trainer) -> float:
        assert torch.backends.cudnn.benchmark  # as in the training that it stands for
        return time_step(trainer)

    time_step, measured = Trainer.time_step, running._step_seconds
    monkeypatch.setattr(Trainer, "time_step", timed)
    monkeypatch.setattr(running, "_step_seconds", half_as_fast)
    wide = {"plain": tiny(), "wide": tiny(widths=(16, 16, 32))}
    trial = _trial(networks=wide, budget=budget, seeds=(0,), recipe=short(epochs=24))
    report = run_trial(trial, tmp_path, progress=False)
    plain, large = report.rows
    assert large.runs[0].epochs < plain.runs[0].epochs == 24
    if budget == "time":
        assert large.runs[0].epochs == pytest.approx(12, abs=1)
    else:
        cost = [row.runs[0].macs * row.runs[0].epochs for row in report.rows]
        assert cost[1] == pytest.approx(cost[0])
    again = run_trial(trial, tmp_path, progress=False)  # measured times stay
    assert [row.runs for row in again.rows] == [row.runs for row in report.rows]


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = "--epochs 1 --warmup-epochs 0 --train-images 128 --test-images 50".split()
    out = str(tmp_path / "out")
    command = ["compare", "resnet20_cifar", "--vary", "attention=none,eca", "--seeds", "2"]
    assert cli.main([*command, "--vary", "layers=[1,1,1]", "--out", out, *args]) == 0
    table = capsys.readouterr().out
    assert "resnet20_cifar attention=none layers=[1,1,1]" in table and "±" in table
    assert cli.main(["report", out, "--out", str(tmp_path / "copy")]) == 0
    assert capsys.readouterr().out.splitlines()[:4] == table.splitlines()[:4]
    assert (tmp_path / "copy" / "report.html").exists()

    Recipe().replace(epochs=1, warmup_epochs=0).save(tmp_path / "recipe.yaml")
    run = str(tmp_path / "run")
    args = ["--recipe", str(tmp_path / "recipe.yaml"), "--train-images", "128"]
    assert cli.main(["train", "resnet20_cifar", "--out", run, *args]) == 0
    assert (tmp_path / "run" / "model.safetensors").exists()

    for bad, message in [
        (["compare", "resnet20_cifar", "--preset", "digit"], "Did you mean 'digits'"),
        (["compare", "resnet20_cifar", "--seeds", "0"], "seeds must be at least 1"),
        (["compare"], "at least one network"),
        (["report", "nowhere"], "No folder 'nowhere'"),
        (["train", "resnet20_cifar", "--epochs", "-1"], "epochs must be more than 0"),
        (["train", "resnet20", "--epochs", "2"], "Did you mean"),
        (["train", "x", "--preset", "demo", "--recipe", "y"], "exclude each other"),
    ]:
        assert cli.main(bad) == 2
        assert message in capsys.readouterr().err
