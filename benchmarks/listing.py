"""A folder of many images: seconds until the first batch, and how much a loader process grows.

    python benchmarks/listing.py [--images 1300000] [--folder FOLDER]

The entries are hard links to one small photograph, 1,000 to 1,300 a class, so they cost nothing but
their names. Growth is of the private memory (USS) of a loader process, from its first batch to
its last.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import tyro
from PIL import Image
from tqdm import tqdm

from resnet_variants.training import Recipe, load_data


def entries(root: Path, count: int) -> None:
    """``count`` names of one image in 1,000 classes, and 2,000 to test on."""
    data = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(data, "jpeg")
    for part, many in (("train", count), ("val", 2000)):
        for c in tqdm(range(1000), desc=part, leave=False):
            folder = root / part / f"n{c:08d}"
            folder.mkdir(parents=True)
            first = folder / f"n{c:08d}_0.JPEG"
            first.write_bytes(data.getvalue())
            for i in range(1, many // 1000):
                os.link(first, folder / f"n{c:08d}_{i}.JPEG")


def private_memory(pid: int) -> float:
    """Megabytes that a process shares with no other."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def main(images: int = 1_300_000, folder: Path | None = None, batches: int = 600) -> None:
    """Print the measurement as JSON."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        root = Path(made)
        entries(root, images)
        recipe = Recipe(
            data=str(root), image_size=16, batch_size=256, workers=1, cache_mb=0,
            mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), crop="none",
        )  # fmt: skip
        started, used = time.perf_counter(), time.process_time()
        data = load_data(recipe)
        listed = time.perf_counter() - started
        digests = data.digests
        digested = time.perf_counter() - started
        loader, _ = data.loader(data.train, recipe.batch_size, seed=0)
        turn = iter(loader)
        next(turn)
        ready, processor = time.perf_counter() - started, time.process_time() - used
        (worker,) = turn._workers  # type: ignore[attr-defined]
        memory = [private_memory(worker.pid)]
        for _ in tqdm(range(batches), leave=False):
            next(turn)
        memory.append(private_memory(worker.pid))
        print(
            json.dumps(
                {
                    "images": len(data.train),
                    "seconds": {
                        "listed": round(listed, 1),
                        "and digested": round(digested, 1),
                        "and the first batch": round(ready, 1),
                        "processor": round(processor, 1),
                    },
                    "images read": batches * recipe.batch_size,
                    "MB of a loader process": [round(each) for each in memory],
                    "digest": digests["train"][:8],
                },
                indent=1,
            )
        )


if __name__ == "__main__":
    tyro.cli(main)
