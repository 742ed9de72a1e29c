"""Parameters and multiply-accumulates are those of the published networks.

``data/models.csv`` says which implementation each count comes from. MACs are those of
convolutions and linear layers for one image, printed to four decimals of 10^9.
"""

import csv
from pathlib import Path

import pytest
import torch

from resnet_variants import create_model, model_info, profile
from resnet_variants.registry import resolve_name

with (Path(__file__).parent / "data" / "models.csv").open() as _file:
    ROWS = list(csv.DictReader(_file))


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_counts(row: dict[str, str]) -> None:
    counts = profile(row["name"], input_size=int(row["input"]))
    if row["params"]:
        assert counts.params == int(row["params"])
    if row["gmacs"]:
        assert counts.macs == pytest.approx(float(row["gmacs"]) * 1e9, rel=1e-3, abs=0.5e5)
    for alias in row["aliases"].split():
        assert resolve_name(alias) == row["name"]


def test_parts_add_up() -> None:
    counts = profile("seresnet50")
    parts = counts.stages.values()
    assert counts.params == sum(part.params for part in parts)
    assert counts.macs == sum(part.macs for part in parts)
    assert counts.activations == sum(part.activations for part in parts)
    assert counts.memory_access == sum(part.memory_access for part in parts)
    assert counts.flops == 2 * counts.macs
    assert list(counts.stages) == ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "head"]


def test_one_convolution_by_hand() -> None:
    layer = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    counts = profile(layer, input_size=10)
    assert counts.params == 3 * 8 * 9
    assert counts.macs == 3 * 8 * 9 * 100
    assert counts.activations == 8 * 100
    assert counts.memory_access == 4 * (3 * 100 + 8 * 100 + 3 * 8 * 9)


def test_a_built_network_is_counted_and_left_alone() -> None:
    model = create_model("resnet20_cifar")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert profile(model, input_size=32) == profile("resnet20_cifar", input_size=32)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_counts_follow_the_configuration() -> None:
    assert profile("resnet50", num_classes=10).params == 25557032 - 990 * 2049
    assert model_info("resnet18").params == 11689512
