"""Names and labels in what others read: shown as they are, and nothing else in HTML, CSV, LaTeX and
Markdown."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from resnet_variants.comparison import Report, save_report

from ..training_runs import made_up

LABELS = [
    "</script><script>alert(1)</script>", "<!--<script>", "{{data}}", "a|b", "[x](javascript:y)",
    "![x](http://127.0.0.1)", "https://127.0.0.1/x", "www.example.org", "someone@example.org",
    "**bold** _it_ `code`", "# head", "a\n\n```\n# head", "&lt;b&gt;", "~~x~~",
    "=1+1", "+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\u00a0=1", "\uff1d1", "a\"b,c;d",
    "\\input{x}", "$x^2_y$", "100 % & #1 ~ \\", "a\0b", "\x1b[2J", "\udcff.png", "😀", "\u202eb",
]  # fmt: skip


@pytest.mark.parametrize("label", LABELS, ids=ascii)
def test_label(label: str, tmp_path: Path) -> None:
    runs = [made_up(name, s, 90.0 + s) for name in ("plain", label) for s in range(2)]
    odd = {label: "cannot be read", "x": label}
    recipe = {**runs[0].recipe, "data": label}
    runs = [
        made_up(r.label, r.seed, r.top1, classes=["a", label], unreadable=odd, recipe=recipe)
        for r in runs
    ]
    save_report(Report.of(runs), tmp_path, pictures=False)
    names = "report.html", "report.csv", "report.md", "report.tex"
    # newline="": a carriage return is one here, as for other programs
    page, table, text, tex = (
        (tmp_path / n).open(encoding="utf-8", newline="").read() for n in names
    )

    data = re.search(r'type="application/json">(.*?)</script>', page, re.S)
    assert data and json.loads(data[1])["rows"][1]["name"] == label
    assert page.lower().count("<script") == 2 and "<!--" not in page

    shown = label.encode("utf-8", "replace").decode()
    cell = list(csv.reader(table.splitlines(keepends=True)))[2][0]
    assert cell.removeprefix("'") == shown.replace("\r", "\n")
    assert not re.match(r"\s*[=+\-@\uff1d\t\r\n]", cell)

    outside = re.sub(r"```yaml\n.*?^```\n", "", text, flags=re.S | re.M)
    outside = outside[: outside.index("![differences]")]
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", outside)  # without what is escaped
    assert not re.search(r"<|`|\*|~|://|www\.|\w@|!\[|\]\(", bare)
    assert len(re.findall(r"^# ", outside, re.M)) == 1
    lines = [line for line in bare.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1

    row = tex.splitlines()[6]
    plain = re.sub(
        r"\\text(backslash|asciicircum|asciitilde)\{\}|\$(\\pm|<|>)\$|\{[\[\]]\}", "", row
    )
    assert not re.search(r"(?<!\\)[%#$_^~]|\\[A-Za-z]", plain.replace(r"\textbf", ""))
