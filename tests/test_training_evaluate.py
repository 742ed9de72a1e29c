"""evaluate: any network on any images, with what it said of each."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from resnet_variants import create_model, load, save
from resnet_variants.cli import main
from resnet_variants.training import Recipe, train
from resnet_variants.training.example_photographs import write_photographs
from resnet_variants.training.testing import evaluate_network

from .training_runs import tiny


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photographs(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def run(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    recipe = Recipe(data=str(photographs), image_size=32, epochs=3, batch_size=8, lr=0.02,
                    corruptions=("contrast:5",))  # fmt: skip
    train(tiny(), recipe, out, progress=False)
    return out


def test_a_run_gets_what_its_own_test_gave(
    run: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By command; with a line an image that says the same."""
    own = json.loads((run / "result.json").read_text())
    command = ["evaluate", str(run), "--data", str(photographs), "--corruptions", "contrast:5"]
    assert main([*command, "--out", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["top1"], found["top5"]) == (own["top1"], own["top5"])
    assert found["loss"] == pytest.approx(own["test_loss"], abs=1e-5)
    assert found["corrupted"] == own["corrupted"]
    assert found["published"] == own["top1"]
    with open(tmp_path / "out" / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == own["test_images"] == found["images"]
    right = [row["class"] == row["predicted"] for row in rows]
    assert 100 * sum(right) / len(right) == pytest.approx(own["top1"])
    assert all(Path(row["image"]).parent.name == row["class"] for row in rows)


def test_parts_sizes_and_mirror_images(run: Path, photographs: Path) -> None:
    network = load(run)
    counts = {
        part: evaluate_network(network, str(photographs), part=part, progress=False).images
        for part in ("test", "train", "all")
    }
    assert counts == {"test": 8, "train": 32, "all": 40}
    images = torch.rand(2, 3, 32, 32)
    plain = evaluate_network(network, str(photographs), progress=False)
    mirrored = evaluate_network(network, str(photographs), flip=True, progress=False)
    assert plain.loss != mirrored.loss
    larger = evaluate_network(network, str(photographs), size=48, progress=False)
    assert larger.loss != plain.loss and larger.images == 8
    assert network(images).shape == (2, 2)


def test_classes_go_by_name_then_by_number(run: Path, photographs: Path, tmp_path: Path) -> None:
    """A folder of one of the classes alone is tested, whatever number that class has there."""
    (tmp_path / "temple").symlink_to(photographs / "temple")
    one = evaluate_network(load(run), str(tmp_path), part="all", progress=False)
    assert {row["class"] for row in one.predictions} == {"temple"}
    both = evaluate_network(load(run), str(photographs), part="all", progress=False)
    right = [r["predicted"] == "temple" for r in both.predictions if r["class"] == "temple"]
    assert one.top1 == pytest.approx(100 * sum(right) / len(right))
    with pytest.raises(ValueError, match="10 classes .* and the network 2"):
        evaluate_network(load(run), "digits", progress=False)


def test_unreadable_images_are_named(run: Path, photographs: Path, tmp_path: Path) -> None:
    folder = write_photographs(tmp_path / "copy")
    bad = folder / "dahlia" / "4.jpg"
    bad.write_bytes(bad.read_bytes()[:500])
    found = evaluate_network(load(run), str(folder), part="all", batch_size=7, progress=False)
    assert len(found.unreadable) == 1 and "4.jpg" in found.unreadable[0]
    assert found.images == 39
    assert all(Path(row["image"]).parent.name == row["class"] for row in found.predictions)


def test_what_cannot_be_tested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(create_model("resnet20_cifar"), tmp_path / "model.safetensors")
    assert main(["evaluate", str(path), "--data", "digits"]) == 2
    assert "how images were prepared" in capsys.readouterr().err
    assert main(["evaluate", "resnet20_cifra", "--data", "digits"]) == 2
    assert "Did you mean" in capsys.readouterr().err
