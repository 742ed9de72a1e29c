"""The loop: learns, leaves no trace in the user's process, and every option of a recipe works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from resnet_variants import create_model
from resnet_variants.builders import build
from resnet_variants.comparison import Trial, run_trial
from resnet_variants.training import Recipe, engine, load_data, loop, train
from resnet_variants.training.engine import Average, make_accelerator
from resnet_variants.training.loop import probe, resolve
from resnet_variants.training.trainer import Trainer

from .training_runs import ROOT, environment, scores, short, tiny, weights


def _trainer(recipe: Recipe, **changes) -> Trainer:
    data = load_data(recipe)
    return Trainer(resolve(tiny(**changes), recipe, data), recipe, data, make_accelerator(recipe))


def test_it_learns(tmp_path) -> None:
    recipe = Recipe(epochs=3, train_images=640, test_images=200, crop="none")
    result = train("resnet20_cifar", recipe, tmp_path, progress=False)
    assert result.top1 > 60 and result.top5 > 90  # chance: 10 and 50
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    model = create_model("resnet20_cifar", in_chans=1)
    model.load_state_dict(weights(tmp_path))
    data = load_data(recipe)
    images = torch.stack([data.test.load(i) for i in range(len(data.test))]).float() / 255
    logits = model.eval()((images - data.mean[0]) / data.std[0])
    right = (logits.argmax(1) == torch.tensor(data.test.labels)).float().mean().item()
    assert 100 * right == pytest.approx(result.top1, abs=0.51)


def test_the_seed_decides_and_the_user_notices_nothing() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    first = train(tiny(), short(drop_rate=0.2), progress=False)
    assert torch.equal(torch.rand(3), wanted)
    assert not torch.are_deterministic_algorithms_enabled()
    again = train(tiny(), short(drop_rate=0.2), progress=False)
    other = train(tiny(), short(drop_rate=0.2, seed=1), progress=False)
    assert scores(first) == scores(again) != scores(other)


def test_deterministic_is_set_before_a_gpu_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pretended one, used where its random state is read, or the trainer's device is chosen."""
    used: list[str] = []

    def noted(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **given: used.append(name) or work(*args, **given)

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: bool(used))
    monkeypatch.setattr(loop, "own_random_state", noted("state", loop.own_random_state))
    monkeypatch.setattr(engine, "Accelerator", noted("device", engine.Accelerator))
    recipe = short(epochs=1, warmup_epochs=0, deterministic=True)
    for first in (
        lambda: train(tiny(), recipe, progress=False),
        lambda: engine.make_accelerator(recipe),
    ):
        monkeypatch.delenv(engine.WORKSPACE, raising=False)
        used.clear()
        first()
        assert used and os.environ[engine.WORKSPACE] in engine.FIXED
    monkeypatch.delenv(engine.WORKSPACE)
    with pytest.raises(ValueError, match="GPU was used before"):
        train(tiny(), recipe, progress=False)


def test_settings_of_torch_are_left_as_they_were() -> None:
    torch.set_deterministic_debug_mode("warn")
    try:
        with engine.determinism(short()):
            assert torch.get_deterministic_debug_mode() == 0
        assert torch.get_deterministic_debug_mode() == 1
    finally:
        torch.set_deterministic_debug_mode("default")


def test_loader_processes_change_nothing() -> None:
    recipe = short(auto_augment="trivialaugment", data="fake", epochs=1, warmup_epochs=0)
    alone = train(tiny(), recipe, progress=False)
    assert scores(train(tiny(), recipe.replace(workers=2), progress=False)) == scores(alone)


def test_a_step_is_that_of_plain_pytorch() -> None:
    recipe = short(crop="none", warmup_epochs=0, label_smoothing=0.1)
    trainer = _trainer(recipe)
    other = _trainer(recipe).network
    optimizer = torch.optim.SGD(
        other.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    other.train()
    batches = list(trainer.loader)[:2]
    steps = iter(batches)
    for i, batch in enumerate(batches):
        trainer._step(steps)
        optimizer.param_groups[0]["lr"] = 0.1 * (1 + torch.cos(torch.tensor(torch.pi * i / 8))) / 2
        images = batch.images.float() / 255
        images = (images - trainer.data.mean[0]) / trainer.data.std[0]
        optimizer.zero_grad()
        criterion(other(images), batch.labels).backward()
        optimizer.step()
    for mine, theirs in zip(trainer.network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_accumulated_parts_equal_the_whole() -> None:
    """Where no layer looks across the batch."""
    whole = train(tiny(norm_layer="groupnorm"), short(), progress=False)
    parts = train(tiny(norm_layer="groupnorm"), short(accumulate=4), progress=False)
    for a, b in zip(whole.history, parts.history, strict=True):
        assert b["train_loss"] == pytest.approx(a["train_loss"], rel=1e-4)


def test_grad_checkpointing_changes_memory_only() -> None:
    plain = train(tiny(drop_path_rate=0.1), short(), progress=False)
    saving = train(tiny(drop_path_rate=0.1), short(grad_checkpointing=True), progress=False)
    assert [line["train_loss"] for line in saving.history] == pytest.approx(
        [line["train_loss"] for line in plain.history], rel=1e-5
    )
    assert saving.train_memory < plain.train_memory


@pytest.mark.parametrize("holds", [16, 1])
def test_parts_that_fit_are_named(holds: int, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a batch that the memory does not hold: by a run, and by a trial before its first run."""
    part = Trainer.part

    def full(self: Trainer, images: torch.Tensor, *args: Any) -> None:
        if len(images) > holds:
            raise torch.OutOfMemoryError("Out of memory: tried to allocate 2 GiB. GPU 0 has 1 GiB")
        part(self, images, *args)

    monkeypatch.setattr(Trainer, "part", full)
    named = r"2 GiB\. .* parts of 16, .*accumulate=4" if holds == 16 else "2 GiB, even for parts"
    recipe = short(batch_size=64)
    with pytest.raises(ValueError, match=named):
        train(tiny(), recipe, progress=False)
    with pytest.raises(ValueError, match=f"net cannot be trained: .*{named}"):
        run_trial(Trial(networks={"net": tiny()}, recipe=recipe), tmp_path, progress=False)
    if holds == 16:
        train(tiny(), recipe.replace(accumulate=4), progress=False)


def test_the_largest_of_growing_images_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first step, since only they may be too large for the memory."""
    sides: list[int] = []
    monkeypatch.setattr(Trainer, "part", lambda self, images, *_: sides.append(images.shape[-1]))
    recipe = short(crop="resized", image_size=64, start_size=32, data="fake", epochs=2.5)
    data = load_data(recipe)
    probe(resolve(tiny(), recipe, data), recipe, data)
    assert sides == [64]


def test_averaged_weights() -> None:
    """(1 + t) / (10 + t) of the old, 0.9 at most, statistics too; the average is tested."""
    trainer = _trainer(short(ema=0.9))
    average = Average(trainer.network, 0.9)
    batches = iter(list(trainer.loader))
    wanted = None
    for t in range(3):
        trainer._step(batches)
        rate = min(0.9, (1 + t) / (10 + t))
        state = {
            k: v.clone() for k, v in trainer.network.state_dict().items() if v.is_floating_point()
        }
        average.update_parameters(trainer.network)
        wanted = (
            state
            if wanted is None
            else {k: rate * wanted[k] + (1 - rate) * state[k] for k in state}
        )
    for key, value in wanted.items():
        torch.testing.assert_close(average.module.state_dict()[key], value)
        torch.testing.assert_close(trainer.ema.module.state_dict()[key], value)
    fast = trainer.test()
    trainer.ema = None
    assert trainer.test() != fast


def test_an_average_waits_for_no_device() -> None:
    """Nothing moves between the CPU, which counts, and a device."""

    class Noted(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            done.append(func.name())
            return func(*args, **(kwargs or {}))

    done: list[str] = []
    network = build(tiny()).to("meta")
    average = Average(network, 0.9)
    with Noted():
        for _ in range(2):
            average.update_parameters(network)
    assert "aten::_foreach_lerp_.Scalar" in done
    assert not {"aten::_to_copy", "aten::copy_"} & {*done}
    assert average.n_averaged == 2


@pytest.mark.parametrize(
    "changes",
    [
        dict(precision="bf16", channels_last=True),
        dict(optimizer="adamw", lr=1e-3, schedule="linear", norm_weight_decay=0.0),
        dict(optimizer="rmsprop", lr=1e-3, schedule="step", clip_norm=0.5, deterministic=True),
        dict(mixup=0.2, cutmix=1.0, label_smoothing=0.1, random_erasing=0.3, flip=True),
        dict(drop_path_rate=0.2, drop_rate=0.1, zero_init_last=True, schedule="constant"),
        dict(label_noise=0.2, corruptions=("jpeg", "pixelate:5"), test_every=2, epochs=2.5),
    ],
)
def test_options(changes) -> None:
    result = train(tiny(attention="eca"), short(**changes), progress=False)
    assert result.test_loss is not None and 0 <= result.top1 <= 100
    assert list(result.corrupted) == list(changes.get("corruptions", ()))
    if changes.get("epochs") == 2.5:
        assert [line["step"] for line in result.history] == [4, 8, 10]
        assert [line["top1"] is None for line in result.history] == [True, False, False]


def test_refused() -> None:
    with pytest.raises(ValueError, match="precision='fp16' needs an accelerator"):
        train(tiny(), short(precision="fp16", device="cpu"), progress=False)
    with pytest.raises(ValueError, match="features_only=True has no classifier"):
        train(tiny(features_only=True), short(), progress=False)
    with pytest.raises(ValueError, match="too small"):
        train("resnet18", short(), progress=False)
    with pytest.raises(ValueError, match="Did you mean"):
        train("resnet20_cifr", short(), progress=False)


@pytest.mark.slow
def test_compiled_once_for_all_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """More gates than torch compiles of one function by itself, each once, not once a seed."""
    from torch._dynamo.utils import counters

    compiles = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiles(self, backend="eager"))
    recipe = short(compile=True, batch_size=8)
    gates = [None, "se", "eca", "ssa", "salient", "cbam", "ge", "gct", "bam", "simam"]
    for seed in (0, 1):
        for gate in gates:
            before = counters["stats"]["unique_graphs"]
            seeded = recipe.replace(seed=seed)
            data = load_data(seeded)
            probe(resolve(tiny(attention=gate), seeded, data), seeded, data)
            new = counters["stats"]["unique_graphs"] - before
            assert (new > 0) == (seed == 0), (gate, seed)


@pytest.mark.slow
def test_compiled() -> None:
    plain = train(tiny(), short(), progress=False)
    compiled = train(tiny(), short(compile=True), progress=False)
    assert [line["train_loss"] for line in compiled.history] == pytest.approx(
        [line["train_loss"] for line in plain.history], rel=1e-3
    )


@pytest.mark.slow
def test_a_step_beside_a_bare_loop_is_measured() -> None:
    """The benchmark runs; what it finds depends on the machine, and is in docs/comparison.md."""
    import json

    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "training_step.py"), "--rounds", "12"],
        env=environment(), text=True, capture_output=True, check=True, timeout=900,
    )  # fmt: skip
    measured = json.loads(done.stdout)
    assert measured["ratio"] > 0 and 0 <= measured["waiting for images"] < 1
