"""Accuracy of any network on any images: published weights, a run, a file."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..checkpoints.catalogue import Weights
from ..checkpoints.preprocessing import class_names, transforms_for
from ..choices import check_choice
from ..network import Network
from ..storage import write_atomically
from .augment import Corruption
from .data import Data, load_data
from .evaluate import evaluate
from .images import IGNORED, Images
from .recipe import Recipe

PARTS = ("test", "train", "all")


@dataclass(frozen=True)
class Evaluation:
    """What a network got on images, in percent, and what it said of each of them."""

    top1: float
    top5: float | None
    """None with five classes or fewer"""
    loss: float | None
    images: int
    corrupted: dict[str, float]
    """top-1 on corrupted images"""
    published: float | None
    """top-1 as published for the weights, or as the run's own test found it"""
    unreadable: list[str]
    predictions: list[dict[str, Any]] = field(repr=False)
    """a line an image: its file, the class that it is of, the five most probable classes, and the
    probability of the first"""

    def to_dict(self) -> dict[str, Any]:
        """The numbers, as JSON values."""
        values = dataclasses.asdict(self)
        del values["predictions"]
        return values

    def save_predictions(self, path: str | Path) -> Path:
        """Write a CSV with a line an image."""

        def write(file: Any) -> None:
            import io

            text = io.TextIOWrapper(file, newline="", encoding="utf-8")
            rows = csv.DictWriter(text, list(self.predictions[0]), lineterminator="\n")
            rows.writeheader()
            rows.writerows(self.predictions)
            text.flush()
            text.detach()

        write_atomically(Path(path), write)
        return Path(path)


def evaluate_network(
    network: Network,
    data: str,
    known: Weights | None = None,
    *,
    part: str = "test",
    size: int | None = None,
    resize: int | None = None,
    flip: bool = False,
    corruptions: Sequence[str] = (),
    batch_size: int = 64,
    progress: bool = True,
    **recipe: Any,
) -> Evaluation:
    """Test a network on images that ``train`` takes, prepared as for its weights.

    ``known`` is the catalogue's entry whose preprocessing is taken, by default that of the
    network's own weights; ``size`` and ``resize`` (the shorter side before the centre crop) change
    it. With ``flip`` the logits are the mean over an image and its mirror image. Fields of the
    recipe that say where images are and which (``data_dir``, ``test_images``, …) may follow.

    Classes are matched by name where all names of the images' classes are among the network's, else
    by number. Raises ValueError where neither is possible.
    """
    check_choice("part", part, PARTS)
    known = known or getattr(getattr(network, "load_report", None), "weights", None)
    if known is not None and size is not None:
        resize = resize or max(size, round(known.resize * size / known.size))
    if known is not None:
        known = replace(known, size=size or known.size, resize=resize or known.resize)
        if known.resize < known.size:
            raise ValueError(f"resize={known.resize} is less than size={known.size}.")
    steps = transforms_for(network, known).transforms
    assert known is not None  # else it was refused
    usual = Recipe(
        data=data, image_size=known.size, batch_size=1, crop="none", mean=(0.0,), std=(1.0,),
        corruptions=tuple(corruptions), **recipe,
    )  # fmt: skip
    found = load_data(usual)
    place = _classes(found.classes, class_names(known, network.num_classes))
    parts = [found.train] * (part != "test") + [found.test] * (part != "train")
    for images in parts:
        images.shift_flip = None
    tester = _Tester(network, found, place, batch_size, flip)
    scores = tester.run(parts, steps, progress, keep=True)
    corrupted = {
        name: tester.run(parts, _corrupting(steps, name), progress)["top1"]
        for name in usual.corruptions
    }
    return Evaluation(
        top1=scores["top1"],
        top5=scores["top5"],
        loss=scores["test_loss"],
        images=len(tester.predictions),
        corrupted=corrupted,
        published=known.top1,
        unreadable=tester.unreadable,
        predictions=tester.predictions,
    )


def _classes(theirs: Sequence[str], ours: Sequence[str]) -> list[int]:
    """The number that the network gives each class of the images."""
    numbers = {name.lower(): i for i, name in enumerate(ours)}
    if all(name.lower() in numbers for name in theirs):
        return [numbers[name.lower()] for name in theirs]
    if len(theirs) == len(ours):
        return list(range(len(ours)))
    raise ValueError(
        f"The images have {len(theirs)} classes ({', '.join(theirs[:3])}, …) and the network "
        f"{len(ours)} ({', '.join(ours[:3])}, …): neither the names nor their number agree."
    )


def _corrupting(steps: Sequence[nn.Module], name: str) -> list[nn.Module]:
    """The steps, with an image corrupted when it has its size and is of bytes still."""
    from torchvision.transforms import v2

    cut = next(i for i, step in enumerate(steps) if isinstance(step, v2.ToDtype))
    return [*steps[:cut], Corruption(name), *steps[cut:]]


class _Tester:
    """A network, images, and what was said of them so far."""

    def __init__(
        self, network: Network, data: Data, place: list[int], batch_size: int, flip: bool
    ) -> None:
        self.network, self.data, self.batch_size, self.flip = network, data, batch_size, flip
        self.place = torch.tensor(place)
        self.names = {number: data.classes[i] for i, number in enumerate(place)}
        self.device = next(network.parameters()).device
        self.predictions: list[dict[str, Any]] = []
        self.unreadable: list[str] = []
        self._files: list[str] = []
        """of the batch that is tested now"""

    def run(
        self,
        parts: Sequence[Images],
        steps: Sequence[nn.Module],
        progress: bool,
        keep: bool = False,
    ) -> dict[str, Any]:
        """Scores of the images after ``steps``."""
        from torchvision.transforms import v2

        prepared = [part.with_transform(v2.Compose(list(steps))) for part in parts]

        def seen(logits: Tensor, labels: Tensor) -> None:
            if not keep:
                return
            best = logits.softmax(1).topk(min(5, logits.shape[1]))
            rows = zip(best.values.tolist(), best.indices.tolist(), labels.tolist(), strict=True)
            for file, (shares, numbers, label) in zip(self._files, rows, strict=False):
                if label != IGNORED:
                    self.predictions.append(
                        {
                            "image": file,
                            "class": self._name(label),
                            "predicted": self._name(numbers[0]),
                            "probability": round(shares[0], 6),
                            "top5": " | ".join(map(self._name, numbers)),
                        }
                    )

        model = _Mirrored(self.network) if self.flip else self.network
        return evaluate(model, self._batches(prepared, progress), self.network.num_classes, seen)

    def _name(self, number: int) -> str:
        return self.names.get(number, str(number))

    def _batches(self, parts: Sequence[Images], progress: bool) -> Iterator[tuple[Tensor, Tensor]]:
        count = sum(map(len, parts))
        with tqdm(total=count, unit="image", leave=False, disable=not progress) as bar:
            for part in parts:
                files = map(part.name, range(len(part)))
                for batch in self.data.loader(part, min(self.batch_size, len(part)))[0]:
                    self.unreadable += batch.unreadable
                    labels = batch.labels
                    kept = labels != IGNORED
                    labels = torch.where(kept, self.place[labels.clamp(min=0)], IGNORED)
                    self._files = [*islice(files, len(labels))]
                    yield batch.images.to(self.device), labels.to(self.device)
                    bar.update(int(kept.sum()))


class _Mirrored(nn.Module):
    """The mean of what a network says of images and of their mirror images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        both: Tensor = self.network(images) + self.network(images.flip(3))
        return both / 2
