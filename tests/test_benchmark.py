"""The benchmark measures every way in turn and says how each compares. No time is asserted."""

import csv
import json
from pathlib import Path

import pytest

from resnet_variants.benchmark import benchmark, measure, peer_network


def test_rows() -> None:
    rows = measure("resnet20_cifar", 2, size=32, rounds=2, against=("timm",))
    assert [row.way for row in rows] == ["eager NCHW", "eager channels_last", "torch"]
    assert all(row.to_peer is None for row in rows)  # timm has no such network
    assert all(row.images_per_second > 0 and row.of_peak > 0 and row.of_floor > 0 for row in rows)
    assert all(row.intensity > 0 and 0 < row.roof <= 1 for row in rows)


def test_a_peer_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark(
        ("resnet18",), batch=(1,), size=32, rounds=2, against=("timm", "torchvision"), out=tmp_path
    )
    printed = capsys.readouterr().out
    records = json.loads((tmp_path / "benchmark.json").read_text())
    with (tmp_path / "benchmark.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(records) == 5
    assert "<svg" in (tmp_path / "roofline.svg").read_text()
    ways = {record["way"]: record for record in records}
    assert {"timm eager", "torchvision eager"} <= set(ways)
    assert 1.0 in (ways["timm eager"]["to_peer"], ways["torchvision eager"]["to_peer"])
    assert all(record["way"] in printed for record in records)


def test_peers() -> None:
    assert peer_network("torchvision", "ran56") is None
    assert peer_network("pytorchcv", "resnet50a") is not None
    with pytest.raises(ValueError, match="Did you mean 'timm'"):
        benchmark(("resnet18",), against=("tim",))
