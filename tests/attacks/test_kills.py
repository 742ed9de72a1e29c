"""Killed at 200 random moments, ten trainings end as the one that nobody killed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from resnet_variants.training import train

from ..test_training_resume import CODE, RECIPE
from ..training_runs import equal, kill, scores, start, tiny, weights


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hundred_kills(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    recipe = RECIPE.replace(epochs=20)
    recipe.save(tmp_path / "recipe.yaml")
    gate = tiny(attention="se")
    whole = train(gate, recipe, tmp_path / "whole", progress=False)
    draw, killed = random.Random(0), 0
    while killed < 200:
        folder = tmp_path / f"killed{killed}"
        for _ in range(20):
            process = start(CODE, tmp_path / "recipe.yaml", folder)
            killed += kill(process, draw.uniform(0, 0.1), until=folder / "checkpoint.pt")
            if (folder / "result.json").exists():
                break
        resumed = train(gate, recipe, folder, progress=False)
        assert scores(resumed) == scores(whole)
        assert equal(weights(folder), weights(tmp_path / "whole"))
        assert not list(folder.glob(".*.part"))
