"""Seeded recipes and faults in folders of runs: refused in words, or what it is without them."""

from __future__ import annotations

import pytest

from . import run_cases
from .fuzzing import SEEDS, check


def test_some_recipes() -> None:
    check(run_cases.recipe, seed=7, cases=300)


def test_some_folders() -> None:
    check(run_cases.folder_fault, seed=7, cases=15)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_many_recipes(seed: int) -> None:
    check(run_cases.recipe, seed, cases=1000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_many_folders(seed: int) -> None:
    check(run_cases.folder_fault, seed, cases=300)
