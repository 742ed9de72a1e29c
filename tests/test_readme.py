"""README.md says what is true: its snippets run, its commands answer as shown."""

import os
import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


class Snippet(NamedTuple):
    section: str
    language: str
    text: str


def _snippets(text: str) -> list[Snippet]:
    section, found = "top", []
    for heading, language, code in re.findall(
        r"^(?:#+ ([^\n]+)|```(\w*)\n(.*?)^```)$", text, re.MULTILINE | re.DOTALL
    ):
        if heading:
            section = heading
        else:
            found.append(Snippet(section, language, code))
    return found


SNIPPETS = _snippets(README)
PYTHON = {
    section: "\n".join(each.text for each in group)
    for section, group in groupby(
        (each for each in SNIPPETS if each.language == "python"), key=lambda each: each.section
    )
}
CONSOLE = [each.text for each in SNIPPETS if each.language == "console"]


def _run(command: str | list[str], cwd: Path) -> str:
    """Run with this environment's programs first on the PATH; its output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        shell=isinstance(command, str),
        cwd=cwd,
        env=os.environ | {"PATH": path, "COLUMNS": "120"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("section", PYTHON)
def test_python_snippets(section: str, tmp_path: Path) -> None:
    """A section's snippets build on each other, and run from any folder."""
    script = tmp_path / "section.py"
    script.write_text(PYTHON[section])
    _run([sys.executable, str(script)], tmp_path)


@pytest.mark.parametrize("text", CONSOLE, ids=[text.split("\n")[0][2:] for text in CONSOLE])
def test_console_snippets(text: str, tmp_path: Path) -> None:
    """After ``$ `` a command, then its output, of which ``...`` leaves lines out."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *expected = part.replace("\\\n", " ").rstrip().split("\n")
        shown = _run(command, tmp_path).split("\n")
        for line in expected:
            assert line == "..." or line.rstrip() in shown, f"{command} printed no {line!r}"


def test_every_snippet_is_run_or_is_set_up() -> None:
    """What is neither Python nor console sets up, and names targets that the Makefile has."""
    makefile = (ROOT / "Makefile").read_text()
    for each in SNIPPETS:
        assert each.language in ("python", "console", "bash"), each
        for target in re.findall(r"^make (\w+)", each.text, re.MULTILINE):
            assert re.search(rf"^{target}( \w+)*:", makefile, re.MULTILINE), target


def test_links_point_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
