"""Files that ``save`` wrote and somebody changed: ``load`` refuses them by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from resnet_variants.checkpoints import CheckpointError, load, save

from .making import CONFIG, header, network

SAID = CONFIG.to_dict()
CONFIGURATIONS = {
    "no JSON": "{",
    "empty": "",
    "a list": "[]",
    "a number": "3",
    "nothing in it": "{}",
    "deep": "[" * 100_000,
    "not a number": "NaN",
    "an unknown builder": json.dumps({**SAID, "builder": "x"}),
    "a builder that is no name": json.dumps({**SAID, "builder": [1]}),
    "an unknown field": json.dumps({**SAID, "more": 1}),
    "text for numbers": json.dumps({**SAID, "layers": "many"}),
    "other layers": json.dumps({**SAID, "layers": [1, 1, 2]}),
    "features alone": json.dumps({**SAID, "features_only": True}),
    "other widths": json.dumps({**SAID, "widths": [8, 8, 16]}),
}
WEIGHTS = ["{", "[]", "{}", '{"model": 3}', "[" * 100_000]


def _changed(folder: Path, name: str, value: str) -> Path:
    path = save(network(), folder / "own.safetensors")

    def edit(said: dict[str, Any]) -> None:
        said["__metadata__"][f"resnet_variants.{name}"] = value

    path.write_bytes(header(path.read_bytes(), edit))
    return path


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_configuration(tmp_path: Path, kind: str) -> None:
    with pytest.raises(CheckpointError, match=r"own\.safetensors"):
        load(_changed(tmp_path, "config", CONFIGURATIONS[kind]))


@pytest.mark.parametrize("text", WEIGHTS, ids=lambda text: text[:9])
def test_entry_of_the_catalogue(tmp_path: Path, text: str) -> None:
    with pytest.raises(CheckpointError, match=r"own\.safetensors has no resnet_variants\.weights"):
        load(_changed(tmp_path, "weights", text))
