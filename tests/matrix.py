"""The matrix of all families against all abilities, docs/matrix.md, made by the tests.

A test marked ``ability("name")`` with a parameter ``family`` is a cell; ``record_property("note",
reason)`` gives the cell a reason. ``COMMAND`` writes it again; a run of some tests alone writes
their cells and keeps the others, which docs/matrix.json remembers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from resnet_variants import list_families

COMMAND = 'python -m pytest -m "slow or not slow" -k family_ability --matrix=docs/matrix.md'

INTRODUCTION = f"""# What every family can do

Each cell is a test, run on the family's smallest network, thinned to one or two units a stage:
✓ passed, ✗ failed, – not run. A number is a note below the table. Files of eight formats, with
sizes, times and differences: [formats](formats.md). Written by

    {COMMAND}
"""

Cells = dict[str, dict[str, dict[str, Any]]]  # ability -> family -> {"passed", "notes"}


class Matrix:
    """A plugin that collects the outcome of each (family, ability)."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.cells: Cells = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        # Properties come along when a worker of xdist sends a report to the controller.
        for item in items:
            mark, call = item.get_closest_marker("ability"), getattr(item, "callspec", None)
            if mark and call and "family" in call.params:
                item.extra_keyword_matches.add("family_ability")
                item.user_properties.append(("cell", (mark.args[0], call.params["family"])))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        if "cell" not in properties or (report.when != "call" and report.passed):
            return
        ability, family = properties["cell"]
        fresh: dict[str, Any] = {"passed": True, "notes": []}
        cell = self.cells.setdefault(ability, {}).setdefault(family, fresh)
        cell["passed"] &= report.passed
        if "note" in properties and properties["note"] not in cell["notes"]:
            cell["notes"].append(properties["note"])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.path is None or hasattr(session.config, "workerinput"):
            return
        memory = self.path.with_suffix(".json")
        cells: Cells = json.loads(memory.read_text()) if memory.exists() else {}
        for ability, families in self.cells.items():
            cells[ability] = cells.get(ability, {}) | families
        memory.write_text(json.dumps(cells, indent=1, sort_keys=True) + "\n")
        self.path.write_text(render(cells))


def render(cells: Cells) -> str:
    """The table in Markdown, its notes numbered."""
    families, abilities = list_families(), sorted(cells)
    notes = sorted(
        {note for row in cells.values() for f in families if f in row for note in row[f]["notes"]}
    )
    rows = [["family", *abilities], ["---", *(":-:" for _ in abilities)]]
    for family in families:
        rows.append([family, *(_cell(cells[each].get(family), notes) for each in abilities)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    legend = "\n".join(f"{i}. {text}" for i, text in enumerate(notes, 1))
    return f"{INTRODUCTION}\n{table}\n\n{legend}".rstrip() + "\n"


def _cell(cell: dict[str, Any] | None, notes: list[str]) -> str:
    if cell is None:
        return "–"
    numbers = [f"<sup>{notes.index(text) + 1}</sup>" for text in cell["notes"]]
    return ("✓" if cell["passed"] else "✗") + "".join(numbers)
