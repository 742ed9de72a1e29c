"""A folder of photographs to try training on: pieces of the two that scikit-learn ships.

``python -m resnet_variants.training.example_photographs FOLDER``
"""

from __future__ import annotations

import sys
from pathlib import Path

PIECES, SIDE = 20, 240


def write_photographs(folder: str | Path) -> Path:
    """``folder/temple/*.jpg`` and ``folder/dahlia/*.jpg``, 20 overlapping pieces of each."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    folder = Path(folder)
    for name, pixels in zip(("temple", "dahlia"), load_sample_images().images, strict=True):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(PIECES):
            left, top = (
                i * (pixels.shape[1] - SIDE) // PIECES,
                i * (pixels.shape[0] - SIDE) // PIECES,
            )
            piece = Image.fromarray(pixels[top : top + SIDE, left : left + SIDE])
            piece.save(folder / name / f"{i}.jpg")
    return folder


if __name__ == "__main__":
    where = write_photographs(sys.argv[1])
    print(f"{where}: {PIECES} pictures each of dahlia, temple")
