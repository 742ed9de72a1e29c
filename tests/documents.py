"""Markdown, as tests read it: snippets, headings, links."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


class Snippet(NamedTuple):
    """A block of code and the heading above it."""

    section: str
    language: str
    text: str


def snippets(text: str) -> list[Snippet]:
    """The blocks of code of a document."""
    section, found = "top", []
    for heading, language, code in re.findall(
        r"^(?:#+ ([^\n]+)|```(\w*)\n(.*?)^```)$", text, re.MULTILINE | re.DOTALL
    ):
        if heading:
            section = heading
        else:
            found.append(Snippet(section, language, code))
    return found


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a document."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        again = sum(each == anchor or each.startswith(f"{anchor}-") for each in found)
        found.add(f"{anchor}-{again}" if anchor in found else anchor)
    return found


def broken_links(document: Path, text: str | None = None) -> list[str]:
    """The links that lead nowhere: to a file or a heading that does not exist; of a document, or
    of a ``text`` in its place."""
    text = document.read_text() if text is None else text
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    return broken


def run(command: str | list[str], cwd: Path) -> str:
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


def run_all(programs: Mapping[str, str], cwd: Path) -> None:
    """Run Python programs by name: in one process, which imports once, each in names of its own.
    Pictures are drawn, not shown."""
    script = cwd / "programs.py"
    script.write_text(f"""
import linecache, matplotlib
matplotlib.use("Agg")
for name, text in {programs!r}.items():
    linecache.cache[name] = len(text), None, text.splitlines(True), name  # for tracebacks, inspect
    exec(compile(text, name, "exec"), {{"__name__": name}})
""")
    run([sys.executable, str(script)], cwd)
