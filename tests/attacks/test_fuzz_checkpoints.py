"""Seeded checkpoints of all kinds: no wrong weights in silence, no foreign exception, no case
without end, no network that a refusal changed. ``pytest -s`` shows the tally."""

from __future__ import annotations

import pytest

from . import checkpoint_cases
from .fuzzing import SEEDS, check

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # of PyTorch, about tensors that are out of fashion


def test_some() -> None:
    check(checkpoint_cases.make, seed=7, cases=300)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_many(seed: int) -> None:
    check(checkpoint_cases.make, seed, cases=6000)
