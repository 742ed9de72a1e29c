"""Weights that are part of the package: there without a network, checked as downloads are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnet_variants import create_model, list_weights
from resnet_variants.checkpoints import Weights
from resnet_variants.checkpoints.download import fetch
from resnet_variants.checkpoints.errors import HashError
from resnet_variants.checkpoints.preprocessing import class_names

PACKAGED = [each for each in list_weights() if each.packaged]


@pytest.mark.parametrize("weights", PACKAGED, ids=lambda weights: weights.name)
def test_loads_offline(weights: Weights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RESNET_VARIANTS_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model = create_model(weights.model, pretrained=weights.tag).eval()
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}
    assert model.load_report.weights == weights
    assert class_names(weights, 10)[:2] == ["airplane", "automobile"]
    # What the image shows decides: without training one class or two are named for all.
    draw = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.randn(64, 3, 4, 4, generator=draw), size=32)
    assert len(model(smooth).argmax(1).unique()) >= 3
    assert not list(tmp_path.iterdir())


def test_the_files_are_those_of_the_catalogue() -> None:
    files = {each.packaged for each in PACKAGED}
    assert files == set(PACKAGED[0].packaged.parent.iterdir())
    assert all(path.stat().st_size < 2**20 for path in files)
    with pytest.raises(HashError, match="install it again"):
        fetch(replace(PACKAGED[0], hash="sha256:" + 64 * "0"))
