"""Places that cannot be written: said before anything is computed, by the name that was given."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from resnet_variants import create_model
from resnet_variants.checkpoints import write_checkpoint
from resnet_variants.cli import main
from resnet_variants.export import FORMATS, export_model
from resnet_variants.network import Network
from resnet_variants.quantize import quantize
from resnet_variants.storage import write_json

MODEL = "ssaresnet20_cifar"


@pytest.fixture
def inside_a_file(tmp_path: Path) -> Path:
    """No folder, for no user: root may write anywhere else."""
    (tmp_path / "file").write_text("no folder")
    return tmp_path / "file"


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", MODEL, "--data", "digits", "--out", "{}/out"],
        ["explain", MODEL, "{photograph}", "--out", "{}/out"],
        ["benchmark", MODEL, "--out", "{}/out"],
        ["optimize", MODEL, "--save", "{}/network.safetensors"],
        ["train", MODEL, "--preset", "demo", "--out", "{}/out"],
        ["compare", MODEL, "--preset", "demo", "--out", "{}/out"],
        *(["export", MODEL, "--output", f"{{}}/network{FORMATS[to].suffix}"] for to in FORMATS),
    ],
    ids=" ".join,
)
def test_commands(
    command: list[str],
    inside_a_file: Path,
    photograph: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    forward = Network.forward

    def computed(network: Network, images: Tensor) -> Tensor | list[Tensor]:
        assert images.is_meta, "the place was to be looked at first"  # sizes may be
        return forward(network, images)

    monkeypatch.setattr(Network, "forward", computed)
    arguments = [each.format(inside_a_file, photograph=photograph) for each in command]
    assert main(arguments) == 2
    assert str(inside_a_file) in capsys.readouterr().err
    assert inside_a_file.read_text() == "no folder"


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_int8(suffix: str, inside_a_file: Path) -> None:
    model, images = create_model(MODEL), torch.zeros(1, 3, 32, 32)
    with pytest.raises(ValueError, match="cannot be written"):
        quantize(model, images, inside_a_file / f"network{suffix}")


@pytest.mark.parametrize("name", ["network.safetensors", "network.pth", "network.json"])
def test_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without permission, which root would have."""

    def refused(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    tensors = create_model(MODEL).state_dict()
    path = tmp_path / name
    path.write_text("before")
    monkeypatch.setattr(Path, "touch", refused)
    with pytest.raises(PermissionError) as caught:
        write_json(path, {}) if name.endswith(".json") else write_checkpoint(tensors, path)
    assert caught.value.filename == str(path)
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert path.read_text() == "before"


@pytest.mark.parametrize("to", list(FORMATS))
def test_an_export_leaves_other_files_alone(to: str, tmp_path: Path) -> None:
    suffixes = {FORMATS[each].suffix for each in FORMATS} | {".onnx.data", ".bin"}
    others = {tmp_path / f"network{suffix}" for suffix in suffixes}
    for path in others:
        path.write_text("mine")
    target = tmp_path / f"network{FORMATS[to].suffix}"
    export_model(create_model(MODEL), target, to=to, dynamic=False, size=(1, 32, 32))
    written = {target, target.with_suffix(".bin")} if to == "openvino" else {target}
    assert set(tmp_path.iterdir()) == others
    assert {path for path in others if path.read_bytes() != b"mine"} == written
