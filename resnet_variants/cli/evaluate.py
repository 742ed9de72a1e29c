"""The command ``evaluate``."""

from __future__ import annotations

from json import dumps
from pathlib import Path

import tyro

from ..storage import check_place, make_folder, write_json
from ..training.corruptions import CORRUPTIONS
from ..training.testing import evaluate_network
from .weights import open_network


def evaluate(
    model: tyro.conf.Positional[str],
    *,
    data: str,
    data_dir: str | None = None,
    part: str = "test",
    checkpoint: Path | None = None,
    weights: str | None = None,
    size: int | None = None,
    resize: int | None = None,
    flip: bool = False,
    corruptions: tuple[str, ...] = (),
    images: int | None = None,
    batch_size: int = 64,
    workers: int | None = None,
    device: str = "cpu",
    out: Path = Path("evaluated"),
    json: bool = False,
) -> None:
    """Test a network, published or of one's own, on any images that train takes.

    Args:
        model: a model's name, the folder of a run, or a file that resnet_variants.save wrote
        data: a data set or folder, as for train
        data_dir: where torchvision's data sets lie
        part: test, train or all; of a folder CLASS/* alone the test is a fifth of each class
        checkpoint: weights of the model; published ones by default
        weights: tag of the published weights; with CHECKPOINT: whose preprocessing to use
        size: side of the image that the network sees; the weights' own by default
        resize: shorter side before the centre crop; the weights' own, or as much larger than SIZE
        flip: take the mean over an image and its mirror image
        corruptions: test on corrupted images, too: gaussian_noise:3 is severity 3 of 5; all
        images: only so many, as many of each class
        batch_size: images at a time
        workers: loader processes
        device: where to run
        out: folder for predictions.csv, a line an image, and evaluation.json
        json: print JSON instead
    """
    check_place(out)
    network, known = open_network(model, checkpoint=checkpoint, weights=weights, device=device)
    chosen = tuple(CORRUPTIONS) if corruptions == ("all",) else corruptions
    found = evaluate_network(
        network, data, known, part=part, size=size, resize=resize, flip=flip, corruptions=chosen,
        batch_size=batch_size, data_dir=data_dir, test_images=images, workers=workers,
    )  # fmt: skip
    make_folder(out)
    path = found.save_predictions(out / "predictions.csv")
    write_json(out / "evaluation.json", {"model": model, "data": data, **found.to_dict()})
    if json:
        print(dumps(found.to_dict(), indent=2))
        return
    print(f"{found.images} images of {data}")
    published = ""
    if found.published is not None:
        whose = "published" if known is not None and known.url else "its own test"
        published = f"  ({whose}: {found.published:.2f})"
    print(f"  top-1  {found.top1:6.2f} %{published}")
    if found.top5 is not None:
        print(f"  top-5  {found.top5:6.2f} %")
    for name, top1 in found.corrupted.items():
        print(f"  top-1  {top1:6.2f} %  {name}")
    for each in found.unreadable:
        print(f"  left out: {each}")
    print(f"wrote {path}")
