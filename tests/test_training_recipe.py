"""The recipe: one dataclass that Python, YAML and the command line share; what it refuses."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch

from resnet_variants.training import PRESETS, Recipe
from resnet_variants.training.optim import learning_rate, make_optimizer
from resnet_variants.training.optimizers import OPTIMIZERS, register_optimizer

from .training_runs import short, tiny


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_survive_yaml(name: str, tmp_path: Path) -> None:
    recipe = PRESETS[name]
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe
    assert Recipe.from_dict({"preset": name}) == recipe


def test_yaml_as_people_write_it(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        "preset: cifar\nlr: 1e-2\nepochs: 3\nwarmup_epochs: 0\n"
        "precision: no\ncorruptions: [contrast]\n"
    )
    recipe = Recipe.load(tmp_path / "r.yaml")
    assert recipe == PRESETS["cifar"].replace(
        lr=0.01, epochs=3.0, warmup_epochs=0, precision="no", corruptions=("contrast",)
    )


REFUSED = [
    (dict(lrr=1), "Unknown field of a recipe 'lrr'. Did you mean 'lr'"),
    (dict(lr="fast"), "lr must be float, not 'fast'"),
    (dict(lr=0), "lr must be more than 0"),
    (dict(lr=math.inf), "lr must be more than 0"),
    (dict(epochs=-1), "epochs must be more than 0"),
    (dict(epochs=1, warmup_epochs=1), "warmup_epochs=1.0 leaves nothing of epochs=1.0"),
    (dict(batch_size=2.5), "batch_size must be int, not 2.5"),
    (dict(batch_size=0), r"batch_size must be in \[1.0, inf\), not 0"),
    (dict(batch_size=10, accumulate=3), "batch_size=10 cannot be computed in accumulate=3"),
    (dict(flip="yes"), "flip must be bool, not 'yes'"),
    (dict(seed=True), "seed must be int, not True"),
    (dict(optimizer="sdg"), "Unknown optimizer 'sdg'. Did you mean 'sgd'"),
    (dict(crop="padd"), "Unknown crop 'padd'. Did you mean 'pad'"),
    (dict(crop="resized"), "crop='resized' needs an image_size"),
    (dict(eval_crop=0.875), "eval_crop=0.875 needs an image_size"),
    (dict(mean=(0.5,)), "mean and std go together"),
    (dict(momentum=0), "nesterov=True needs a momentum"),
    (dict(milestones=(0.6, 0.3)), "milestones=.* must be rising"),
    (dict(ema=1), "ema must be in"),
    (dict(label_noise=1.5), "label_noise must be in"),
    (dict(corruptions=("fog",)), "Unknown corruption 'fog'"),
    (dict(corruptions=("contrast:6",)), "must be 1 to 5, not '6'"),
    (dict(sharding="fsdp", precision="fp16"), "use precision='bf16'"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe.from_dict(values)


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1, 2]", "must hold fields"), ("a: [", "is not YAML"), (None, "No recipe file")],
)
def test_bad_files(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        Recipe.load(tmp_path / "recipe.yaml")


def test_every_field_is_documented() -> None:
    from resnet_variants.cli.training import _HELP

    plain = {"optimizer", "momentum", "nesterov", "weight_decay", "schedule"}
    for field in dataclasses.fields(Recipe):
        assert _HELP[field.name] or field.name in plain, field.name


def test_learning_rates() -> None:
    recipe = Recipe(epochs=10, warmup_epochs=2, lr=1.0)
    rates = [learning_rate(recipe, step, 100, 10) for step in range(100)]
    assert rates[:20] == pytest.approx([(step + 1) / 21 for step in range(20)])
    assert rates[20] == 1 and rates[60] == pytest.approx(0.5) and 0 < rates[99] < 0.001
    step = recipe.replace(schedule="step")
    assert [learning_rate(step, s, 100, 10) for s in (29, 30, 60, 90)] == pytest.approx(
        [1, 0.1, 0.01, 0.001]
    )
    linear = recipe.replace(schedule="linear")
    assert learning_rate(linear, 60, 100, 10) == pytest.approx(0.5)
    assert learning_rate(recipe.replace(schedule="constant"), 99, 100, 10) == 1


@pytest.mark.parametrize("name", ["sgd", "adamw", "rmsprop"])
def test_weight_decay_groups(name: str) -> None:
    from resnet_variants import build

    network = build(tiny())
    optimizer = make_optimizer(
        network, Recipe(optimizer=name, weight_decay=0.1, norm_weight_decay=0.0)
    )
    wide, flat = optimizer.param_groups
    assert wide["weight_decay"] == 0.1 and flat["weight_decay"] == 0
    assert all(p.ndim > 1 for p in wide["params"]) and all(p.ndim == 1 for p in flat["params"])
    assert len(wide["params"]) + len(flat["params"]) == len(list(network.parameters()))
    assert isinstance(optimizer, torch.optim.Optimizer)


def test_divergence_is_a_result(tmp_path: Path) -> None:
    """A rate that is far too high ends in no error and in JSON that everyone can read."""
    from resnet_variants.training import train

    recipe = short(lr=1e30, clip_norm=0.0)
    with pytest.warns(UserWarning, match="no number any more after step 4 of 8"):
        result = train(tiny(), recipe, tmp_path, progress=False)
    assert result.diverged == 4 and len(result.history) == 1
    assert result.test_loss is None
    json.loads((tmp_path / "result.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("uses", [(), ("momentum",)])
def test_an_own_optimizer_says_what_changes_it(uses: tuple[str, ...]) -> None:
    """Runs that differ in what it does not read are one run."""
    register_optimizer("own", uses=uses)(lambda groups, settings: torch.optim.Adagrad(groups))
    try:
        recipe = Recipe(optimizer="own")
        assert isinstance(make_optimizer(torch.nn.Linear(2, 2), recipe), torch.optim.Adagrad)
        same = recipe.replace(momentum=0.5).identity() == recipe.identity()
        assert same == (not uses)
        with pytest.raises(ValueError, match="Did you mean 'own'"):
            Recipe(optimizer="owm")
    finally:
        OPTIMIZERS.unregister("own")
