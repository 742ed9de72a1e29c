"""Cases for the fuzzers of recipes and of the folders of runs."""

from __future__ import annotations

import dataclasses
import functools
import random
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

from resnet_variants.training import Recipe, Result, train
from resnet_variants.training.trainer import Trainer

from ..training_runs import equal, short, tiny, weights
from .fuzzing import Case

RECIPE = short(train_images=64, test_images=20, epochs=2, batch_size=32, save_steps=1, device="cpu")
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 10**9, 10**18, 0.5, 1.0, -0.5, 1e-3, 1e30, float("nan"),
    float("inf"), "", "no", "sgd", "cosine", "bilinear", "1e-3", "x" * 99, "\0", "é", (), (0.5,),
    (0.5, 0.4), ("jpeg:3",), ("jpeg:9",), [1, 2], {}, {"a": 1}, b"x", object(),
]  # fmt: skip
FIELDS = [each.name for each in dataclasses.fields(Recipe)]


def recipe(draw: random.Random) -> Case:
    """Some fields of a recipe with other values: refused with a reason, or written and read."""
    chosen = {name: draw.choice(VALUES) for name in draw.sample(FIELDS, draw.randint(1, 3))}
    if draw.random() < 0.1:
        chosen[draw.choice(FIELDS)[:-1] + "q"] = 1

    def unnamed(error: BaseException) -> str | None:
        return None if any(name.rstrip("qs") in str(error) for name in chosen) else f"{error}"

    def changed(made: Any) -> str | None:
        again = Recipe.from_dict(made.to_dict())
        return None if again == made and isinstance(made.identity(), dict) else "not as written"

    kind = f"recipe: {sorted(chosen)}"
    return Case(kind, lambda: RECIPE.replace(**chosen), (ValueError,), changed, unnamed)


def _half(folder: Path, made: Recipe) -> None:
    """A run that was interrupted after three steps."""
    step = Trainer._step

    def stop(self: Trainer, batches: Any) -> None:
        if self.step == 3:
            assert self.folder is not None
            self.folder.wait()
            raise KeyboardInterrupt
        step(self, batches)

    Trainer._step = stop  # type: ignore[method-assign]
    try:
        train(tiny(), made, folder, progress=False)
    except KeyboardInterrupt:
        pass
    finally:
        Trainer._step = step  # type: ignore[method-assign]


@functools.cache
def made() -> Path:
    """``half`` and ``whole`` of one run, and of another."""
    root = Path(tempfile.mkdtemp())
    for name, each in (("", RECIPE), ("other-", RECIPE.replace(lr=0.2))):
        _half(root / f"{name}half", each)
        train(tiny(), each, root / f"{name}whole", progress=False)
    return root


def _fault(draw: random.Random, folder: Path, other: Path) -> str:
    """Do something to a file of a run."""
    path = draw.choice(sorted(each for each in folder.iterdir() if each.name != ".lock"))
    data = bytearray(path.read_bytes())
    ways = ["flip", "cut", "empty", "delete", "foreign", "text", "part", "more"]
    how = draw.choice(ways if data else ways[2:])  # an earlier fault may have left nothing
    if how == "flip":
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif how == "cut":
        del data[draw.randrange(len(data)) :]
    elif how == "empty":
        data.clear()
    elif how == "foreign" and (other / path.name).exists():
        data = bytearray((other / path.name).read_bytes())
    elif how == "text":
        data = bytearray(draw.choice([b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 9999, b'{"a":1}']))
    elif how == "part":
        path = path.with_name(f".{path.name}.deadbeef.part")
    elif how == "more":
        data += bytes(draw.randrange(1, 99))
    path.unlink(missing_ok=True)
    if how != "delete":
        path.write_bytes(data)
    return f"{how} {path.name}"


def folder_fault(draw: random.Random) -> Case:
    """A run's folder with one or two faults: refused in words, or finished as without them."""
    root = made()
    stage = draw.choice(["half", "whole"])
    folder = Path(tempfile.mkdtemp()) / "run"
    shutil.copytree(root / stage, folder)
    done = [_fault(draw, folder, root / f"other-{stage}") for _ in range(draw.choice([1, 1, 2]))]

    def act() -> Result:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return train(tiny(), RECIPE, folder, progress=False)

    def other(_: Result) -> str | None:
        fine = equal(weights(folder), weights(root / "whole"))
        left = list(folder.glob(".*.part"))
        shutil.rmtree(folder.parent)
        return None if fine and not left else f"other weights, or left {left}"

    torch.set_num_threads(1)
    return Case(f"{stage}: {', '.join(done)}", act, (ValueError,), other)
