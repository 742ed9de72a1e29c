"""Runs that take turns in one process give, bit by bit, what each gives alone."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from resnet_variants.comparison import Trial, run_trial
from resnet_variants.comparison.turns import TrialImages
from resnet_variants.training import loop, trainer
from resnet_variants.training.captured import CapturedStep
from resnet_variants.training.trainer import Trainer

from .graphs import Repeated
from .training_runs import equal, short, tiny, weights


def _captured(trainer, images) -> CapturedStep:
    return CapturedStep(trainer, images, Repeated)


def _trial(**changes) -> Trial:
    small = dict(train_images=64, test_images=20, batch_size=16, epochs=1, warmup_epochs=0)
    recipe = short(**small, flip=True, drop_rate=0.2, ema=0.9, save_steps=2, **changes)
    networks = {"plain": tiny(), "se": tiny(attention="se")}
    return Trial(networks=networks, recipe=recipe, seeds=(0, 1))


def _runs(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in (folder / "runs").iterdir()}


@pytest.mark.parametrize(("count", "changes"), [
    (2, dict(mixup=0.2, accumulate=2)),
    (3, dict(augment="batches", auto_augment="trivialaugment", cutmix=1.0)),
], ids=str)  # fmt: skip
def test_turns_change_nothing(count, changes, monkeypatch, tmp_path: Path) -> None:
    if "augment" in changes:
        monkeypatch.setattr(trainer, "captured_step", _captured)
    monkeypatch.setattr(loop, "_measured", lambda trainer: (None, None))  # seconds a run
    before = torch.get_rng_state()
    order: list[str] = []
    step = Trainer._step

    def noted(self, batches) -> None:
        order.append(f"{self.config.attention}{self.recipe.seed}")
        step(self, batches)

    monkeypatch.setattr(Trainer, "_step", noted)
    run_trial(_trial(**changes), tmp_path / "1", progress=False)
    switches = sum(a != b for a, b in itertools.pairwise(order))
    order.clear()
    folder = tmp_path / str(count)
    run_trial(_trial(**changes), folder, progress=False, at_once=count)
    assert sum(a != b for a, b in itertools.pairwise(order)) > 2 * switches
    one, many = _runs(tmp_path / "1"), _runs(folder)
    assert one.keys() == many.keys() and len(one) == 4
    for name in one:
        assert equal(weights(one[name]), weights(many[name]))
        files = [path[name] / "predictions.safetensors" for path in (one, many)]
        assert files[0].read_bytes() == files[1].read_bytes()
    assert torch.equal(before, torch.get_rng_state())


def test_one_that_fails_stops_no_other(monkeypatch, tmp_path: Path) -> None:
    step = Trainer._step

    def fails(self, batches) -> None:
        if self.recipe.seed == 1 and self.step == 3 and self.config.attention is not None:
            raise RuntimeError("by chance")
        step(self, batches)

    monkeypatch.setattr(Trainer, "_step", fails)
    run_trial(_trial(), tmp_path, progress=False, at_once=3)
    failed = [p.name for p in _runs(tmp_path).values() if (p / "failed.json").exists()]
    assert failed == ["se-seed1"]
    assert sum((path / "result.json").exists() for path in _runs(tmp_path).values()) == 3
    monkeypatch.setattr(Trainer, "_step", step)
    run_trial(_trial(), tmp_path, progress=False, at_once=3)
    assert all((path / "result.json").exists() for path in _runs(tmp_path).values())


def test_seeds_share_what_is_decoded() -> None:
    images, recipe = TrialImages({}), short()
    pair = [images.of(recipe.replace(seed=seed)) for seed in (0, 1)]
    one, two = (d.loader(d.train, 8, seed=d.train.seed)[0].dataset for d in pair)
    assert one.windows.data_ptr() == two.windows.data_ptr()
    keys = [(0, place) for place in range(8)]
    assert not torch.equal(one.__getitems__(keys).images, two.__getitems__(keys).images)
    noisy = [images.of(recipe.replace(seed=seed, label_noise=0.5)) for seed in (0, 1)]
    assert not (noisy[0].train.labels == noisy[1].train.labels).all()
