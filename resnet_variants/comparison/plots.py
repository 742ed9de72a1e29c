"""The report as pictures (PNG)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .report import Report
from .statistics import summarise


def save_plots(report: Report, folder: Path) -> list[Path]:
    """Differences to the baseline, learning curves with bands, accuracy against cost."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = {"differences": _differences, "curves": _curves, "tradeoff": _tradeoff}
    paths = []
    for name, draw in drawn.items():
        figure = Figure(layout="constrained", dpi=150)
        FigureCanvasAgg(figure)  # no window system is needed
        draw(report, figure)
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1])
    return paths


def _differences(report: Report, figure: Any) -> None:
    rows = [row for row in report.rows if row.difference is not None]
    figure.set_size_inches(7, 1.5 + 0.4 * max(len(rows), 1))
    axes = figure.add_subplot()
    axes.axvline(0, color="0.5", linewidth=1)
    for y, row in enumerate(reversed(rows)):
        difference = row.difference
        assert difference is not None
        if difference.low is not None and difference.high is not None:
            axes.plot([difference.low, difference.high], [y, y], color="C0", linewidth=2)
        axes.plot(difference.mean, y, "o", color="C0")
    axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
    axes.set_xlabel(
        f"top-1 minus {report.baseline}, points ({report.confidence:.0%} confidence interval)"
    )


def curve(row: Any) -> list[tuple[float, float, float]]:
    """(epoch, mean, standard deviation) of the tested top-1 over the seeds that have it."""
    by_epoch: dict[float, list[float]] = {}
    for run in row.runs:
        for line in run.history:
            if line["top1"] is not None:
                by_epoch.setdefault(line["epoch"], []).append(line["top1"])
    summaries = [(epoch, summarise(values)) for epoch, values in sorted(by_epoch.items())]
    return [(epoch, s.mean, s.sd or 0.0) for epoch, s in summaries]


def _curves(report: Report, figure: Any) -> None:
    figure.set_size_inches(8, 5)
    axes = figure.add_subplot()
    for i, row in enumerate(report.rows):
        if not row.runs:
            continue
        epochs, means, sds = zip(*curve(row), strict=True)
        color = f"C{i % 10}"
        axes.plot(epochs, means, color=color, label=row.name, linewidth=1.5)
        low = [m - s for m, s in zip(means, sds, strict=True)]
        high = [m + s for m, s in zip(means, sds, strict=True)]
        axes.fill_between(epochs, low, high, color=color, alpha=0.15, linewidth=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("test top-1 %, mean ± standard deviation")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def _tradeoff(report: Report, figure: Any) -> None:
    figure.set_size_inches(12, 4)
    panels = [("params", "parameters", 1.0), ("macs", "MACs (M)", 1e6), ("ms", "ms an image", 1.0)]
    shared = None
    for i, (name, title, unit) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), i + 1, sharey=shared)
        shared = shared or axes
        for j, row in enumerate(report.rows):
            if not row.runs:
                continue
            if name == "ms":
                if "test_speed" not in row.metrics:
                    continue
                x = 1000 / row.metrics["test_speed"].mean
            else:
                x = row.metrics[name].mean / unit
            top1 = row.metrics["top1"]
            style = {"color": f"C{j % 10}", "marker": "osD^v"[j // 10 % 5]}
            label = row.name if i == 0 else None
            axes.errorbar(x, top1.mean, yerr=top1.sd or 0, capsize=3, label=label, **style)
        axes.set_xlabel(title)
        axes.locator_params(axis="x", nbins=4)
        axes.grid(alpha=0.3)
    if shared is not None:
        shared.set_ylabel("test top-1 %")
    figure.legend(loc="outside right upper", fontsize="small")
