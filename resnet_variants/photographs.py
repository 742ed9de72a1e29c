"""Image files as a photograph viewer shows them."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL import Image as Pictures

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")
_WHITE = (255, 255, 255, 255)
_ORIENTATION = 0x0112


def read_image(source: str | os.PathLike[str] | bytes) -> Tensor:
    """The image in a file, or in a file's bytes: (3, H, W), red, green and blue from 0 to 255.

    Turned as its EXIF data say; gray becomes three equal channels, 16 bits the upper 8, CMYK and
    palettes their colours; what is transparent lies on white; of several frames the first.
    Raises FileNotFoundError, and ValueError that names what cannot be read, or is so large
    (Pillow's bound, 179 million pixels) that it is an attack on the memory.
    """
    data = source if isinstance(source, bytes) else check_image(Path(source)).read_bytes()
    try:
        if data[:3] == b"\xff\xd8\xff":
            return _jpeg(data)
        return _other(data)
    except Exception as error:  # Pillow's decoders raise of all kinds
        what = "The data" if isinstance(source, bytes) else os.fspath(source)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "cannot identify" in reason:  # of Pillow, which shows the object that it reads
            reason = "it is empty" if not data else "it is of no kind that is known"
        raise ValueError(f"{what} is no image that can be read: {reason}") from error


def image_files(folder: str | os.PathLike[str]) -> tuple[list[str], list[str]]:
    """The image files in a folder and those below, links followed, sorted; and what is no image.

    What is hidden is among the others, and a link to a folder that it is in, which has no end.
    """
    top = os.fspath(folder)
    real = Path(os.path.realpath(top))
    above = {top: [*map(str, real.parents), str(real)]}
    found: list[str] = []
    others: list[str] = []
    walked = []
    for root, inside, names in os.walk(top, followlinks=True):
        within = above.pop(root)
        for each in inside.copy():
            path = os.path.join(root, each)
            linked = os.path.islink(path)
            target = os.path.realpath(path) if linked else os.path.join(within[-1], each)
            if each.startswith(".") or target in within:
                inside.remove(each)
                others.append(path)
            else:
                above[path] = [*within, target]
        walked.append((root, names))
    for root, names in sorted(walked):
        for name in sorted(names):
            good = name.lower().endswith(SUFFIXES) and not name.startswith(".")
            (found if good else others).append(os.path.join(root, name))
    return found, others


def check_image(path: Path) -> Path:
    """The path of a file. Raises FileNotFoundError where there is none."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no image {path}.")
    return path


def _jpeg(data: bytes) -> Tensor:
    """torchvision's decoder: the pixels of Pillow's in two thirds of the time."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as header:  # reads the size alone, and refuses a huge one
        orientation = _orientation(header)
    try:
        from torchvision.io import ImageReadMode, decode_jpeg
    except ImportError:  # it is to leave torchvision some day
        return _other(data)
    buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    return _turned(decode_jpeg(buffer, mode=ImageReadMode.RGB), orientation)


def _other(data: bytes) -> Tensor:
    import numpy as np
    from PIL import Image

    Image.init()
    pictures = [each for each in Image.ID if each != "EPS"]  # which is a program, for another one
    image: Image.Image = Image.open(io.BytesIO(data), formats=pictures)
    image.load()  # Pillow turns a TIFF when it does
    orientation = _orientation(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        values = np.array(image, dtype=np.float32)  # whole, as far as bytes can show
        if values.max() > 255:
            values /= 256
        image = Image.fromarray(values.clip(0, 255, out=values).astype(np.uint8))
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image)
    pixels = np.array(image.convert("RGB"))
    return _turned(torch.from_numpy(pixels).permute(2, 0, 1), orientation)


def _orientation(image: Pictures.Image) -> int:
    """How an image lies, as its EXIF data say: 1, upright, unless they do with a whole number from
    2 to 8."""
    try:
        said = image.getexif().get(_ORIENTATION)
    except Exception:  # damaged data turn nothing
        return 1
    return said if type(said) is int and said in range(2, 9) else 1


def _turned(image: Tensor, orientation: int) -> Tensor:
    """The image (3, H, W) upright."""
    if orientation >= 5:
        image = image.transpose(1, 2)
    mirrored = [
        dim for dim, those in ((1, (3, 4, 7, 8)), (2, (2, 3, 6, 7))) if orientation in those
    ]
    return image.flip(mirrored).contiguous() if orientation > 1 else image
