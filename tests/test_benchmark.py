"""The benchmark measures every way in turn and says how each compares. No time is asserted."""

import csv
import json
from pathlib import Path

import pytest
import torch

from resnet_variants import create_model
from resnet_variants.benchmark import measure, peer_network
from resnet_variants.benchmark.measure import measure_fresh
from resnet_variants.benchmark.timing import timed
from resnet_variants.benchmark.ways import peers_in, ways_in
from resnet_variants.cli.benchmark import benchmark


def test_rows() -> None:
    rows = measure("resnet20_cifar", 2, size=32, rounds=2, against=("timm",))
    assert [row.way for row in rows] == ["eager", "channels_last", "torch"]
    assert all(row.to_peer is None for row in rows)  # timm has no such network
    assert all(row.images_per_second > 0 and row.of_peak and row.of_floor for row in rows)
    assert all(row.intensity > 0 and row.roof and 0 < row.roof <= 1 for row in rows)
    assert all(row.difference is not None and row.difference < 1e-4 for row in rows)


def test_differences_are_from_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not from a GPU's TF32, which cuDNN takes unless it is told."""
    seen: list[str] = []
    model = create_model("resnet20_cifar", layers=(1, 1, 1)).eval()
    model.register_forward_pre_hook(
        lambda *_: seen.append(torch.backends.cudnn.conv.fp32_precision)
    )
    monkeypatch.setitem(measure.__globals__, "create_model", lambda _: model)
    measure("resnet20_cifar", 1, 32, 1, ways=("eager",))
    assert seen[0] == "ieee"


@pytest.mark.slow
def test_precisions_beside_peers_eager_and_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the compiler, which takes minutes."""
    monkeypatch.setattr(torch, "compile", lambda net, **_: net)
    ways = ("torch", "bfloat16-torch", *ways_in("int8", "cpu")[:1])
    assert ways[2] == "int8-onnxruntime" and "bfloat16-torch" in ways_in("bfloat16", "cpu")
    against = ("torchvision", *peers_in("bfloat16", ("torchvision",), "cpu"))
    rows = {row.way: row for row in measure("resnet18", 1, 32, 1, against, ways)}
    half = "torchvision+channels_last+bfloat16"
    assert set(rows) == {*ways, "torchvision", half, f"{half}+inductor"}
    for row in rows.values():
        assert row.of_peak and row.to_peer and row.to_compiled
    lower = {way: row.precision for way, row in rows.items() if row.precision != "float32"}
    assert lower == {
        "bfloat16-torch": "bfloat16", half: "bfloat16", f"{half}+inductor": "bfloat16",
        "int8-onnxruntime": "int8",
    }  # fmt: skip
    assert all(1e-4 < (rows[way].difference or 0) < 0.3 for way in lower)


def test_peers_with_our_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark(
        ("resnet18",),
        batch=(1, 2),
        size=(32,),
        rounds=2,
        against=("timm", "torchvision"),
        out=tmp_path,
    )
    printed = capsys.readouterr().out
    records = json.loads((tmp_path / "benchmark.json").read_text())
    with (tmp_path / "benchmark.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(records) == 10
    lines = (tmp_path / "ratios.md").read_text().splitlines()
    assert lines[0] == "| model | batch | size | over | ms | eager | channels_last | torch |"
    assert [line.split(" | ")[:3] for line in lines[2:]] == [
        ["| resnet18", "1", "32"], ["| resnet18", "2", "32"]
    ]  # fmt: skip
    for plot in ("roofline.svg", "scaling.svg"):
        assert "<svg" in (tmp_path / plot).read_text()
    ways = {record["way"]: record for record in records}
    assert list(ways) == ["eager", "channels_last", "torch", "timm", "torchvision"]
    assert 1.0 in (ways["timm"]["to_peer"], ways["torchvision"]["to_peer"])
    assert all(record["difference"] < 1e-4 for record in records)
    assert all(record["way"] in printed for record in records)


def test_training_step() -> None:
    rows = measure(
        "resnet20_cifar",
        2,
        size=32,
        rounds=1,
        ways=("eager", "channels_last", "channels_last+bfloat16", "checkpointing"),
        train=True,
    )
    assert len(rows) == 4
    assert all(row.mode == "training" and row.of_floor is None and row.busy_ms > 0 for row in rows)


def test_fresh_processes() -> None:
    ways = ("eager", "torch+keep")
    rows = measure_fresh("resnet20_cifar", 2, size=32, rounds=2, ways=ways, processes=1)
    assert [row.way for row in rows] == list(ways)
    assert all(row.peak_mib and row.peak_mib > 10 and row.of_floor is None for row in rows)


def test_another_runtime() -> None:
    (row,) = measure("resnet20_cifar", 2, size=32, rounds=1, ways=("onnxruntime",))
    assert row.difference is not None and row.difference < 1e-4


def test_peers() -> None:
    assert peer_network("torchvision", "ran56") is None
    assert peer_network("pytorchcv", "resnet50a") is not None


def test_refused() -> None:
    with pytest.raises(ValueError, match="Did you mean 'timm'"):
        benchmark(("resnet18",), against=("tim",))
    with pytest.raises(ValueError, match="Did you mean 'openvino'"):
        benchmark(("resnet18",), ways=("openvin",))
    with pytest.raises(ValueError, match="Did you mean 'bfloat16'"):
        benchmark(("resnet18",), ways=("channels_last+bfloat",), train=True)
    with pytest.raises(ValueError, match="'tpux' is none that torch knows"):
        benchmark(("resnet18",), device="tpux")
    with pytest.raises(ValueError, match="device='xla' is not on this machine. Here: cpu"):
        benchmark(("resnet18",), device="xla")
    with pytest.raises(ValueError, match="the nearest is precision='bfloat16'"):
        benchmark(("resnet18",), precision=("float16",))
    with pytest.raises(ValueError, match="Did you mean 'inductor'"):
        benchmark(("resnet18",), against=("timm+inducto",))
    with pytest.raises(ValueError, match="--fresh"):
        benchmark(("resnet18",), ways=("torch+keep",))


def test_the_device_that_is_named_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the current one, which has nothing to do then: what is timed would be the launches."""
    happened: list[object] = []
    monkeypatch.setattr(torch.accelerator, "synchronize", happened.append)
    timed(lambda: happened.append("run"), "cuda:1")
    assert happened == ["cuda:1", "run", "cuda:1"]
