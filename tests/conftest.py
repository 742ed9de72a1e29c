"""Options: docs/matrix.md, docs/versions.json, a share of the tests. A photograph for commands."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .matrix import Matrix
from .versions import Versions


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--matrix", type=Path, help="write what each family can do to this file")
    parser.addoption("--versions", type=Path, help="enter the outcome of all tests in this file")
    parser.addoption("--shard", help="K/N: run the K-th of N shares of the tests")


def pytest_configure(config: pytest.Config) -> None:
    # Read when a GPU is first used, by whichever test: some ask for determinism later.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    config.addinivalue_line("markers", "ability(name): a column of docs/matrix.md")
    config.pluginmanager.register(Matrix(config.getoption("--matrix")), "matrix")
    config.pluginmanager.register(Versions(config.getoption("--versions")), "versions")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not (shard := config.getoption("--shard")):
        return
    k, n = map(int, shard.split("/"))
    mine = {item for item in items if zlib.crc32(item.nodeid.encode()) % n == k % n}
    config.hook.pytest_deselected(items=[item for item in items if item not in mine])
    items[:] = [item for item in items if item in mine]


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A picture of noise, 64x48."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    path = tmp_path / "photograph.png"
    Image.fromarray(pixels).save(path)
    return path
