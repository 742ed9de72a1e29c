"""A comparison is of what it names: no two settings name one thing, and what is computed otherwise
is another run."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_variants.cli import main
from resnet_variants.comparison import Report, Trial, run_trial
from resnet_variants.comparison import statistics as own
from resnet_variants.comparison.findings import _listed, findings
from resnet_variants.comparison.running import _kept_lengths
from resnet_variants.training import PRESETS, Recipe
from resnet_variants.training.recipe import MACHINE_FIELDS, NETWORK_FIELDS
from resnet_variants.training.trainer import Trainer

from .training_runs import short, tiny


@pytest.mark.parametrize("field", NETWORK_FIELDS)
def test_an_axis_is_what_its_rows_say(field: str) -> None:
    """Also where the recipe sets a field of that name."""
    values: list[Any] = [False, True] if field == "zero_init_last" else [0.0, 0.5]
    recipe = short(**{field: values[1]})
    rows = Trial(networks={"net": tiny()}, recipe=recipe, vary={field: values}).variants()
    made = [row.config.replace(**row.recipe.network_changes) for row in rows]
    assert [getattr(config, field) for config in made] == values


REFUSED = [
    ({"seed": [0, 1]}, {}, "seeds says"),
    ({"num_classes": [10, 20]}, {}, "classes that they have"),
    ({"workers": [0, 1]}, {}, "does not change what comes out"),
    ({"epochs": [20, 40]}, {"budget": "macs"}, "budget='macs' decides"),
    ({"momentum": [0.8, 0.9]}, {"recipe": short(optimizer="adamw")}, "compared with itself"),
    ({"milestones": [[0.3], [0.5]]}, {}, "compared with itself"),
    ({}, {"networks": {"a": tiny(), "b": tiny()}}, "compared with itself"),
    ({}, {"networks": {"a b": tiny(), "a-b": tiny(attention="se")}}, "share a folder"),
]


@pytest.mark.parametrize(("vary", "more", "message"), REFUSED)
def test_two_rows_never_compute_the_same(vary: Any, more: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Trial(**{"networks": {"net": tiny()}, "recipe": short(), "vary": vary, **more})


OTHER = {
    "image_size": 16, "train_images": 99, "test_images": 9, "val_images": 9, "label_noise": 0.5,
    "corruptions": ("jpeg:1",), "on_corrupt_file": "raise", "crop": "none", "flip": True,
    "auto_augment": "randaugment", "random_erasing": 0.5, "cutout": 8, "mixup": 0.5, "cutmix": 0.5,
    "label_smoothing": 0.5, "epochs": 3, "batch_size": 16, "accumulate": 2, "optimizer": "adamw",
    "lr": 0.5, "schedule": "step", "warmup_epochs": 0, "momentum": 0.5, "nesterov": False,
    "weight_decay": 0.5, "norm_weight_decay": 0.5, "clip_norm": 0.5, "ema": 0.5,
    "precision": "bf16", "channels_last": True, "compile": True, "grad_checkpointing": True,
    "deterministic": True, "test_every": 2, "layer_decay": 0.5, "interpolation": "bicubic",
}  # fmt: skip


@pytest.mark.parametrize("field", OTHER)
def test_what_is_computed_otherwise_is_another_run(field: str) -> None:
    assert short(**{field: OTHER[field]}).identity() != short().identity()
    assert field in {each.name for each in dataclasses.fields(Recipe)} - {*MACHINE_FIELDS}


def test_budgets_are_kept_apart() -> None:
    assert _kept_lengths({"budget": "time", "lengths": {"a": 0.9}}) == {"time": {"a": 0.9}}
    assert _kept_lengths({"lengths": {"time": {"a": 0.9}}}) == {"time": {"a": 0.9}}


def test_a_budget_counts_the_axes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of four times the pixels are trained a quarter as long."""
    monkeypatch.setattr("resnet_variants.comparison.running.train_all", lambda *a: None)
    trial = Trial(
        networks={"net": tiny()}, recipe=short(epochs=40), vary={"image_size": [8, 16]},
        budget="macs", seeds=(0,),
    )  # fmt: skip
    with pytest.raises(ValueError, match="No finished run"):
        run_trial(trial, tmp_path, progress=False)
    import json

    lengths = json.loads((tmp_path / "trial.json").read_text())["lengths"]["macs"]
    assert lengths["net image_size=8"] == 1
    assert lengths["net image_size=16"] == pytest.approx(0.25, rel=0.02)


def test_a_failed_run_is_told_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Trainer.steps

    def broken(self: Trainer, *args: Any) -> Trainer:
        if self.recipe.batch_size == 16:
            raise RuntimeError("it broke")
        return steps(self, *args)

    monkeypatch.setattr(Trainer, "steps", broken)
    sizes = [64, 16, 32]
    trial = Trial(
        networks={"net": tiny()}, recipe=short(epochs=1, warmup_epochs=0), seeds=(0,),
        vary={"batch_size": sizes},
    )  # fmt: skip
    report = run_trial(trial, tmp_path, progress=False)
    assert [row.conditions["batch_size"] for row in report.rows] == sizes, "in the order given"
    assert [(len(row.runs), [*row.failed]) for row in report.rows] == [(1, []), (0, [0]), (1, [])]
    assert report.rows[2].against == "net batch_size=64" and report.rows[2].difference is not None
    monkeypatch.undo()
    again = run_trial(trial, tmp_path, progress=False)
    assert [row.conditions["batch_size"] for row in again.rows] == sizes, "in the order given"
    assert not again.failed and any("val-images" in each for each in findings(again))
    assert isinstance(Report.read([tmp_path]), Report)


def test_seeds_are_added_until_the_interval_is_narrow(tmp_path: Path) -> None:
    recipe = short(epochs=1, warmup_epochs=0, train_images=64)
    nets = {"plain": tiny(), "se": tiny(attention="se")}
    trial = Trial(networks=nets, recipe=recipe, seeds=(0, 1), until_width=1e-3, max_seeds=3)
    assert run_trial(trial, tmp_path, progress=False).rows[1].seeds == [0, 1, 2]


@pytest.mark.parametrize(("hours", "seeds"), [(1e-6, [0, 1]), (9, [0, 1, 2])])
def test_seeds_are_added_while_there_is_time(hours: float, seeds: list[int], tmp_path) -> None:
    recipe = short(epochs=1, warmup_epochs=0, train_images=64)
    trial = Trial(
        networks={"plain": tiny()}, recipe=recipe, seeds=(0, 1), max_hours=hours, max_seeds=3
    )
    assert run_trial(trial, tmp_path, progress=False).rows[0].seeds == seeds


def test_the_trial_of_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    """``compare --preset gate_trial``: none and nine gates; what the command says goes before."""
    trials: list[Trial] = []

    class DoneError(BaseException):
        """No training: the trial is what is asked for."""

    def keep(trial: Trial, *_: Any, **__: Any) -> None:
        trials.append(trial)
        raise DoneError

    monkeypatch.setattr("resnet_variants.cli.training.run_trial", keep)
    for words in ([], ["resnet56_cifar", "--vary", "attention=none,bam", "--epochs", "8"]):
        with pytest.raises(DoneError):
            main(["compare", *words, "--preset", "gate_trial", "--max-hours", "5"])
    gates = [each.config.attention for each in trials[0].variants()]
    assert len(set(gates)) == 10 and gates[0] == "none"
    assert (trials[0].recipe, trials[0].max_seeds) == (PRESETS["gate_trial"], 100)
    assert [each.label for each in trials[1].variants()] == [
        "resnet56_cifar attention=none", "resnet56_cifar attention=bam",
    ]  # fmt: skip
    assert trials[1].recipe.epochs == 8


# Statistics


def test_equal_differences_prove_little() -> None:
    """What rounding made equal has the deviation of rounding; two seeds are never tested."""
    base, other = dict.fromkeys(range(3), 90.0), dict.fromkeys(range(3), 90.2)
    found = own.paired_difference(base, other, quantum=0.2)
    assert found is not None and found.p is not None and found.p > 0.05
    two = own.paired_difference({0: 1.0, 1: 1.0}, {0: 2.0, 1: 2.0}, quantum=0.2)
    assert two is not None and two.p is None and not two.clear


def test_exact_signs_are_scipys() -> None:
    from scipy import stats

    draw = random.Random(0)
    for n in (3, 5, 8):
        values = [draw.gauss(0.5, 1) for _ in range(n)]
        known = stats.permutation_test(
            (values,), lambda x: sum(x) / len(x), permutation_type="samples", vectorized=False
        )
        assert own.sign_flips(values) == pytest.approx(known.pvalue)


def test_power_is_that_of_the_noncentral_t() -> None:
    from scipy import stats

    limit = stats.t.isf(own.LEVEL / 4 / 2, 4)
    known = stats.nct.sf(limit, 4, 1.5 * math.sqrt(5)) + stats.nct.cdf(-limit, 4, 1.5 * 5**0.5)
    assert own.power(1.5, 5, 4) == pytest.approx(known, abs=1e-4)
    effect = own.detectable(5, 4)
    assert effect is not None and own.power(effect, 5, 4) == pytest.approx(0.8, abs=1e-6)
    assert own.seeds_needed(effect, 4) == 5 and own.detectable(2) is None


def test_equivalence_is_two_one_sided_tests() -> None:
    from scipy import stats

    values = [0.1, -0.05, 0.02, 0.08, -0.02]
    found = own.paired_difference(dict.fromkeys(range(5), 0.0), dict(enumerate(values)), margin=0.3)
    known = max(
        stats.ttest_1samp(values, -0.3, alternative="greater").pvalue,
        stats.ttest_1samp(values, 0.3, alternative="less").pvalue,
    )
    assert found is not None and found.p_equal == pytest.approx(known)


def test_interval_over_seeds_and_images_covers() -> None:
    draw = torch.Generator().manual_seed(0)
    hits = 0
    for _ in range(300):
        seeds, images = torch.randn(5, 1, generator=draw), torch.randn(1, 400, generator=draw)
        values = 0.01 * seeds + 0.1 * images + 0.3 * torch.randn(5, 400, generator=draw)
        low, high = own.seeds_and_images(values.double().numpy(), 0.95)
        hits += low <= 0 <= high
    assert 0.90 <= hits / 300 <= 0.99


def test_of_many_networks_a_sentence_names_the_first() -> None:
    assert _listed([*"abcdef"]) == "a, b, c, d, e, f"
    assert _listed([*"abcdefg"]) == "a, b, c, d, e and 2 more"
