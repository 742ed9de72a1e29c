"""The report as one HTML page that needs nothing else: sort, filter, hover."""

from __future__ import annotations

import html as markup
import json
import re
from importlib.resources import files
from typing import Any

from .findings import findings
from .plots import curve
from .report import Report
from .tables import cells


def html(report: Report) -> str:
    """The page."""
    template = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    # "</" would end the script element and "<!--" hide its end, wherever they stand in a text
    data = json.dumps(_data(report), allow_nan=False).replace("<", "\\u003c")
    title = markup.escape(f"Comparison with {report.baseline}")
    parts = {"title": title, "data": data}  # in one pass: neither may hold the other's mark
    return re.sub(r"{{(title|data)}}", lambda mark: parts[mark[1]], template)


def _data(report: Report) -> dict[str, Any]:
    head, texts = cells(report)
    first = report.first_run
    rows = []
    for row, text in zip(report.rows, texts, strict=True):
        metrics = {name: [s.mean, s.sd] for name, s in row.metrics.items()}
        if "test_speed" in row.metrics:
            metrics["latency"] = [1000 / row.metrics["test_speed"].mean, None]
        rows.append(
            {
                "name": row.name,
                "cells": text,
                "metrics": metrics,
                "curve": curve(row),
                "runs": [[run.seed, run.top1] for run in row.runs],
            }
        )
    recipe = {k: v for k, v in first.recipe.items() if k != "seed"}
    facts = (
        f"{first.train_images:,} training and {first.test_images:,} test images of "
        f"{first.shape[1]}x{first.shape[2]}, {len(first.classes)} classes."
    )
    return {
        "findings": findings(report),
        "head": head,
        "rows": rows,
        "recipe": recipe,
        "facts": facts,
    }
