"""The benchmark's rows as a table, as CSV, JSON and Markdown, and as plots."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .measure import Row
from .ways import PEERS

# (head, width, how a row shows it)
_COLUMNS: tuple[tuple[str, int, Callable[[Row], str]], ...] = (
    ("batch", 5, lambda row: str(row.batch)),
    ("size", 4, lambda row: str(row.size)),
    ("threads", 7, lambda row: str(row.threads)),
    ("way", -32, lambda row: row.way),
    ("images/s", 8, lambda row: f"{row.images_per_second:.1f}"),
    ("wall ms", 8, lambda row: f"{row.wall_ms:.1f}"),
    ("busy ms", 8, lambda row: f"{row.busy_ms:.1f}"),
    ("spread", 6, lambda row: f"{row.spread:.0%}"),
    ("to peer", 7, lambda row: _optional(row.to_peer, ".2f")),
    ("to compiled", 11, lambda row: _optional(row.to_compiled, ".2f")),
    ("of peak", 7, lambda row: _optional(row.of_peak, ".0%")),
    ("of floor", 8, lambda row: _optional(row.of_floor, ".2f")),
    ("peak MiB", 8, lambda row: _optional(row.peak_mib, ".0f")),
    ("difference", 10, lambda row: _optional(row.difference, ".0e")),
)


def _optional(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def head() -> str:
    """The table's first line."""
    return _cells("model", [name for name, _, _ in _COLUMNS])


def line(row: Row) -> str:
    """A row of the table."""
    return _cells(row.model, [show(row) for _, _, show in _COLUMNS])


def _cells(model: str, texts: list[str]) -> str:
    widths = [width for _, width, _ in _COLUMNS]
    cells = [f"{t:<{-w}}" if w < 0 else f"{t:>{w}}" for t, w in zip(texts, widths, strict=True)]
    return " ".join((f"{model:24}", *cells))


def markdown(rows: list[Row]) -> str:
    """The table in Markdown, without the columns that say nothing."""
    shown = [
        (name, width, show)
        for name, width, show in _COLUMNS
        if any(show(row) != "-" for row in rows)
    ]
    lines = [["model", *(name for name, _, _ in shown)]]
    lines.append(["---", *("---" if width < 0 else "---:" for _, width, _ in shown)])
    lines += [[row.model, *(show(row) for _, _, show in shown)] for row in rows]
    return _table(lines)


def ratios(rows: list[Row]) -> str:
    """Speeds in Markdown, a column a way: over the fastest eager float32 peer (``to_peer``), where
    there is none over our own eager network."""
    tables: dict[tuple[str, int, int], dict[str, Row]] = {}
    for row in rows:
        tables.setdefault((row.model, row.batch, row.size), {})[row.way] = row
    ways = [way for way in dict.fromkeys(row.way for row in rows) if way not in PEERS]
    lines = [["model", "batch", "size", "over", "ms", *ways]]
    lines.append(["---", "---:", "---:", "---", "---:", *("---:" for _ in ways)])
    for (model, batch, size), of in tables.items():
        peers = [of[way] for way in PEERS if way in of]
        base = min(peers, key=lambda row: row.busy_ms) if peers else of.get("eager")
        if base is not None:
            found = (
                of[way].to_peer or base.busy_ms / of[way].busy_ms if way in of else None
                for way in ways
            )
            cells = [model, str(batch), str(size), base.way, f"{base.busy_ms:.0f}"]
            lines.append([*cells, *(_optional(value, ".2f") for value in found)])
    return _table(lines)


def _speed(row: Row | None, base: Row) -> float | None:
    return None if row is None else row.to_peer or base.busy_ms / row.busy_ms


def _table(lines: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def save(rows: list[Row], out: Path) -> None:
    """Write ``benchmark.csv``, ``.json``, ``.md`` and ``ratios.md`` into a folder, and where
    matplotlib is installed ``roofline.svg`` and ``scaling.svg``."""
    out.mkdir(parents=True, exist_ok=True)
    records: list[dict[str, Any]] = [asdict(row) for row in rows]
    (out / "benchmark.json").write_text(json.dumps(records, indent=1) + "\n")
    (out / "benchmark.md").write_text(markdown(rows))
    (out / "ratios.md").write_text(ratios(rows))
    with (out / "benchmark.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    if importlib.util.find_spec("matplotlib") is not None:
        _roofline([row for row in rows if row.of_peak is not None], out / "roofline.svg")
        _scaling(rows, out / "scaling.svg")


def _roofline(rows: list[Row], path: Path) -> None:
    """Each row a dot: the share of the peak against arithmetic for each byte, under the roof."""
    from matplotlib.figure import Figure

    if not rows:
        return
    columns: dict[tuple[str, int, float], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.intensity):
        columns.setdefault((row.model, row.batch, row.intensity), []).append(row)
    figure = Figure(figsize=(max(8, 0.18 * len(columns) + 1), 6.5))
    axes = figure.add_axes((0.1, 0.09, 0.87, 0.59))
    for precision in dict.fromkeys(row.precision for row in rows):
        roof = sorted(
            {(r.intensity, r.roof) for r in rows if r.roof is not None and r.precision == precision}
        )
        label = f"roof of {precision}: matrix product and copy"
        axes.plot(*zip(*roof, strict=True), color="black", linewidth=1, label=label)
    for way in dict.fromkeys(row.way for row in rows):
        dots = [row for row in rows if row.way == way]
        axes.scatter([d.intensity for d in dots], [d.of_peak or 0.0 for d in dots], s=16, label=way)
    for i, ((model, batch, x), dots) in enumerate(columns.items()):  # names in a row above
        shares = [d.of_peak or 0.0 for d in dots]
        axes.vlines(x, min(shares), max(shares), color="0.8", linewidth=0.5, zorder=0)
        axes.annotate(
            f"{model}, {batch}",
            (x, max(shares)),
            ((i + 0.5) / len(columns), 1.08),
            textcoords="axes fraction",
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=7,
            arrowprops={"arrowstyle": "-", "color": "0.8", "linewidth": 0.5, "relpos": (0.5, 0)},
        )
    axes.set(xscale="log", yscale="log", xlabel="FLOPs a byte", ylabel="share of the peak")
    axes.legend(fontsize=7, loc="lower right")
    figure.savefig(path)


def _scaling(rows: list[Row], path: Path) -> None:
    """Busy time of a gigaFLOP against batch and image size: level where the cost is linear."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (along, fixed) in zip(panels, (("batch", "size"), ("size", "batch")), strict=True):
        lines: dict[tuple[Any, ...], list[Row]] = {}
        for row in rows:
            key = (row.model, row.way, row.threads, getattr(row, fixed))
            lines.setdefault(key, []).append(row)
        for (model, way, _, value), points in lines.items():
            if len(points) > 1:
                points = sorted(points, key=lambda row: getattr(row, along))
                axes.plot(
                    [getattr(row, along) for row in points],
                    [row.busy_ms / (row.gflops * row.batch) for row in points],
                    marker="o",
                    label=f"{model}, {way}, {fixed} {value}",
                )
                axes.legend(fontsize=6)
        axes.set(xscale="log", xlabel=along, ylabel="busy ms a GFLOP")
    panels[0].set_ylim(bottom=0)
    figure.savefig(path)
