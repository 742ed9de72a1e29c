"""Image files that say they are huge are refused in one line, before their memory is asked for."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

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
