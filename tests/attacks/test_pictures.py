"""Image files that say they are huge are refused in one line, before their memory is asked for; one
that is a program is not run, no error is Pillow's own, and damaged EXIF data turn nothing."""

from __future__ import annotations

import io
import os
import struct
import weakref
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image, ImageOps
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import Dataset

from resnet_variants.photographs import read_image
from resnet_variants.training import Recipe, load_data

SIDE = 40_000


def _png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "png")
    header = b"IHDR" + struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    whole = file.getvalue()
    return whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]


def _jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "jpeg")
    whole = file.getvalue()
    size = whole.index(b"\xff\xc0") + 5
    return whole[:size] + struct.pack(">HH", SIDE, SIDE) + whole[size + 4 :]


@pytest.mark.parametrize("make", [_png, _jpeg])
def test_huge_images(make, tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.write_bytes(make())
    with pytest.raises(ValueError, match=r"huge is no image that can be read: Image size \(16000"):
        read_image(path)


def _exif(kind: int, count: int, value: bytes, order: str = "<") -> bytes:
    """EXIF data with an orientation of this type (3 is what it should be)."""
    entry = struct.pack(f"{order}HHHI", 1, 0x0112, kind, count)
    if len(value) > 4:
        entry, value = entry + struct.pack(f"{order}I", 26), b"\0" * 4 + value
    mark = b"II" if order == "<" else b"MM"
    return b"Exif\0\0" + mark + struct.pack(f"{order}HI", 42, 8) + entry + value.ljust(8, b"\0")


TURNED = {
    "little": _exif(3, 1, b"\6\0"),
    "big": _exif(3, 1, b"\0\6", ">"),
}
AS_STORED = {
    "text": _exif(2, 2, b"6\0"),
    "rational": _exif(5, 1, struct.pack("<II", 6, 1)),
    "negative rational": _exif(10, 1, struct.pack("<ii", -6, -1)),
    "undefined": _exif(7, 1, b"\6"),
    "float": _exif(11, 1, struct.pack("<f", 6)),
    "double": _exif(12, 1, struct.pack("<d", 6)),
    "none": _exif(3, 0, b""),
    "zero": _exif(3, 1, b"\0\0"),
    "nine": _exif(3, 1, b"\x09\0"),
    "most": _exif(3, 1, b"\xff\xff"),
    "no type": _exif(200, 1, b"\6\0"),
    "in the void": _exif(5, 1, b"\xff\xff\xff\x7f"),
    "cut": _exif(3, 1, b"\6\0")[:20],
    "empty": b"Exif\0\0",
    "noise": b"Exif\0\0" + bytes(range(64)),
}


@pytest.mark.parametrize("suffix", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("kind", [*TURNED, *AS_STORED])
@pytest.mark.filterwarnings("ignore:.*EXIF:UserWarning")
def test_orientation_of_a_wrong_type_turns_nothing(kind: str, suffix: str) -> None:
    file = io.BytesIO()
    exif = {**TURNED, **AS_STORED}[kind]
    Image.new("RGB", (6, 4)).save(file, suffix, exif=exif)
    assert read_image(file.getvalue()).shape == ((3, 6, 4) if kind in TURNED else (3, 4, 6))


@pytest.mark.parametrize("suffix", ["jpeg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_that_of_pillow(orientation: int, suffix: str) -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    blocks = np.kron(np.arange(0, 240, 10).reshape(4, 6), np.ones((8, 8))).astype(np.uint8)
    Image.fromarray(blocks).save(file, suffix, exif=exif)
    shown = np.array(ImageOps.exif_transpose(Image.open(file)))
    assert abs(read_image(file.getvalue())[0].int().numpy() - shown).max() <= 2


def test_no_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostScript is a picture for Pillow, which has Ghostscript run it."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    path = tmp_path / "picture.png"
    Image.new("RGB", (8, 8)).save(path, "EPS")
    with pytest.raises(ValueError, match="picture.png is no image that can be read"):
        read_image(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "error", [TypeError, KeyError, IndexError, EOFError, zlib.error, MemoryError]
)
def test_errors_of_decoders(error, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_, **__):
        raise error("inside")

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(ValueError, match=r"a\.png is no image that can be read: .*inside"):
        read_image(tmp_path / "a.png")


class _Photographs(Dataset[Any]):
    """Images of a large camera, made when they are asked for; ``most`` were there at once."""

    def __init__(self) -> None:
        self.there: list[weakref.ref[torch.Tensor]] = []
        self.most = 0

    def __len__(self) -> int:
        return 12

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        image = torch.arange(256, dtype=torch.uint8).add(row).repeat(3, 2000, 8)
        self.there = [each for each in self.there if each() is not None]
        self.there.append(weakref.ref(image.untyped_storage()))
        self.most = max(self.most, len(self.there))
        return image, row % 2


class _Largest(TorchDispatchMode):
    """Knows the bytes of the largest tensor that was computed."""

    bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.device.type == "cpu":
            self.bytes = max(self.bytes, out.nbytes)
        return out


def test_large_photographs_are_measured_in_parts() -> None:
    """The mean of what is stored needs a few times an image's own memory, not that of its float64
    or of all that are looked at."""
    source = _Photographs()
    recipe = Recipe(image_size=32, batch_size=2, workers=0, cache_mb=0)
    with _Largest() as largest:
        data = load_data(recipe, source, source)
    stored = source[0][0].nbytes
    assert largest.bytes <= 1.1 * max(stored, 3 * 8 * 2**20)
    assert source.most <= 3
    whole = torch.stack([source[row][0] for row in range(12)]).double().transpose(0, 1).flatten(1)
    for measured, wanted in ((data.mean, whole.mean(1)), (data.std, whole.std(1, correction=0))):
        assert np.allclose(measured, wanted / 255, rtol=1e-12)
