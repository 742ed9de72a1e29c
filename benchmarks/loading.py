"""Batches of 500x375 photographs for ImageNet training, beside torchvision's reference loader.

    python benchmarks/loading.py [--images 128] [--rounds 9] [--data FOLDER]

Both give random resized crops of 224 pixels, half of them mirrored, a batch at a time, in this
process: images/s of one core. The reference (references/classification, its default PIL back end)
also makes floats and normalises, which this library does on the device for a whole batch; the
second row counts that, too, done here on the CPU. Rounds alternate; times are of the processor,
so that other work on the machine falls on nobody; ratios are of neighbouring rounds, the median.
Without --data the photographs are made of the two that scikit-learn ships.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torchvision
import tyro
from PIL import Image
from torchvision import transforms
from tqdm import tqdm

from resnet_variants.training import PRESETS, load_data
from resnet_variants.training.augment import Normalise

BATCH = 32


def photographs(root: Path, count: int) -> Path:
    """Two folders of pieces of photographs, 500x375, JPEG of some 50 KB as ImageNet's."""
    from sklearn.datasets import load_sample_images

    draw = np.random.default_rng(0)
    for part, many in (("train", count), ("val", 2 * BATCH)):
        for name, pixels in zip("ab", load_sample_images().images, strict=True):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(many // 2):
                left, top = (int(draw.integers(0, most)) for most in (140, 52))
                piece = Image.fromarray(pixels[top : top + 375, left : left + 500])
                piece.save(folder / f"{i}.jpg", quality=86)
    return root


def reference(root: Path) -> Callable[[], object]:
    """A pass over the images by torchvision's reference training loader."""
    steps = transforms.Compose(
        [
            transforms.RandomResizedCrop(224, antialias=True),
            transforms.RandomHorizontalFlip(0.5),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    images = torchvision.datasets.ImageFolder(str(root / "train"), steps)
    loader = torch.utils.data.DataLoader(images, BATCH, shuffle=True)
    return lambda: [None for _ in loader]


def main(images: int = 128, rounds: int = 9, data: Path | None = None) -> None:
    """Print the measurement as JSON."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        root = data or photographs(Path(made), images)
        files = sorted((root / "train").rglob("*.jpg"))
        recipe = PRESETS["imagenet"].replace(
            data=str(root), batch_size=BATCH, workers=0, cache_mb=0
        )
        ours = load_data(recipe)
        loader, sampler = ours.loader(ours.train, BATCH, seed=0)
        normalise = Normalise(ours.mean, ours.std, torch.device("cpu"))

        def plain() -> None:
            sampler.epoch += 1
            for _ in loader:
                pass

        def normalised() -> None:
            sampler.epoch += 1
            for batch in loader:
                normalise(batch.images)

        passes = {"reference": reference(root), "ours": plain, "ours, normalised": normalised}
        seconds: dict[str, list[float]] = {name: [] for name in passes}
        for turn in tqdm(range(rounds + 1), leave=False):
            for name, run in passes.items():
                started = time.process_time()
                run()
                if turn:  # the first warms up
                    seconds[name].append((time.process_time() - started) / len(files))
        print(
            json.dumps(
                {
                    "images": len(files),
                    "bytes": round(median(file.stat().st_size for file in files)),
                    "versions": {
                        "torch": torch.__version__,
                        "torchvision": torchvision.__version__,
                    },
                    "images/s": {name: round(1 / median(each)) for name, each in seconds.items()},
                    "times the reference": {
                        name: round(
                            median(r / o for r, o in zip(seconds["reference"], each, strict=True)),
                            2,
                        )
                        for name, each in seconds.items()
                    },
                },
                indent=1,
            )
        )


if __name__ == "__main__":
    tyro.cli(main)
