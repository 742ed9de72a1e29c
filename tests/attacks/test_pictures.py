"""Image files that say they are huge are refused in one line, before their memory is asked for; one
that is a program is not run, and no error is Pillow's own."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import pytest
from PIL import EpsImagePlugin, Image

from resnet_variants.photographs import read_image

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
