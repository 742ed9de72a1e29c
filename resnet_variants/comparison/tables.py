"""The report as text: terminal, Markdown, CSV, LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

from ..text import table
from .report import Report, Row
from .statistics import Difference, Summary

Cell = Callable[[Summary], str]


def _percent(value: Summary) -> str:
    return f"{value.mean:.2f}" + ("" if value.sd is None else f" ± {value.sd:.2f}")


def _speed(value: Summary) -> str:
    return f"{value.mean:,.0f}" + ("" if value.sd is None else f" ± {value.sd:,.0f}")


def _count(value: Summary) -> str:
    return f"{value.mean:,.0f}"


def _millions(value: Summary) -> str:
    return f"{value.mean / 1e6:.3f}"


def _mebibytes(value: Summary) -> str:
    return f"{value.mean / 2**20:.2f}"


COLUMNS: dict[str, tuple[str, Cell]] = {
    "top1": ("top-1 %", _percent),
    "top5": ("top-5 %", _percent),
    "params": ("parameters", _count),
    "macs": ("MACs (M)", _millions),
    "memory_access": ("memory access (MiB)", _mebibytes),
    "train_memory": ("training memory (MiB)", _mebibytes),
    "train_speed": ("training images/s", _speed),
    "test_speed": ("inference images/s", _speed),
}


def shown_difference(difference: Difference | None, confidence: float) -> str:
    """``+0.30 [-0.12, +0.72]``."""
    if difference is None:
        return "-"
    if difference.low is None or difference.high is None:
        return f"{difference.mean:+.2f}"
    return f"{difference.mean:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]"


def _p(difference: Difference | None) -> str:
    if difference is None or difference.p_holm is None:
        return "-"
    return "<0.001" if difference.p_holm < 0.001 else f"{difference.p_holm:.3f}"


TERMINAL = ("top1", "top5", "params", "macs", "train_speed", "test_speed")
"""what fits into a terminal"""


def cells(
    report: Report, columns: Sequence[str] = tuple(COLUMNS)
) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table, as text."""
    rows = report.rows
    conditions = list(rows[0].conditions)
    corrupted = [n for n in rows[0].metrics if n.startswith("top1 ")]
    shown = {n: COLUMNS[n] for n in columns if any(n in row.metrics for row in rows)}
    shown |= {name: (f"top-1 % {name[5:]}", _percent) for name in corrupted}
    against = f"difference [{report.confidence:.0%} CI]"
    head = ["network", *conditions, "seeds", shown["top1"][0], against, "p (Holm)"]
    head += [title for name, (title, _) in shown.items() if name != "top1"]
    body = []
    for row in rows:
        line = [row.label, *(str(row.conditions[name]) for name in conditions)]
        line += [str(len(row.seeds)), _percent(row.metrics["top1"])]
        line += [shown_difference(row.difference, report.confidence), _p(row.difference)]
        line += [
            cell(row.metrics[name]) if name in row.metrics else "-"
            for name, (_, cell) in shown.items()
            if name != "top1"
        ]
        body.append(line)
    return head, body


def terminal(report: Report) -> str:
    """An aligned table."""
    return table(*cells(report, TERMINAL))


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown, numbers to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def markdown_report(report: Report) -> str:
    """Table, how to read it, plots and recipe."""
    first = report.rows[0].runs[0]
    seeds = sorted({len(row.seeds) for row in report.rows})
    parts = [
        f"# Comparison with {report.baseline}\n",
        markdown(*cells(report)),
        f"Mean ± sample standard deviation over {'-'.join(map(str, seeds))} seeds. The difference "
        "is paired: networks under one seed share data order, augmentation and the start values "
        f"of shared weights; its {report.confidence:.0%} confidence interval is Student's over "
        "the seeds of one training set and one test set, so it says nothing of other images. "
        "p (Holm) is the paired t test's, corrected for the number of networks.\n",
        f"{first.train_images:,} training and {first.test_images:,} test images of "
        f"{first.shape[1]}x{first.shape[2]}, {len(first.classes)} classes. MACs and memory access "
        "are of convolutions and linear layers, for one image. Speeds and memory were measured "
        "on the training machine during and after each run.\n",
    ]
    if report.diverged:
        parts.append(f"Diverged, their loss is no number: {', '.join(report.diverged)}.\n")
    if report.unreadable:
        parts.append(f"{len(report.unreadable)} images could not be read and were left out:\n")
        parts.append("".join(f"- {name}: {why}\n" for name, why in report.unreadable.items()))
    parts.append("![differences](differences.png)\n\n![curves](curves.png)\n")
    parts.append("![accuracy against cost](tradeoff.png)\n\n## Recipe\n")
    recipe = "".join(f"{k}: {v}\n" for k, v in first.recipe.items() if k != "seed")
    parts.append(f"```yaml\n{recipe}```\n")
    return "\n".join(parts)


def csv_table(report: Report) -> str:
    """A line a row, numbers unrounded."""
    names = list(dict.fromkeys(name for row in report.rows for name in row.metrics))
    fields = ("mean", "low", "high", "p", "p_holm")
    head = ["network", *report.rows[0].conditions, "seeds"]
    head += [f"{name} {part}" for name in names for part in ("mean", "sd")]
    head += [f"difference {part}" for part in fields]

    def line(row: Row) -> list[object]:
        values: list[object] = [row.label, *row.conditions.values(), len(row.seeds)]
        for name in names:
            summary = row.metrics.get(name)
            values += [summary and summary.mean, summary and summary.sd]
        return values + [row.difference and getattr(row.difference, part) for part in fields]

    return _csv([head, *map(line, report.rows)])


def csv_runs(report: Report) -> str:
    """A line a run."""
    names = ("top1", "top5", "test_loss", "params", "macs", "train_speed", "test_speed", "seconds")
    rows = [
        [row.label, *row.conditions.values(), run.seed, *(getattr(run, name) for name in names)]
        for row in report.rows
        for run in row.runs
    ]
    return _csv([["network", *report.rows[0].conditions, "seed", *names], *rows])


def _csv(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def latex(report: Report) -> str:
    """A table for ``booktabs``; the best mean is bold."""
    head, rows = cells(report)
    best = max(report.rows, key=lambda row: row.metrics["top1"].mean)
    column = head.index("top-1 %")
    lines = []
    for row, line in zip(report.rows, rows, strict=True):
        escaped = [_escaped(cell) for cell in line]
        if row is best:
            escaped[column] = rf"\textbf{{{escaped[column]}}}"
        lines.append(" & ".join(escaped) + r" \\")
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule",
            " & ".join(map(_escaped, head)) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _escaped(text: str) -> str:
    for sign in "&%_#$":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("±", r"$\pm$").replace("<", "$<$")
