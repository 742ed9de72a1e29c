"""float16 and bfloat16 beside float64, and int8, on real photographs: docs/precision.md.

    python benchmarks/precision.py [FAMILY ...]       # every family's first network, 20 minutes
    python benchmarks/precision.py --data FOLDER [--files FILE ...]     # trained CIFAR networks

The first trains each family's first network on crops of photographs for some steps, so that its
outputs mean something, and writes the table of families. The second writes the table of weights:
those in the package, and files of the catalogue, over FOLDER/test/CLASS/*.jpg; int8 takes its
ranges from images of FOLDER/train. float16 is what a GPU is given, run on this machine's CPU.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import torch
import tyro
from quantization import crops, trained
from torch import Tensor
from torchvision.datasets import ImageFolder

sys.path.insert(0, str(Path(__file__).parents[1]))  # the bound that the tests check

from resnet_variants import create_model, list_families, list_models, list_weights
from resnet_variants.checkpoints import Weights
from resnet_variants.checkpoints.catalogue import weights_by_file
from resnet_variants.checkpoints.preprocessing import transforms_for
from resnet_variants.deploy import optimize_for_inference
from tests.precision import HALVES, agreement, bound, error, exact, layers, packed

PAGE = Path(__file__).parents[1] / "docs" / "precision.md"
BATCH = 500
CALIBRATION = 64

FAMILIES = ("family", "network", "layers", "right", *2 * ("{}", "of bound", "same class"))
WEIGHTS = ("weights", "float32", *3 * ("{}", "same class"))
HALF_NAMES = ("bfloat16", "float16")


def head(columns: tuple[str, ...], ways: tuple[str, ...], texts: int) -> str:
    """A table's first two lines: its first columns are texts."""
    names = iter(ways)
    cells = [next(names) if each == "{}" else each for each in columns]
    rule = ["---"] * texts + ["--:"] * (len(cells) - texts)
    return f"| {' | '.join(cells)} |\n| {' | '.join(rule)} |\n"


def write(part: str, table: str, row: str, order: list[str]) -> None:
    """Put a row into its table in the page, in the place of the row of the same first cell."""
    before, mark, rest = PAGE.read_text().partition(f"<!-- {part} -->\n")
    old, end, after = rest.partition("<!-- end -->\n")
    rows = {line.split(" | ")[0].strip("| `"): line for line in old.splitlines(True)[2:]}
    rows[row.split(" | ")[0].strip("| `")] = row
    kept = "".join(rows[name] for name in order if name in rows)
    PAGE.write_text(before + mark + table + kept + end + after)


def family_row(family: str, steps: int, size: int, count: int) -> str:
    """A line of the table of families."""
    name = list_models(family=family)[0]
    side = max(size, create_model(name, device="meta").min_export_size)
    model = trained(name, steps, side)
    images, labels = crops(count, side, seed=2000)
    with torch.inference_mode():
        expected = exact(model, images)
        number, right = layers(model), (expected.argmax(1) == labels).double().mean()
        line = f"| {family} | {name} | {number} | {right:.0%} "
        for dtype in HALVES:
            found = packed(model, images, dtype)(images)
            off = error(found, expected)
            share = off / bound(dtype, number)
            line += f"| {off:.1e} | {share:.2f} | {agreement(found, expected):.0%} "
    return line + "|\n"


def weights_row(weights: Weights, path: Path | None, data: Path) -> str:
    """A line of the table of weights: accuracies, and the share of images with the class that
    float32 gives."""
    model = (
        create_model(weights.model, pretrained=weights.tag)
        if path is None
        else create_model(weights.model, checkpoint_path=path)
    ).eval()
    test, train = (
        ImageFolder(str(data / part), transforms_for(model, weights)) for part in ("test", "train")
    )
    chosen = random.Random(0).sample(range(len(train)), CALIBRATION)
    calibration = torch.stack([train[i][0] for i in chosen])
    ways = {
        "float32": model,
        **{str(dtype): packed(model, calibration, dtype) for dtype in HALVES},
        "int8": optimize_for_inference(
            model, calibration[:1], "onnxruntime", precision="int8", calibration=calibration,
            rounds=1,
        ),
    }  # fmt: skip
    answers: dict[str, list[Tensor]] = {way: [] for way in ways}
    labels: list[Tensor] = []
    with torch.inference_mode():
        for images, classes in torch.utils.data.DataLoader(test, batch_size=BATCH):
            labels.append(classes)
            for way, run in ways.items():
                answers[way].append(run(images))
    truth = torch.cat(labels)
    found = {way: torch.cat(each) for way, each in answers.items()}
    line = f"| `{weights.name}` "
    for way, each in found.items():
        line += f"| {100 * (each.argmax(1) == truth).double().mean():.2f} "
        if way != "float32":
            line += f"| {100 * agreement(each, found['float32']):.2f} "
    return line + "|\n"


def main(
    families: tuple[str, ...] = (),
    /,
    *,
    data: Path | None = None,
    files: tuple[Path, ...] = (),
    steps: int = 30,
    size: int = 64,
    count: int = 48,
) -> None:
    """Measure, and write the table of families, or of weights.

    Args:
        families: of the zoo; all by default
        data: CIFAR-10 in folders, train/CLASS and test/CLASS: measures trained weights
        files: published checkpoints beside the weights of the package
        steps: of training a family's network, 16 crops each
        size: side of a crop in pixels, or the smallest that the network takes
        count: crops to compare on
    """
    torch.set_num_threads(1)
    if data is None:
        part, table, order = "families", head(FAMILIES, HALF_NAMES, 2), list_families()
        rows = (family_row(each, steps, size, count) for each in families or order)
    else:
        known = [(each, None) for each in list_weights() if each.packaged]
        known += [(weights_by_file(path.name), path) for path in files]
        part, table = "weights", head(WEIGHTS, (*HALF_NAMES, "int8"), 1)
        order = [weights.name for weights, _ in known]
        rows = (weights_row(weights, path, data) for weights, path in known)
    for row in rows:
        print(row, end="", flush=True)
        write(part, table, row, order)


if __name__ == "__main__":
    tyro.cli(main)
