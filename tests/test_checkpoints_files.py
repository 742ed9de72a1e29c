"""Reading files of weights: every format, every wrapper, everything that can be wrong."""

from __future__ import annotations

import argparse
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnet_variants.checkpoints import errors, read_checkpoint, write_checkpoint

TENSORS = {"a.weight": torch.arange(20000.0), "b.bias": torch.ones(3)}


def _pth(path: Path, content: Any = None, **options: Any) -> Path:
    torch.save(TENSORS if content is None else content, path, **options)
    return path


def _formats(folder: Path) -> dict[str, Path]:
    files = {f"{s}": _pth(folder / f"w{s}") for s in (".pth", ".pt", ".bin", ".pyth", ".pth.tar")}
    files["old"] = _pth(folder / "old.th", _use_new_zipfile_serialization=False)
    files["safetensors"] = write_checkpoint(TENSORS, folder / "w.safetensors")
    files["zipped"] = folder / "w.pth.zip"
    with zipfile.ZipFile(files["zipped"], "w") as archive:
        archive.write(files["old"], "w.pth")
    return files


def test_every_format(tmp_path: Path) -> None:
    for kind, path in _formats(tmp_path).items():
        found = read_checkpoint(path).tensors
        assert found.keys() == TENSORS.keys(), kind
        assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items()), kind


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state", "params", "net"])
def test_wrappers_and_what_stands_beside(tmp_path: Path, key: str) -> None:
    content = {
        key: TENSORS,
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
        "args": argparse.Namespace(lr=0.1),
        "best": np.float64(76.1),
        "epoch": 90,
    }
    found = read_checkpoint(_pth(tmp_path / "w.pth", content))
    assert found.tensors.keys() == TENSORS.keys()
    assert found.wrappers == (key,)


def test_several_sets_of_weights(tmp_path: Path) -> None:
    average = {name: tensor * 2 for name, tensor in TENSORS.items()}
    path = _pth(tmp_path / "w.pth", {"state_dict": TENSORS, "state_dict_ema": average})
    with pytest.raises(
        errors.CheckpointError, match=r"sets of weights: 'state_dict', 'state_dict_ema'.*key="
    ):
        read_checkpoint(path)
    assert read_checkpoint(path, key="state_dict").tensors["b.bias"][0] == 1
    assert read_checkpoint(path, key="state_dict_ema").tensors["b.bias"][0] == 2
    with pytest.raises(errors.CheckpointError, match=r"no weights under 'teacher'.*state_dict_ema"):
        read_checkpoint(path, key="teacher")


class Trap:
    """Runs a command where its pickle is read without care."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("zip_format", [True, False])
def test_code_is_never_run(tmp_path: Path, zip_format: bool) -> None:
    mark = tmp_path / "it ran"
    path = _pth(
        tmp_path / "w.pth",
        {**TENSORS, "x": Trap(mark)},
        _use_new_zipfile_serialization=zip_format,
    )
    with pytest.raises(errors.UnsafeFileError, match=r"calls \w+\.mkdir.*safetensors") as caught:
        read_checkpoint(path)
    assert not mark.exists()
    assert "state dict" in str(caught.value)


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    path = _pth(tmp_path / "w.pth", torch.nn.Linear(2, 2))
    with pytest.raises(errors.UnsafeFileError, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_checkpoint(path)


@pytest.mark.parametrize("kind", [".pth", "old", "safetensors", "zipped"])
@pytest.mark.parametrize("share", [0.0, 0.0002, 0.5, 0.98])
def test_cut_off(tmp_path: Path, kind: str, share: float) -> None:
    path = _formats(tmp_path)[kind]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(errors.BrokenFileError, match=r"cut off|empty|broken|starts with"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n<!DOCTYPE html><html>Sign in</html>", "a web page, not weights"),
        (b"<html><body>404</body></html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
        (b"caffemodel\x00\x01" * 9, "neither safetensors nor a PyTorch file"),
        (b"PK\x03\x04 and then nothing", "cut off"),
    ],
)
def test_no_checkpoint_at_all(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(errors.BrokenFileError, match=message):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds list, not named tensors"),
        (torch.ones(3), r"holds one tensor \(3,\)"),
        ({"epoch": 3}, r"no tensors, only \['epoch'\]"),
    ],
)
def test_no_weights_in_it(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(errors.BrokenFileError, match=message):
        read_checkpoint(_pth(tmp_path / "w.pth", content))


def test_archive_of_several_files(tmp_path: Path) -> None:
    path = tmp_path / "w.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "a")
        archive.writestr("b", "b")
    with pytest.raises(errors.BrokenFileError, match="archive of 2 files"):
        read_checkpoint(path)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    _pth(tmp_path / "there.pth")
    with pytest.raises(FileNotFoundError, match=r"no file .*gone\.pth.*there\.pth"):
        read_checkpoint(tmp_path / "gone.pth")
    with pytest.raises(IsADirectoryError, match=r"is a directory.*there\.pth"):
        read_checkpoint(tmp_path)


def test_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_checkpoint(TENSORS, tmp_path / "w.pth")
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint({"c": torch.zeros(1)}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w.pth"]


def test_writing_says_what_it_cannot(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'\.h5' names no format"):
        write_checkpoint(TENSORS, tmp_path / "w.h5")
    with pytest.raises(ValueError, match=r"only \.safetensors files carry metadata"):
        write_checkpoint(TENSORS, tmp_path / "w.pth", metadata={"a": 1})
    with pytest.raises(IsADirectoryError, match="is a directory"):
        write_checkpoint(TENSORS, tmp_path)
