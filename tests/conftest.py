"""The option that lets the tests write docs/matrix.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from .matrix import Matrix


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--matrix", type=Path, help="write what each family can do to this file")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "ability(name): a column of docs/matrix.md")
    config.pluginmanager.register(Matrix(config.getoption("--matrix")), "matrix")
