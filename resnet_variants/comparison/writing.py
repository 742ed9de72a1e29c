"""Writes every form of a report into a folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import BinaryIO

from ..storage import make_folder, write_atomically, write_json
from . import page, plots, tables
from .findings import findings
from .report import Report


def save_report(report: Report, out: str | Path, *, pictures: bool = True) -> list[Path]:
    """Write tables, page and pictures of a report into a folder and return the files."""
    folder = make_folder(Path(out))
    written = {
        "report.csv": tables.csv_table(report),
        "runs.csv": tables.csv_runs(report),
        "report.md": tables.markdown_report(report),
        "report.tex": tables.latex(report),
        "report.html": page.html(report),
    }
    for name, text in written.items():
        write_atomically(folder / name, partial(_encoded, text))
    write_json(folder / "report.json", {"findings": findings(report), **report.to_dict()})
    paths = [folder / name for name in (*written, "report.json")]
    return paths + (plots.save_plots(report, folder) if pictures else [])


def _encoded(text: str, file: BinaryIO) -> None:
    # Names of files and folders need not be text. What is none is a question mark, which means
    # nothing in any form.
    file.write(text.encode("utf-8", "replace"))
