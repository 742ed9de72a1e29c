"""A step recorded once and replayed gives what the plain step gives; on a GPU, by a CUDA graph."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from resnet_variants.builders import build
from resnet_variants.training import train, trainer
from resnet_variants.training.captured import (
    FROM_ZERO,
    CapturedStep,
    Replayed,
    capturable,
    why_not,
)
from resnet_variants.training.data import load_data
from resnet_variants.training.engine import make_accelerator
from resnet_variants.training.learner import Learner
from resnet_variants.training.loop import resolve
from resnet_variants.training.optim import make_optimizer
from resnet_variants.training.optimizers import OPTIMIZERS
from resnet_variants.training.trainer import Trainer

from .graphs import Repeated
from .training_runs import equal, scores, short, tiny, weights


def _captured(trainer, images) -> CapturedStep:
    return CapturedStep(trainer, images, Repeated)


RECIPES = [
    dict(flip=True, clip_norm=0.5, ema=0.9),
    dict(accumulate=2, batch_size=64, drop_path_rate=0.2, drop_rate=0.1),
    dict(optimizer="adamw", lr=1e-3, precision="bf16", channels_last=True, save_steps=3),
    dict(
        augment="batches", auto_augment="trivialaugment", random_erasing=0.5, mixup=0.2, cutmix=1.0
    ),
    dict(optimizer="rmsprop", lr=1e-3, crop="none", schedule="step", warmup_epochs=0),
]


@pytest.mark.parametrize("changes", RECIPES, ids=str)
def test_replayed_steps_are_the_plain_ones(changes, monkeypatch, tmp_path: Path) -> None:
    recipe = short(**changes)
    plain = train(tiny(attention="se"), recipe, tmp_path / "plain", progress=False)
    monkeypatch.setattr(trainer, "captured_step", _captured)
    replayed = train(tiny(attention="se"), recipe, tmp_path / "replayed", progress=False)
    assert scores(plain) == scores(replayed)
    assert equal(weights(tmp_path / "plain"), weights(tmp_path / "replayed"))


@torch.no_grad()
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_replayed_network_follows_its_weights(precision: str) -> None:
    """And answers images of another shape as it is."""
    network = build(tiny(in_chans=1, attention="se")).eval()
    replayed = Replayed(network, Counted())
    for count in (4, 4, 3, 4):
        images = torch.randn(count, 1, 8, 8)
        with torch.autocast("cpu", torch.bfloat16, precision == "bfloat16"):
            assert torch.equal(replayed(images), network(images))
        for tensor in network.parameters():
            tensor.mul_(0.9)
    assert replayed.graph.replays == 3


class Counted(Repeated):
    """Counts its replays."""

    replays = 0

    def replay(self) -> None:
        super().replay()
        self.replays += 1


def test_replayed_steps_go_on_where_they_stopped(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(trainer, "captured_step", _captured)
    recipe = short(flip=True, optimizer="adamw", lr=1e-3, save_steps=1)
    whole = train(tiny(), recipe, tmp_path / "whole", progress=False)
    save, saved = Trainer.save, []

    def stop(trainer) -> None:
        save(trainer)
        saved.append(trainer.step)
        if len(saved) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), recipe, tmp_path / "parts", progress=False)
    monkeypatch.setattr(Trainer, "save", save)
    parts = train(tiny(), recipe, tmp_path / "parts", progress=False)
    assert scores(whole) == scores(parts)
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


@pytest.mark.parametrize("name", ["rmsprop", "adamw"])
def test_captured_steps_go_on_on_another_device(name: str) -> None:
    """What a GPU needs of an optimiser (which a CPU refuses) stays with it, and comes anew."""
    recipe = short(optimizer=name, lr=1e-3)
    data = load_data(recipe)
    first, second = (
        Trainer(resolve(tiny(), recipe, data), recipe, data, make_accelerator(recipe))
        for _ in range(2)
    )
    first.try_step()
    state = copy.deepcopy(first.state())
    for group in state["optimizer"]["param_groups"]:
        group |= {"capturable": True, "lr": torch.tensor(group["lr"])}
    Learner.take_up(second, state)
    second.step = first.step
    for each in (first, second):
        each.try_step()
    assert equal(first.weights(), second.weights())
    assert capturable(second.optimizer, torch.device("meta"))
    steps = [values["step"].device.type for values in second.optimizer.state.values()]
    assert set(steps) == {"meta"}


@pytest.mark.parametrize(("changes", "reason"), [
    ({}, "not a CUDA GPU"), (dict(capture=False), "capture is off"),
])  # fmt: skip
def test_why_steps_are_plain(changes, reason: str) -> None:
    recipe = short(**changes)
    data = load_data(recipe)
    config = resolve(tiny(), recipe, data)
    trainer = Trainer(config, recipe, data, make_accelerator(recipe))
    assert trainer.captured is None
    assert reason in str(why_not(trainer, trainer.loader.dataset))


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_our_optimisers_can_be_recorded(name: str) -> None:
    """As torch checks it, and with a rate that is read from a tensor."""
    optimizer = make_optimizer(build(tiny()), short(optimizer=name))
    assert capturable(optimizer, torch.device("cpu"))
    assert all(group.get("capturable", True) for group in optimizer.param_groups)
    assert all(isinstance(group["lr"], torch.Tensor) for group in optimizer.param_groups)


@pytest.mark.parametrize(
    "kind", [*FROM_ZERO, torch.optim.NAdam, torch.optim.ASGD, torch.optim.Rprop]
)
def test_what_is_recorded_starts_at_zero(kind: type[torch.optim.Optimizer]) -> None:
    """After a step by nothing their state is zero (Adamax: eps), but for the number of steps."""
    weight = torch.nn.Parameter(torch.zeros(3))
    weight.grad = torch.zeros(3)
    given = dict(momentum=0.9) if kind in (torch.optim.SGD, torch.optim.RMSprop) else {}
    optimizer = kind([weight], lr=0.1, **given)
    optimizer.step()
    state = optimizer.state[weight]
    assert state.pop("step", 1) == 1
    assert all(value.abs().max() < 1e-6 for value in state.values()) == (kind in FROM_ZERO)
    assert capturable(optimizer, torch.device("cpu")) == (kind in FROM_ZERO)


@pytest.mark.gpu
@pytest.mark.parametrize("changes", RECIPES, ids=str)
def test_graphs_give_what_they_replace(changes, tmp_path: Path) -> None:
    """On a GPU: captured and plain agree up to rounding; captured twice, bitwise."""
    assert torch.cuda.is_available()
    recipe = short(**changes, deterministic=True)
    names = ("one", "two")
    runs = [train(tiny(attention="se"), recipe, tmp_path / n, progress=False) for n in names]
    assert scores(runs[0]) == scores(runs[1])
    assert equal(*(weights(tmp_path / n) for n in names))
    plain = train(tiny(attention="se"), recipe.replace(capture=False), progress=False)
    first = [run.history[0]["train_loss"] for run in (runs[0], plain)]
    assert first[0] == pytest.approx(first[1], rel=0.05 if recipe.precision == "bf16" else 1e-3)
