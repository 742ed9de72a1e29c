"""Image files as a photograph viewer shows them."""

from __future__ import annotations

import io
import os
from pathlib import Path

import torch
from torch import Tensor

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")
_WHITE = (255, 255, 255, 255)


def read_image(source: str | os.PathLike[str] | bytes) -> Tensor:
    """The image in a file, or in a file's bytes: (3, H, W), red, green and blue from 0 to 255.

    Turned as its EXIF data say; gray becomes three equal channels, 16 bits the upper 8, CMYK and
    palettes their colours; what is transparent lies on white; of several frames the first.
    Raises FileNotFoundError, and ValueError that names what cannot be read, or is so large
    (Pillow's bound, 179 million pixels) that it is an attack on the memory.
    """
    from PIL import Image

    data = source if isinstance(source, bytes) else _bytes(Path(source))
    try:
        if data[:3] == b"\xff\xd8\xff":
            Image.open(io.BytesIO(data)).close()  # reads the size alone, and refuses a huge one
            return _jpeg(data)
        return _other(data)
    except Exception as error:  # Pillow's decoders raise of all kinds
        what = "The data" if isinstance(source, bytes) else os.fspath(source)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{what} is no image that can be read: {reason}") from error


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise FileNotFoundError(f"There is no image {path}.")
    return path.read_bytes()


def _jpeg(data: bytes) -> Tensor:
    """torchvision's decoder: the pixels of Pillow's in two thirds of the time."""
    try:
        from torchvision.io import ImageReadMode, decode_jpeg
    except ImportError:  # it is to leave torchvision some day
        return _other(data)
    buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    image: Tensor = decode_jpeg(buffer, mode=ImageReadMode.RGB, apply_exif_orientation=True)
    return image


def _other(data: bytes) -> Tensor:
    import numpy as np
    from PIL import Image, ImageOps

    Image.init()
    pictures = [each for each in Image.ID if each != "EPS"]  # which is a program, for another one
    image: Image.Image = Image.open(io.BytesIO(data), formats=pictures)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        values = np.asarray(image, dtype=np.float64)
        values = values / (256 if values.max() > 255 else 1)
        image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image)
    pixels = np.array(image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)
