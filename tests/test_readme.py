"""README.md says what is true: its snippets run, its commands answer as shown."""

import re
import shlex
from itertools import groupby
from pathlib import Path

import pytest

from resnet_variants.cli import main

from .documents import ROOT, run, run_all, snippets

README = (ROOT / "README.md").read_text()

SNIPPETS = snippets(README)
PYTHON = {
    section: "\n".join(each.text for each in group)
    for section, group in groupby(
        (each for each in SNIPPETS if each.language == "python"), key=lambda each: each.section
    )
}
CONSOLE = [each.text for each in SNIPPETS if each.language == "console"]


def test_python_snippets(tmp_path: Path) -> None:
    """A section's snippets build on each other, and run from any folder."""
    run_all(PYTHON, tmp_path)


@pytest.mark.parametrize("text", CONSOLE, ids=[text.split("\n")[0][2:] for text in CONSOLE])
def test_console_snippets(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After ``$ `` a command, then its output, of which ``...`` leaves lines out. Ours run here,
    where torch is imported already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *expected = part.replace("\\\n", " ").rstrip().split("\n")
        program, *arguments = shlex.split(command)
        if program == "resnet-variants":
            assert main(arguments) == 0, command
            shown = capsys.readouterr().out.split("\n")
        else:
            shown = run(command, tmp_path).split("\n")
        for line in expected:
            assert line == "..." or line.rstrip() in shown, f"{command} printed no {line!r}"


def test_every_snippet_is_run_or_is_set_up() -> None:
    """What is neither Python nor console sets up, and names targets that the Makefile has."""
    makefile = (ROOT / "Makefile").read_text()
    for each in SNIPPETS:
        assert each.language in ("python", "console", "bash"), each
        for target in re.findall(r"^make (\w+)", each.text, re.MULTILINE):
            assert re.search(rf"^{target}( \w+)*:", makefile, re.MULTILINE), target
