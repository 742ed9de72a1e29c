"""The committed matrix is what its cells say, with a row for each family there is now."""

from __future__ import annotations

import json
from pathlib import Path

from .matrix import COMMAND, render

DOCS = Path(__file__).parents[1] / "docs"


def test_matrix_is_not_stale() -> None:
    cells = json.loads((DOCS / "matrix.json").read_text())
    assert (DOCS / "matrix.md").read_text() == render(cells), f"Write it again: {COMMAND}"
