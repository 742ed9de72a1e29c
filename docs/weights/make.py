"""Puts finished runs into the package: python docs/weights/make.py RUNS_FOLDER [--data FOLDER]

Each run's weights are rounded to float16, tested as they are then on all test images, written to
``resnet_variants/checkpoints/weights`` and entered in the catalogue; log and recipe come beside
this file, and the table of ``docs/weights.md`` is written anew.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
from pathlib import Path

import torch

import resnet_variants as rv
from resnet_variants.checkpoints.files import write_checkpoint
from resnet_variants.training import Recipe, load_data
from resnet_variants.training.augment import Normalise
from resnet_variants.training.evaluate import evaluate

HERE = Path(__file__).parent
PACKAGE = Path(rv.__file__).parent / "checkpoints"
TAG, DATASET = "jpeg_cifar10", "CIFAR-10 (JPEG)"
TABLE = "<!-- table -->\n"
TRAINED_IN = {"bf16": "bfloat16", "no": "float32"}


def rounded(run: Path, name: str) -> tuple[rv.Network, Path]:
    """The network with the run's weights in float16, and the file of them."""
    model = rv.create_model(name, checkpoint_path=run / "model.safetensors").eval()
    tensors = {
        key: tensor.half() if tensor.is_floating_point() else tensor
        for key, tensor in model.state_dict().items()
    }
    model.load_state_dict({key: tensor.float() for key, tensor in tensors.items()})
    part = PACKAGE / "weights" / f"{name}.safetensors"
    write_checkpoint(tensors, part)
    digits = hashlib.sha256(part.read_bytes()).hexdigest()[:8]
    for old in part.parent.glob(f"{name}-*.safetensors"):
        old.unlink()
    return model, part.rename(part.with_name(f"{name}-{digits}.safetensors"))


@torch.no_grad()
def tested(model: rv.Network, recipe: Recipe) -> dict[str, float]:
    """Accuracy on all test images, in float32."""
    data = load_data(recipe)
    normalise = Normalise(data.mean, data.std, torch.device("cpu"))
    loader = data.loader(data.test, 250)[0]
    batches = ((normalise(batch.images), batch.labels) for batch in loader)
    return evaluate(model, batches, data.num_classes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the images, train/ and test/")
    args = parser.parse_args()
    catalogue = PACKAGE / "catalogue.csv"
    with catalogue.open(newline="") as file:
        reader = csv.DictReader(file)
        columns, rows = list(reader.fieldnames or ()), list(reader)
    page = HERE.parent / "weights.md"
    before, rest = page.read_text().split(TABLE, 1)
    written, after = rest.split(TABLE, 1)
    lines = {line.split("`")[1]: line for line in written.splitlines(keepends=True)[2:]}
    for run in sorted(each for each in args.runs.iterdir() if (each / "result.json").exists()):
        name, result = run.name, json.loads((run / "result.json").read_text())
        said = result["recipe"]
        model, path = rounded(run, name)
        shown = {"mean": tuple(said["mean"]), "std": tuple(said["std"])}
        scores = tested(model, Recipe(data=str(args.data), **shown))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entry = dict(
            model=name, tag=TAG, url=f"package:weights/{path.name}", hash=f"sha256:{digest}",
            dialect="resnet_variants", license="apache-2.0", dataset=DATASET, classes=10, size=32,
            resize=32, interpolation="bilinear", mean=" ".join(map(str, said["mean"])),
            std=" ".join(map(str, said["std"])), channels="rgb", scale=1.0, changes="", key="",
            top1=scores["top1"], top5=scores["top5"], source="docs/weights.md",
        )  # fmt: skip
        rows = [each for each in rows if (each["model"], each["tag"]) != (name, TAG)]
        rows.append({column: str(entry[column]) for column in columns})
        shutil.copy(run / "log.csv", HERE / f"{name}.csv")
        params = sum(p.numel() for p in model.parameters())
        size = path.stat().st_size / 1e6
        lines[name] = (
            f"| `{name}` | {params:,} | {size:.2f} MB | {scores['top1']:.2f} | "
            f"{scores['top5']:.2f} | {result['top1']:.2f} | {TRAINED_IN[said['precision']]} | "
            f"[log](weights/{name}.csv) |\n"
        )
    hidden = ("data", "data_dir", "seed", "precision", "save_seconds")
    kept = {k: v for k, v in said.items() if k not in hidden}
    (HERE / "recipe.json").write_text(json.dumps(kept, indent=1) + "\n")
    with catalogue.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    head = (
        "| network | parameters | file | top-1 | top-5 | top-1 before rounding | trained in | |\n"
    )
    table = (
        head
        + "| --- | --: | --: | --: | --: | --: | --- | --- |\n"
        + "".join(line for _, line in sorted(lines.items()))
    )
    page.write_text(before + TABLE + table + TABLE + after)


if __name__ == "__main__":
    main()
