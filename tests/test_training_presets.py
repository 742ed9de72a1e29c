"""Recipes are what they are called, and their new parts do what they say."""

from __future__ import annotations

import math

import pytest
import timm
import torch
from timm.loss import BinaryCrossEntropy
from torch import nn

from resnet_variants import build, initialise
from resnet_variants.training import PRESETS, Recipe, load_data, train
from resnet_variants.training.augment import training_size
from resnet_variants.training.criterion import make_loss
from resnet_variants.training.engine import Average
from resnet_variants.training.images import REPEAT, EpochBatches
from resnet_variants.training.optim import learning_rate, make_optimizer

from .training_runs import short, tiny


def test_torchvisions_second_recipe() -> None:
    """references/classification: crops of 176, tests of 224 from 232, repeated augmentation of 4,
    an average each 32 steps whose memory is that of the epochs."""
    v2 = PRESETS["imagenet_modern"]
    assert (v2.image_size, v2.eval_size, round(v2.eval_size / v2.eval_crop)) == (176, 224, 232)
    assert (v2.repeats, v2.mixup, v2.cutmix, v2.random_erasing) == (4, 0.2, 1.0, 0.1)
    assert 1 - v2.ema == pytest.approx((1 - 0.99998) * 1024 * 32 / 600)
    network = build(tiny())
    decays = {
        name: group["weight_decay"]
        for group in make_optimizer(network, v2).param_groups
        for name, p in network.named_parameters()
        if any(p is each for each in group["params"])
    }
    norms = {n for n in decays if ".norm." in n}
    assert all(decays[name] == (0 if name in norms else 2e-5) for name in decays)


def test_step_recipes_fall_when_they_say() -> None:
    for name, epochs in (("goyal2017", (30, 60, 80)), ("ssanet_cifar", (50, 100, 150, 200))):
        recipe = PRESETS[name]
        total = int(recipe.epochs) * 10
        rates = [learning_rate(recipe, step, total, 10) for step in range(total)]
        falls = [i // 10 for i in range(1, total) if rates[i] < rates[i - 1] * 0.5]
        assert falls == list(epochs)
        assert max(rates) == pytest.approx(0.1)
    goyal = PRESETS["goyal2017"]
    assert (goyal.norm_weight_decay, goyal.bias_weight_decay, goyal.warmup_epochs) == (0, 1e-4, 0)
    author = PRESETS["ssanet_cifar"]
    assert (author.batch_size, author.nesterov, author.warmup_epochs) == (100, False, 0)


def test_resnet_strikes_back() -> None:
    """A1 to A3: LAMB, binary cross-entropy, repeated augmentation but in A3, timm's RandAugment."""
    a1, a2, a3 = (PRESETS[f"rsb_a{i}"] for i in (1, 2, 3))
    assert [(r.epochs, r.lr, r.weight_decay, r.repeats, r.mixup) for r in (a1, a2, a3)] == [
        (600, 5e-3, 0.01, 3, 0.2), (300, 5e-3, 0.02, 3, 0.1), (100, 8e-3, 0.02, 1, 0.1),
    ]  # fmt: skip
    assert (a3.image_size, a3.eval_size, a3.eval_crop) == (160, 224, 0.95)
    optimizer = make_optimizer(build(tiny()), a1)
    assert isinstance(optimizer, timm.optim.Lamb)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0]


def test_recipes_of_timms_parts_train() -> None:
    """An optimiser and a policy by name; the same from the same seed."""
    changes = dict(
        optimizer="lamb", lr=5e-3, auto_augment="rand-m7-mstd0.5-inc1", loss="bce", mixup=0.2,
        cutmix=1.0, repeats=3, crop="resized", image_size=8, data="fake",
    )  # fmt: skip
    results = [train(tiny(), short(**changes), progress=False) for _ in range(2)]
    assert results[0].history[-1]["train_loss"] == results[1].history[-1]["train_loss"]
    for field, message in (
        ({"optimizer": "lamp"}, "Did you mean 'lamb'"),
        ({"auto_augment": "randaugmnet"}, "Did you mean 'randaugment'"),
    ):
        with pytest.raises(ValueError, match=message):
            Recipe(**field)


def test_binary_cross_entropy_is_timms() -> None:
    logits, labels = torch.randn(6, 10), torch.randint(0, 10, (6,))
    for smoothing in (0.0, 0.1):
        ours = make_loss(Recipe(loss="bce", label_smoothing=smoothing))
        theirs = BinaryCrossEntropy(smoothing)
        torch.testing.assert_close(ours(logits, labels), theirs(logits, labels))
    mixed = 0.3 * nn.functional.one_hot(labels, 10) + 0.7 * nn.functional.one_hot(
        labels.roll(1), 10
    )
    theirs = BinaryCrossEntropy(0.0, target_threshold=0.2)
    torch.testing.assert_close(make_loss(Recipe(loss="bce"))(logits, mixed), theirs(logits, mixed))


def test_repeated_images_are_augmented_differently() -> None:
    keys = [key for batch in EpochBatches(24, 8, 0, 1, 0, repeats=3) for key in batch]
    assert len(keys) == len(set(keys)) == 24
    positions = [position for _, position in keys]
    assert all(len(set(positions[i : i + 3])) == 1 for i in range(0, 24, 3))
    assert [epoch for epoch, _ in keys[:3]] == [0, REPEAT, 2 * REPEAT]
    halves = [[k for b in EpochBatches(24, 8, r, 2, 0, repeats=3) for k in b] for r in (0, 1)]
    assert sorted(halves[0] + halves[1]) == sorted(keys)
    data = load_data(short(repeats=4, flip=True, batch_size=8))
    loader, _ = data.loader(data.train, 8, seed=0, repeats=4)
    images = next(iter(loader)).images
    assert len({bytes(each.numpy()) for each in images[:4]}) > 1


def test_images_grow() -> None:
    recipe = short(
        crop="resized", image_size=64, start_size=32, data="fake", epochs=8, warmup_epochs=0
    )
    sides = [training_size(recipe, epoch, 64) for epoch in range(8)]
    assert sides == [32, 32, 48, 48, 48, 64, 64, 64]
    data = load_data(recipe)
    loader, sampler = data.loader(data.train, 32, seed=0)
    for epoch in (0, 3, 7):
        sampler.epoch = epoch
        assert next(iter(loader)).images.shape[2:] == (sides[epoch], sides[epoch])
    assert data.shape == (3, 64, 64)
    with pytest.raises(ValueError, match="start_size=96 needs"):
        recipe.replace(start_size=96)


def test_erasing_puts_the_mean() -> None:
    recipe = short(
        random_erasing=1.0, crop="none", data="fake", mean=(0.2, 0.4, 0.6), std=(1, 1, 1)
    )
    data = load_data(recipe)
    image = data.train.transformed(0, 0)
    values = torch.tensor([51, 102, 153], dtype=torch.uint8).view(3, 1, 1)
    assert (image == values).all(0).float().mean() > 0.01


def test_an_average_that_starts_after_the_warm_up() -> None:
    """As torchvision's: until then it is the weights, then a plain moving average."""
    network = build(tiny())
    initialise(network, 0)
    average = Average(network, 0.9, rises=False)
    parameter, mean = network.head.fc.bias, average.module.head.fc.bias
    with torch.no_grad():
        for value in (1.0, 2.0):
            parameter.fill_(value)
            average.update_parameters(network)
            if value == 1.0:
                average.n_averaged.zero_()
        assert mean[0] == 2
        parameter.fill_(3.0)
        average.update_parameters(network)
    assert math.isclose(mean[0].item(), 0.9 * 2 + 0.1 * 3, rel_tol=1e-6)
    result = train(tiny(), short(ema=0.5, ema_every=2, ema_start="warmup"), progress=False)
    assert result.last_top1 is not None
