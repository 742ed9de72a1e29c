"""Training from weights: of another library, published, a run's own; a run is a model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

from resnet_variants import build, create_model, initialise, load, model_config
from resnet_variants.blocks import SE, ConvNormAct
from resnet_variants.blocks.gates import ATTENTION
from resnet_variants.blocks.inception import ResidualInception
from resnet_variants.checkpoints import weights_info
from resnet_variants.checkpoints.models import weights_of
from resnet_variants.checkpoints.preprocessing import class_names, transforms_for
from resnet_variants.cli import main
from resnet_variants.cli.export import export
from resnet_variants.network import Network
from resnet_variants.photographs import read_image
from resnet_variants.training import Recipe, Result, load_data, train
from resnet_variants.training.example_photographs import write_photographs
from resnet_variants.training.loop import identity
from resnet_variants.training.optim import make_optimizer
from resnet_variants.training.start import fill, start_as_identity, starting

from .training_runs import short
from .training_runs import tiny as _tiny


def tiny(**changes):
    """Wide enough for all gates."""
    return _tiny(**({"widths": (16, 16, 32)} | changes))


# These have nothing to start with, or are no constant whatever their last layer is.
NEVER = ("se_var1", "simam", "ge", "nam", "ema", "lsk", "shuffle")
GATES = [name for name in ATTENTION if name not in NEVER]


def _trained(network: Network) -> Network:
    """With statistics and weights that are no start values."""
    draw = torch.Generator().manual_seed(1)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=draw) * 0.5 + 0.3)
    return network


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "theirs.pth"
    torch.save(_trained(build(tiny())).state_dict(), path)
    return path


def _started(config, file: Path, **changes) -> tuple[Network, list[str]]:
    recipe, start = starting(Recipe(weights=str(file), **changes), "resnet20_cifar")
    assert start is not None
    network = build(config)
    initialise(network, 0)
    return network, fill(network, start, recipe, ["a"] * config.num_classes)


@pytest.mark.parametrize("at", ["standard", "inner"])
@pytest.mark.parametrize("gate", GATES)
@torch.no_grad()
def test_an_added_gate_starts_as_the_identity(gate: str, at: str, file: Path) -> None:
    """In eval and in training mode; and it is not stuck there: it has a gradient."""
    plain = _trained(build(tiny()))
    gated, said = _started(tiny(attention=gate, attention_at=at), file)
    assert "3 of which start as the identity" in said[0]
    images = torch.randn(8, 3, 32, 32)
    for training in (False, True):
        torch.testing.assert_close(gated.train(training)(images), plain.train(training)(images))
    with torch.enable_grad():
        gated(images).logsumexp(1).sum().backward()
    moved = [n for n, p in gated.named_parameters() if ".attention." in n and p.grad.any()]
    assert moved


def test_an_added_gate_starts_as_the_identity_behind_parallel_branches() -> None:
    unit = ResidualInception(
        [ConvNormAct(8, 4, norm=nn.BatchNorm2d, act=nn.ReLU)],
        ConvNormAct(4, 8, norm=nn.BatchNorm2d, act=None),
        act=nn.ReLU,
        attention=SE(8),
    ).eval()
    x = torch.rand(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        without = unit.act(x + unit.expand(unit.mixed(x)))
        assert not torch.allclose(unit(x), without)
        assert start_as_identity(unit)
        torch.testing.assert_close(unit(x), without)


def test_a_gate_that_cannot_start_as_the_identity_says_so(file: Path) -> None:
    for gate, at in (*((name, "standard") for name in NEVER), ("se", "pre")):
        _, said = _started(tiny(attention=gate, attention_at=at), file)
        assert "0 of which start as the identity" in said[0]
    drawn, said = _started(tiny(attention="se"), file, gate_start="random")
    fresh = build(tiny(attention="se"))
    initialise(fresh, 0)
    name = "stages.1.0.attention.fc2.weight"
    assert torch.equal(drawn.state_dict()[name], fresh.state_dict()[name])


def test_what_is_new_and_what_must_fit(file: Path, tmp_path: Path) -> None:
    _, said = _started(tiny(), file)
    assert said == []
    other, said = _started(tiny(num_classes=3), file)
    assert said == ["a new classifier of 3 classes"]
    kept = _trained(build(tiny())).state_dict()
    state = other.state_dict()
    assert all(torch.equal(kept[name], state[name]) for name in kept if "head" not in name)
    _, said = _started(tiny(in_chans=1), file)  # the first convolution is made of the file's
    assert said == []
    gated = tmp_path / "gated.pth"
    torch.save(build(tiny(attention="se")).state_dict(), gated)
    assert _started(tiny(attention="se"), gated)[1] == []
    with pytest.raises(ValueError, match="attention"):
        _started(tiny(), gated)  # a gate is not thrown away
    with pytest.raises(ValueError, match="not those of this network"):
        _started(tiny(layers=(1, 2, 1)), file)


def test_names_of_weights() -> None:
    for text, name in (
        ("default", weights_info("resnet50").name), ("tv_in1k", "resnet50.tv_in1k"),
        ("resnet18.tv_in1k", "resnet18.tv_in1k"),
    ):  # fmt: skip
        recipe, start = starting(Recipe(weights=text), "resnet50")
        assert start is not None and recipe.weights == name
        assert recipe.mean == weights_info(recipe.weights).mean
    for text, model, message in (
        ("gone.pth", "resnet50", "no file or folder of weights 'gone.pth'"),
        ("tv9_in1k", "resnet50", "Did you mean .tv_in1k."),
        ("tv_in1k", "my network", "a tag alone needs a network"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            starting(Recipe(weights=text), model)


def test_preprocessing_is_the_weights() -> None:
    """Unless the recipe says otherwise; of Caffe's weights, too, whose images are BGR to 255."""
    recipe, _ = starting(Recipe(weights="resnet50.tv2_in1k"), "resnet50")
    known = weights_info("resnet50.tv2_in1k")
    assert (recipe.image_size, recipe.interpolation) == (known.size, known.interpolation)
    assert round(recipe.image_size / recipe.eval_crop) == known.resize
    recipe, _ = starting(
        Recipe(weights="resnet50.tv2_in1k", image_size=96, mean=(0, 0, 0), std=(1, 1, 1)),
        "resnet50",
    )
    assert recipe.image_size == 96 and recipe.mean == (0, 0, 0)
    assert recipe.eval_crop == known.size / known.resize


def test_layer_decay() -> None:
    network = build(tiny())
    plain = make_optimizer(network, Recipe())
    assert [group["lr_scale"] for group in plain.param_groups] == [1, 1]
    groups = make_optimizer(network, Recipe(layer_decay=0.5)).param_groups
    names = {id(p): name for name, p in network.named_parameters()}
    scale = {names[id(p)]: g["lr_scale"] for g in groups for p in g["params"]}
    assert len(scale) == len(names)
    assert scale["head.fc.weight"] == 1
    assert scale["stages.2.0.conv1.conv.weight"] == 0.5
    assert scale["stages.0.0.conv1.conv.weight"] == 0.125
    assert scale["stem.convs.0.conv.weight"] == 0.0625


def test_frozen_parts_stay(file: Path, tmp_path: Path) -> None:
    """Frozen stages and normalisation come out as they went in; the rest has learned."""
    recipe = short(weights=str(file), freeze_stages=1, frozen_norm=True, image_size=8, lr=0.01)
    train(tiny(), recipe, tmp_path / "run", label="resnet20_cifar", progress=False)
    before, after = build(tiny()), load(tmp_path / "run")
    _trained(before)
    old, new = before.state_dict(), after.state_dict()
    for name in new:
        same = torch.equal(old[name], new[name]) if old[name].shape == new[name].shape else False
        frozen = name.startswith("stages.0.") or ".norm." in name
        if not name.startswith(("stem", "head")):
            assert same == frozen, name
    for field in ({"freeze_stages": 1}, {"frozen_norm": True}):
        with pytest.raises(ValueError, match="drawn by chance: give weights"):
            Recipe(**field)


def test_identity_follows_the_content_of_the_weights(file: Path, tmp_path: Path) -> None:
    def what(path: Path) -> object:
        recipe, start = starting(short(weights=str(path), image_size=8), "resnet20_cifar")
        return identity("x", tiny(), recipe, load_data(recipe), 1.0, start)

    moved = tmp_path / "moved.pth"
    moved.write_bytes(file.read_bytes())
    assert what(moved) == what(file)
    torch.save(build(tiny()).state_dict(), moved)
    assert what(moved) != what(file)


def test_a_changed_file_of_weights_is_another_row(file: Path, tmp_path: Path) -> None:
    """Under one path, in folders that know nothing of each other; and no copy is a row."""
    from resnet_variants.comparison import Report, Trial

    recipe = short(weights=str(file), image_size=8, epochs=1, warmup_epochs=0, lr=1e-3)
    for name in ("before", "after"):
        train(tiny(), recipe, tmp_path / name, label="resnet20_cifar", progress=False)
        torch.save(build(tiny()).state_dict(), file)
    rows = Report.read([tmp_path / "before", tmp_path / "after"]).rows
    assert [len(row.runs) for row in rows] == [1, 1] and rows[0].name != rows[1].name
    result = rows[0].runs[0]
    earlier = {**result.to_dict(), "run": {"recipe": {"weights": result.start}}}
    del earlier["start"]
    assert Result.from_dict(earlier).start == result.start
    copy = tmp_path / "copy.pth"
    copy.write_bytes(file.read_bytes())
    with pytest.raises(ValueError, match="is compared with itself"):
        Trial(networks=["resnet20_cifar"], vary={"weights": [str(file), str(copy)]}, recipe=recipe)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pieces of two photographs that scikit-learn ships, a folder each, and nothing else."""
    return write_photographs(tmp_path_factory.mktemp("photographs"))


def test_from_a_file_of_torchvision_to_the_names_of_ones_own_classes(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """train, predict, export and a second training by command, with nothing else said."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), "resnet18.pth")
    command = ["train", "resnet18", "--weights", "resnet18.pth", "--data", str(photographs)]
    assert main([*command, "--epochs", "4", "--image-size", "64", "--batch-size", "8",
                 "--out", "run"]) == 0  # fmt: skip
    capsys.readouterr()
    right = 0
    for name in ("temple", "dahlia"):
        assert main(["predict", "run", str(photographs / name / "3.jpg")]) == 0
        right += capsys.readouterr().out.splitlines()[1].endswith(name)
    assert right == 2
    assert main(["export", "run", "--to", "torch-export"]) == 0
    assert Path("run.pt2").exists()
    again = ["train", "resnet18", "--weights", "run", "--data", str(photographs), "--epochs", "2"]
    assert main([*again, "--image-size", "64", "--batch-size", "8", "--out", "second"]) == 0
    network = load("second")
    assert class_names(weights_of(network), 2) == ["dahlia", "temple"]


def test_a_run_predicts_what_it_was_tested_with(photographs: Path, tmp_path: Path) -> None:
    """The same numbers from the file as from the test: weights, size, crop, mean, deviation."""
    for changes in (
        {"crop": "resized", "eval_crop": 0.8, "interpolation": "bicubic"}, {"crop": "pad"},
    ):  # fmt: skip
        out = tmp_path / str(changes["crop"])
        recipe = Recipe(
            data=str(photographs), image_size=32, epochs=2, batch_size=8, lr=0.02, **changes
        )
        result = train(tiny(), recipe, out, progress=False)
        network = load(out).eval()
        transform = transforms_for(network)
        test = load_data(recipe).test
        images = torch.stack([transform(read_image(test.name(i))) for i in range(len(test))])
        with torch.no_grad():
            right = network(images).argmax(1) == torch.tensor(test.labels)
        assert 100 * right.float().mean().item() == pytest.approx(result.top1)
        known = weights_of(network)
        assert known is not None and known.top1 == result.top1
    gray = train(tiny(), short(), tmp_path / "digits", progress=False)
    assert gray.shape == (1, 8, 8)
    shape = transforms_for(load(tmp_path / "digits"))(Image.new("RGB", (40, 30))).shape
    assert shape == (1, 8, 8)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it is not that of a run"):
        load(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    with pytest.raises(ValueError, match="its run is not finished"):
        load(tmp_path)
    with pytest.raises(ValueError, match="exported as it is"):
        export(str(tmp_path), num_classes=3)


def test_published_gate_and_size_are_followed_in_a_trial(file: Path) -> None:
    """The recipe of each row is that of its weights before anything is trained."""
    from resnet_variants.comparison import Trial

    trial = Trial(
        networks=["resnet20_cifar"],
        vary={"attention": ["none", "eca"], "layer_decay": [1.0, 0.8]},
        recipe=Recipe(weights=str(file)),
    )
    assert [v.recipe.image_size for v in trial.variants()] == [32] * 4
    assert create_model("resnet20_cifar").config == model_config("resnet20_cifar")


def test_the_best_epoch_is_kept_by_what_was_asked(tmp_path: Path) -> None:
    for name, best in (("top1", max), ("test_loss", min)):
        out = tmp_path / name
        recipe = short(keep_best=name, epochs=3, val_images=32)
        result = train(tiny(), recipe, out, progress=False)
        line = best(result.history, key=lambda line: line[name])
        known = weights_of(load(out / "best.safetensors"))
        assert known is not None and known.top1 == line["top1"]
    plain = train(tiny(), short(epochs=3, val_images=32), tmp_path / "plain", progress=False)
    assert plain.top1 == result.top1 and not (tmp_path / "plain" / "best.safetensors").exists()
