"""Files of settings, a recipe or what a repository says of its network: refused in one short
message that names the file, whatever they hold."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from resnet_variants import create_model, save
from resnet_variants.checkpoints import write_checkpoint
from resnet_variants.checkpoints.models import describes_itself
from resnet_variants.training import Recipe

BOMB = "".join(f"- &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))
NEITHER = {
    "nothing": b"",
    "null": b"null",
    "a number": b"5",
    "a list": b"[1, 2]",
    "no text": b"\xff\xfe\x00lr",
    "nested": b"[" * 60_000,
    "unfinished": b'{"lr": [0.1',
}
RECIPES = NEITHER | {
    "a field twice": b"epochs: 1\nepochs: 2\n",
    "aliases of aliases": f"lr:\n- &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n{BOMB}".encode(),
    "an alias of itself": b"lr: &a [*a]",
    "names that are lists": b"? [1]\n: 2\n? [1]\n: 3\n",
    "an object": b"lr: !!python/object/apply:os.getcwd []",
    "zeros": bytes(100),
    "too much": b"lr: 0.1\n" + b"#" * 70_000,
}
REPOSITORIES = NEITHER | {
    "a field twice": b'{"architecture": "resnet18", "architecture": "resnet34"}',
    "many fields, the last twice": b"{"
    + b",".join(b'"%d": 0' % i for i in range(300_000))
    + b', "299999": 0}',
    "a name that is none": b'{"architecture": 5}',
    "arguments that are none": b'{"architecture": "resnet18", "model_args": [1]}',
}


def _short(caught: pytest.ExceptionInfo[ValueError], path: Path) -> None:
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("kind", RECIPES)
def test_recipes(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(RECIPES[kind])
    with pytest.raises(ValueError) as caught:
        Recipe.load(path)
    _short(caught, path)


POSIX = pytest.mark.skipif(sys.platform == "win32", reason="a device of POSIX systems")


@pytest.mark.parametrize("path", [pytest.param("/dev/zero", marks=POSIX), "folder"])
def test_recipes_without_an_end(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkdir("folder")
    with pytest.raises(ValueError, match=f"{path} is no file"):
        Recipe.load(path)


@pytest.mark.parametrize("kind", REPOSITORIES)
def test_repositories(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(REPOSITORIES[kind])
    save(create_model("resnet20_cifar"), tmp_path / "model.safetensors")
    with pytest.raises(ValueError) as caught:
        create_model(f"local-dir:{tmp_path}")
    _short(caught, path)


@pytest.mark.parametrize("name", ["resnet_variants.config", "resnet_variants.weights"])
@pytest.mark.parametrize("text", ["", "null", "5", "[1]", "{", "[" * 100_000])
def test_what_weights_say_of_themselves(name: str, text: str, tmp_path: Path) -> None:
    tensors = create_model("resnet20_cifar").state_dict()
    said = {"resnet_variants.config": '{"builder": "resnet"}', name: text}
    path = write_checkpoint(tensors, tmp_path / "model.safetensors", metadata=said)
    with pytest.raises(ValueError) as caught:
        describes_itself(path)
    _short(caught, path)
