"""The notebooks run, are shown as they ran, and their links lead somewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .documents import ROOT, broken_links, run_all

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def _cells(notebook: Path, kind: str) -> list[dict[str, Any]]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == kind]


def test_all_run(tmp_path: Path) -> None:
    programs = {
        path.name: "\n".join("".join(cell["source"]) for cell in _cells(path, "code"))
        for path in NOTEBOOKS
    }
    assert len(programs) == 3
    run_all(programs, tmp_path)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_shown_as_it_ran(notebook: Path, tmp_path: Path) -> None:
    """From top to bottom, without an error; small enough to look at."""
    code = _cells(notebook, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert outputs and all(output["output_type"] != "error" for output in outputs)
    assert all(output.get("name") != "stderr" for output in outputs)
    assert notebook.stat().st_size < 200_000


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_links(notebook: Path) -> None:
    text = "\n".join("".join(cell["source"]) for cell in _cells(notebook, "markdown"))
    assert broken_links(notebook, text) == []
