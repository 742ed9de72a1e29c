"""The table of versions in README.md: what the default tests gave, written by their own runs.

``make test TORCH=2.11`` writes the row of that release to docs/versions.json; ``python
docs/make.py README.md`` the table.
"""

from __future__ import annotations

import json
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pytest

FILE = Path(__file__).parent.parent / "docs" / "versions.json"


class Versions:
    """A plugin that counts what passed and failed, and enters it beside the versions."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.outcome: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if (report.when == "call" and not report.skipped) or report.failed:
            self.outcome[report.nodeid] = self.outcome.get(report.nodeid, True) and report.passed

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        config = session.config
        if self.path is None or hasattr(config, "workerinput"):
            return
        if config.args_source is not pytest.Config.ArgsSource.TESTPATHS or config.option.keyword:
            raise pytest.UsageError("--versions is for a run of all tests, not of some.")
        rows = json.loads(self.path.read_text()) if self.path.exists() else []
        python = ".".join(platform.python_version_tuple()[:2])
        mine = {"python": python, "torch": version("torch").partition("+")[0]}
        rows = [row for row in rows if {name: row[name] for name in mine} != mine]
        passed = sum(self.outcome.values())
        rows.append({
            **mine,
            "torchvision": version("torchvision").partition("+")[0],
            "passed": passed,
            "failed": len(self.outcome) - passed,
            "system": f"{platform.system()} {platform.machine()}",
            "date": date.today().isoformat(),
        })  # fmt: skip
        rows.sort(key=lambda row: [int(n) for n in f"{row['torch']}.{row['python']}".split(".")])
        self.path.write_text(json.dumps(rows, indent=1) + "\n")
