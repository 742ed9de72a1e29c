"""A deployed network is kept in one file, which is checked before it is believed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_variants import (
    Network,
    create_model,
    load,
    load_deployed,
    optimize_for_inference,
    save,
    weights_info,
)
from resnet_variants.checkpoints import LoadReport, read_checkpoint, write_checkpoint
from resnet_variants.checkpoints.errors import BrokenFileError, CheckpointError, UnsafeFileError
from resnet_variants.checkpoints.models import DEPLOYED
from resnet_variants.cli import main
from resnet_variants.deploy import Deployed
from resnet_variants.deploy.optimize import _candidates
from resnet_variants.export import export_model
from resnet_variants.training.example_photographs import write_photographs

from .families import slow_but, small
from .training_runs import environment


def _network() -> Network:
    """A small network that knows how images were prepared for it."""
    torch.manual_seed(0)
    model = create_model("resnet20_cifar", layers=(1, 1, 1)).eval()
    known = weights_info("resnet20_cifar")
    model.load_report = LoadReport("none", "none", "none", weights=known)
    return model


def _prepared(backend: str, precision: str) -> Deployed:
    images = torch.randn(8, 3, 32, 32)
    return optimize_for_inference(
        _network(), images, backend, precision=precision, calibration=images, rounds=1
    )


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> tuple[Deployed, Path]:
    """One network and its file, for the tests that change copies of it."""
    deployed = _prepared("onnxruntime", "float32")
    return deployed, deployed.save(tmp_path_factory.mktemp("onnx") / "network.safetensors")


WAYS = [
    ("openvino", "float32"),
    ("onnxruntime", "int8"),
    pytest.param("onnxruntime", "float32", marks=pytest.mark.slow),
    pytest.param("openvino", "int8", marks=pytest.mark.slow),
    pytest.param("aotinductor", "float32", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("backend", "precision"), WAYS)
def test_there_and_back(backend: str, precision: str, tmp_path: Path) -> None:
    """The same outputs, and all that a server needs to know; saved again, the same file."""
    path = tmp_path / "network.safetensors"
    deployed = _prepared(backend, precision)
    deployed.save(path)
    twin = load_deployed(path, allow_code=backend == "aotinductor")
    for shape in ((8, 3, 32, 32), (1, 3, 40, 37)):
        images = torch.randn(shape)
        assert torch.equal(twin(images), deployed(images))
    assert twin.report == deployed.report and twin.report.precision == precision
    assert twin.report.memory_mib and twin.report.weights_mib
    assert twin.class_names[0] == "airplane" and twin.config == deployed.config
    assert twin.transforms()(torch.zeros(3, 50, 60, dtype=torch.uint8)).shape == (3, 32, 32)
    twin.save(tmp_path / "again.safetensors")
    again, first = (
        read_checkpoint(each, key="") for each in (tmp_path / "again.safetensors", path)
    )
    assert again.metadata.keys() == first.metadata.keys()
    assert all(torch.equal(again.tensors[name], first.tensors[name]) for name in first.tensors)


WRONG = [
    (lambda x: x.numpy(), "not ndarray; torch.from_numpy"),
    (lambda x: list(x), "not list; torch.stack"),
    (lambda x: x[0], r"\(N, 3, H, W\), not \(3, 32, 32\)"),
    (lambda x: x[:, :2], "Expected 3 channels"),
    (lambda x: x[..., :3, :], "3x32 is too small.*at least 4"),
    (lambda x: x.byte(), "not torch.uint8: divide by 255"),
    (lambda x: x.double(), r"not torch.float64: images.float\(\)"),
    (lambda x: x.to("meta"), "images on cpu, not torch.strided on meta"),
    (lambda x: x.to_sparse(), "not torch.sparse_coo on cpu"),
]


def test_wrong_images_are_refused_by_every_back_end_alike(onnx: tuple[Deployed, Path]) -> None:
    """Some would answer, with the classes' numbers cut off to bytes, or for an image too small."""
    images = torch.randn(2, 3, 32, 32)
    for run in (_prepared("torch", "float32"), onnx[0], load_deployed(onnx[1])):
        for change, message in WRONG:
            with pytest.raises((TypeError, ValueError), match=message):
                run(change(images))


@slow_but()
def test_every_family(family: str, tmp_path: Path) -> None:
    """Without published weights, and with levels in the place of logits."""
    model = small(family, features_only=True, num_classes=0).eval()
    images = torch.randn(1, 3, 75, 75)
    path = tmp_path / "levels.safetensors"
    optimize_for_inference(model, images, "onnxruntime", rounds=1).save(path)
    twin = load_deployed(path)
    assert twin.class_names == [] and twin.weights is None
    with torch.inference_mode():
        for found, expected in zip(twin(images), model(images), strict=True):
            assert (found - expected).abs().max() <= 1e-3 * expected.abs().max()


def _changed(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> Path:
    """The file with another content, written as a file of this library is."""
    checkpoint = read_checkpoint(path, key="")
    about = json.loads(checkpoint.metadata[DEPLOYED])
    tensors = dict(checkpoint.tensors)
    change(about, tensors)
    return write_checkpoint(
        tensors, path.with_name("changed.safetensors"), metadata={DEPLOYED: json.dumps(about)}
    )


def test_damaged_and_foreign_files_are_refused(onnx: tuple[Deployed, Path], tmp_path: Path) -> None:
    _, path = onnx
    data = path.read_bytes()
    bad = tmp_path / "bad.safetensors"
    for changed, message in (
        (data[: len(data) // 2], "bad.safetensors is"),
        (data + b"\0", "bad.safetensors is"),
        (data[:-99] + bytes([data[-99] ^ 1]) + data[-98:], "a checksum is wrong"),
        (b"<html>" * 99, "is a web page"),
    ):
        bad.write_bytes(changed)
        with pytest.raises(BrokenFileError, match=message):
            load_deployed(bad)
    name = "network.onnx"
    for change, message in (
        (lambda about, _: about.update(version=9), "version 9 of this file"),
        (lambda about, _: about.pop("report"), "is broken"),
        (lambda about, _: about["report"].update(speedup="fast"), "speedup must be"),
        (lambda about, _: about["report"].update(more=1), "more"),
        (lambda about, _: about["config"].update(layers="many"), "layers must be"),
        (lambda about, _: about["sha256"].update({name: "0" * 64}), "a checksum is wrong"),
        (lambda about, tensors: _rename(about, tensors, name, "../network.onnx"), "is no name"),
        (lambda about, tensors: _rename(about, tensors, name, "other.onnx"), "by onnxruntime"),
    ):
        with pytest.raises(BrokenFileError, match=message):
            load_deployed(_changed(path, change))
    save(create_model("resnet20_cifar"), bad)
    with pytest.raises(CheckpointError, match=r"read by resnet_variants\.load"):
        load_deployed(bad)
    with pytest.raises(CheckpointError, match="load_deployed"):
        load(path)


def _rename(about: dict[str, Any], tensors: dict[str, Any], old: str, new: str) -> None:
    about["sha256"][new] = about["sha256"].pop(old)
    tensors[new] = tensors.pop(old)


def test_compiled_code_is_loaded_when_asked_for(onnx: tuple[Deployed, Path]) -> None:
    _, path = onnx
    code = _changed(path, lambda about, _: about["report"].update(backend="aotinductor"))
    with pytest.raises(UnsafeFileError, match="allow_code=True"):
        load_deployed(code)
    _changed(path, lambda about, _: _of_another_machine(about))
    with pytest.raises(CheckpointError, match="was compiled for"):
        load_deployed(code, allow_code=True)


def _of_another_machine(about: dict[str, Any]) -> None:
    about["report"]["backend"] = "aotinductor"
    about["machine"]["cpu"] = "another"


def test_what_cannot_be_saved(onnx: tuple[Deployed, Path], tmp_path: Path) -> None:
    model, images = _network(), torch.randn(2, 3, 32, 32)
    deployed = optimize_for_inference(model, images, "torch", rounds=1)
    with pytest.raises(ValueError, match="'onnxruntime' and 'openvino' can"):
        deployed.save(tmp_path / "network.safetensors")
    with pytest.raises(ValueError, match="'torch' cannot be saved"):
        optimize_for_inference(model, images, "torch", savable=True)
    with pytest.raises(ValueError, match="saved as .safetensors"):
        onnx[0].save(tmp_path / "network.onnx")
    assert ("torch", "float32") in _candidates("auto", "float32", "cpu", False, savable=False)
    for precision in ("float32", "bfloat16"):
        found = dict(_candidates("auto", precision, "cpu", False, savable=True))
        assert found and "torch" not in found


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``optimize`` calibrates on a folder of photographs, and ``predict`` takes what it wrote."""
    photographs, path = tmp_path / "photographs", tmp_path / "fast.safetensors"
    write_photographs(photographs)
    exact = str(save(_network(), tmp_path / "exact.safetensors"))
    command = ["optimize", exact, "--precision", "int8", "--backend", "onnxruntime"]
    command += ["--calibration", str(photographs), "--images", "8", "--rounds", "1"]
    assert main([*command, "--save", str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["precision"] == "int8" and report["file"] == str(path)
    shares = []
    for name in (exact, str(path)):
        assert main(["predict", name, str(photographs / "dahlia" / "3.jpg"), "--json"]) == 0
        (seen,) = json.loads(capsys.readouterr().out)
        shares.append({each["name"]: each["probability"] for each in seen["classes"]})
    assert shares[0]["automobile"] == pytest.approx(shares[1]["automobile"], rel=0.1)
    assert shares[0] != shares[1]
    assert main(["optimize", exact, "--save", "fast.onnx"]) == 2
    assert "saved as .safetensors" in capsys.readouterr().err
    assert main(["optimize", exact, "--calibration", str(tmp_path / "none")]) == 2
    assert "holds no image" in capsys.readouterr().err


DROPPED = """
import gc, os, signal, sys
from pathlib import Path
from resnet_variants.export import FORMATS
signal.signal(signal.SIGINT, lambda *_: print("answered"))
runs = [FORMATS["openvino"].load(Path(sys.argv[1])) for _ in range(2)]
while runs:
    del runs[0]
    gc.collect()
    os.kill(os.getpid(), signal.SIGINT)
"""


def test_signals_are_answered_once_networks_are_dropped(tmp_path: Path) -> None:
    """Each core of OpenVINO gives the thread another stack for signals, and takes it away."""
    path = tmp_path / "network.xml"
    export_model(_network(), path)
    command = [sys.executable, "-c", DROPPED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.returncode == 0 and done.stdout.split() == ["answered"] * 2, done
