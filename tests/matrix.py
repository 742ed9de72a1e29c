"""The matrix of all families against all abilities, docs/matrix.md, made by the tests.

A test marked ``ability("name")`` with a parameter ``family`` is a cell; ``record_property("note",
reason)`` gives the cell a reason. Written again by ``COMMAND``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_variants import list_families

COMMAND = 'python -m pytest -m "ability" --matrix docs/matrix.md'

INTRODUCTION = f"""# What every family can do

Each cell is a test, run on the family's smallest network (thinned to one or two units a stage):
✓ passed, ✗ failed, – not run. A number is a note below the table. Written by

    {COMMAND}
"""


class Matrix:
    """A plugin that collects the outcome of each (family, ability)."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.passed: dict[tuple[str, str], bool] = {}
        self.notes: dict[tuple[str, str], list[str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        # Properties come along when a worker of xdist sends a report to the controller.
        for item in items:
            mark, call = item.get_closest_marker("ability"), getattr(item, "callspec", None)
            if mark and call and "family" in call.params:
                item.user_properties.append(("cell", (call.params["family"], mark.args[0])))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        if "cell" not in properties or (report.when != "call" and report.passed):
            return
        cell = tuple(properties["cell"])
        self.passed[cell] = self.passed.get(cell, True) and report.passed
        if "note" in properties and properties["note"] not in self.notes.setdefault(cell, []):
            self.notes[cell].append(properties["note"])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.path is not None and not hasattr(session.config, "workerinput"):
            self.path.write_text(self.render())

    def render(self) -> str:
        """The table in Markdown, its notes numbered."""
        abilities = list(dict.fromkeys(ability for _, ability in self.passed))
        notes = sorted({text for texts in self.notes.values() for text in texts})
        rows = [["family", *abilities], ["---", *(":-:" for _ in abilities)]]
        for family in list_families():
            cells = [self._cell((family, ability), notes) for ability in abilities]
            rows.append([family, *cells])
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        legend = "\n".join(f"{i}. {text}" for i, text in enumerate(notes, 1))
        return f"{INTRODUCTION}\n{table}\n\n{legend}".rstrip() + "\n"

    def _cell(self, cell: tuple[str, str], notes: list[str]) -> str:
        if cell not in self.passed:
            return "–"
        numbers = [f"<sup>{notes.index(text) + 1}</sup>" for text in self.notes.get(cell, [])]
        return ("✓" if self.passed[cell] else "✗") + "".join(numbers)
