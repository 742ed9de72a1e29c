"""The report as text: terminal, Markdown, CSV, LaTeX."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Callable, Sequence

from ..text import table
from .findings import COSTS, findings
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
    "val_top1": ("validation top-1 %", _percent),
    "last_top1": ("top-1 % of the last weights", _percent),
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
    return f"{difference.mean:+.2f}{_interval(difference.low, difference.high)}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{low:+.2f}, {high:+.2f}]"


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


TERMINAL = ("top1", "val_top1", "top5", "params", "macs", "train_speed", "test_speed")
"""what fits into a terminal"""


def cells(
    report: Report, columns: Sequence[str] = tuple(COLUMNS), *, whole: bool = True
) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table, as text; ``whole``: with every statistic."""
    rows = report.rows
    conditions = list(rows[0].conditions)
    corrupted = list(dict.fromkeys(n for r in rows for n in r.metrics if n.startswith("top1 ")))
    margin = "" if report.margin is None else f"p (within {report.margin:g})"
    images = whole and any(
        r.difference is not None and r.difference.image_low is not None for r in rows
    )
    shown = {n: COLUMNS[n] for n in columns if any(n in row.metrics for row in rows)}
    shown |= {name: (f"top-1 % {name[5:]}", _percent) for name in corrupted}
    against = f"difference [{report.confidence:.0%} CI]"
    head = ["network", *conditions, "seeds", shown["top1"][0], against, "pairs", "p (Holm)"]
    head += ["p (signs)", "P(better)"] if whole else []
    head += [margin] if margin else []
    head += ["over images too"] if images else []
    head += [title for name, (title, _) in shown.items() if name != "top1"]
    body = []
    for row in rows:
        line = [row.label, *(str(row.conditions[name]) for name in conditions)]
        count = len(row.seeds)
        line += [str(count) if count == row.begun else f"{count} of {row.begun}"]
        line += [_percent(row.metrics["top1"]) if row.runs else "-"]
        d = row.difference
        line += [shown_difference(d, report.confidence), str(d.n) if d else "-"]
        line.append(_p(d.p_holm if d else None))
        if whole:
            line += [_p(d.p_signs if d else None), _share(d.better if d else None)]
        line += [_p(d.p_equal_holm if d else None)] if margin else []
        line += [(_interval(d.image_low, d.image_high).strip() or "-") if d else "-"] * images
        line += [
            cell(row.metrics[name]) if name in row.metrics else "-"
            for name, (_, cell) in shown.items()
            if name != "top1"
        ]
        body.append(line)
    return head, body


def control_cells(report: Report) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of gated networks beside plain ones of equal cost."""
    against = f"difference [{report.confidence:.0%} CI]"
    head = ["gated network", "plain network of equal cost", "what is equal", "gated", "plain"]
    head += ["plain / gated", against, "pairs", "p (Holm)"]
    rows = []
    for each in report.controls:
        d = each.difference
        number = "{:.2f} ms" if each.cost == "latency" else "{:,.0f}"
        line = [each.name, each.control, COSTS[each.cost]]
        line += [number.format(each.wanted), number.format(each.reached)]
        line += [f"{each.reached / each.wanted:.2%}", shown_difference(d, report.confidence)]
        rows.append([*line, str(d.n) if d else "-", _p(d.p_holm if d else None)])
    return head, rows


def terminal(report: Report) -> str:
    """An aligned table."""
    head, rows = cells(report, TERMINAL, whole=False)
    return "\n".join([table(head, rows), "", *findings(report)]).rstrip()


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown, numbers to the right."""
    lines = [[*map(_plain, head)], ["---", *["---:"] * (len(head) - 1)]]
    lines += [[*map(_plain, row)] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: no mark-up, table, link or HTML of its own."""
    marks = r"([\\`*_{}\[\]<>()#!|~$&@]|:(?=//)|(?<=www)\.)"
    return re.sub(marks, r"\\\1", " ".join(text.split()), flags=re.IGNORECASE)


def markdown_report(report: Report) -> str:
    """Table, how to read it, plots and recipe."""
    first = report.first_run
    seeds = sorted({len(row.seeds) for row in report.rows if row.seeds})
    parts = [
        f"# Comparison with {_plain(report.baseline)}\n",
        "".join(f"- {_plain(each)}\n" for each in findings(report)),
        markdown(*cells(report)),
        *([markdown(*control_cells(report))] if report.controls else []),
        f"Mean ± sample standard deviation over {'-'.join(map(str, seeds))} seeds. The difference "
        "is paired: networks under one seed share data order, augmentation and the start values "
        f"of shared weights; its {report.confidence:.0%} confidence interval is Student's over "
        "the seeds, on these training and these test images. "
        "p (Holm) is the paired t test's, corrected for the number of comparisons; p (signs) that "
        "of the exact sign-flip test, uncorrected, which with n pairs cannot be under 2 / 2^n. "
        "P(better) is how often a run of the network is above one of the baseline. The interval "
        "over images, too, is that of other seeds and other test images of the same kind.\n",
        f"{first.train_images:,} training and {first.test_images:,} test images of "
        f"{first.shape[1]}x{first.shape[2]}, {len(first.classes)} classes. MACs and memory access "
        "are of convolutions and linear layers, for one image. Speeds and memory were measured "
        "on the training machine during and after each run.\n",
    ]
    if report.diverged:
        shown = _plain(", ".join(report.diverged))
        parts.append(f"Diverged, their loss became no number, and not counted: {shown}.\n")
    if report.failed:
        parts.append("Failed:\n\n" + "".join(f"- {_plain(each)}\n" for each in report.failed))
    if report.unreadable:
        parts.append(f"{len(report.unreadable)} images could not be read and were left out:\n")
        named = (f"- {_plain(name)}: {_plain(why)}\n" for name, why in report.unreadable.items())
        parts.append("".join(named))
    parts.append("![differences](differences.png)\n\n![curves](curves.png)\n")
    parts.append("![accuracy against cost](tradeoff.png)\n\n## Recipe\n")
    said = {k: " ".join(str(v).split()) for k, v in first.recipe.items() if k != "seed"}
    recipe = "".join(f"{k}: {v}\n" for k, v in said.items())  # no line but ours ends the block
    parts.append(f"```yaml\n{recipe}```\n")
    return "\n".join(parts)


def csv_table(report: Report) -> str:
    """A line a row, numbers unrounded."""
    names = list(dict.fromkeys(name for row in report.rows for name in row.metrics))
    fields = [each.name for each in dataclasses.fields(Difference)]
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
    csv.writer(text, lineterminator="\n").writerows([map(_inert, row) for row in rows])
    return text.getvalue()


def _inert(value: object) -> object:
    """Text that no spreadsheet takes for a formula."""
    wide = "\uff1d\uff0b\uff0d\uff20"  # the same signs as wide as Chinese ones
    if not isinstance(value, str):
        return value
    text = value.replace("\r", "\n")  # which alone would be a new line, and is not quoted
    return "'" + text if re.match(rf"[\t\n]|\s*[=+\-@{wide}]", text) else text


def latex(report: Report) -> str:
    """A table for ``booktabs``; the best mean is bold."""
    head, rows = cells(report)
    counted = [row for row in report.rows if row.runs]
    best = max(counted, key=lambda row: row.metrics["top1"].mean)
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
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))


_LATEX = {sign: f"\\{sign}" for sign in "&%_#${}"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "±": r"$\pm$",
    "<": "$<$",
    ">": "$>$",
    "[": "{[}",
    "]": "{]}",
}
