"""What a report found, with which certainty, and what it could not see, in sentences."""

from __future__ import annotations

from ..checkpoints import list_weights
from ..text import counted
from .report import Controlled, Report, Row
from .statistics import FEWEST_SEEDS, POWER, Difference, detectable, pooled_sd, seeds_needed

MOST_NAMES = 6
"""so many rows are named in a sentence"""
FAR = 5.0
"""points that a baseline may lack of a known accuracy before it is said"""


def findings(report: Report) -> list[str]:
    """The sentences, the most important first."""
    compared = [row for row in report.rows if row.difference is not None]
    told = [_found(row, report) for row in compared if row.difference and row.difference.clear]
    within = [r for r in compared if r.difference and r.difference.equivalent]
    if within:
        told.append(
            f"Within {report.margin:g} points of what they are compared with (two one-sided "
            f"tests, corrected): {_names(within)}."
        )
    open_ = [r for r in compared if r.difference and not r.difference.clear and r not in within]
    if open_:
        told.append(
            f"Not told apart from what they are compared with: {_names(open_)}. That does not "
            "mean equal."
        )
    told += _power(report, compared)
    return [*told, *_controls(report), *_cautions(report, compared)]


def _names(rows: list[Row]) -> str:
    return _listed([row.name for row in rows])


def _listed(names: list[str]) -> str:
    """Names in a sentence; of many the first, as the table has all."""
    if len(names) <= MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[: MOST_NAMES - 1])} and {len(names) - MOST_NAMES + 1} more"


def _found(row: Row, report: Report) -> str:
    d = row.difference
    assert d is not None and d.p_holm is not None
    word = "better" if d.mean > 0 else "worse"
    text = (
        f"{row.name} is {word} than {row.against} by {abs(d.mean):.2f} points "
        f"({report.confidence:.0%} interval over seeds {d.low:+.2f} to {d.high:+.2f}, corrected "
        f"p {'under 0.001' if d.p_holm < 0.001 else f'{d.p_holm:.3f}'}, {d.n} pairs)"
    )
    if d.image_low is not None and d.image_high is not None:
        holds = d.image_low > 0 or d.image_high < 0
        more = "also over other test images" if holds else "but not over other test images"
        text += f", {more} ({d.image_low:+.2f} to {d.image_high:+.2f})"
    return text + "."


def _power(report: Report, compared: list[Row]) -> list[str]:
    return _power_of([row.difference for row in compared])


def _power_of(found: list[Difference | None]) -> list[str]:
    differences = [each for each in found if each is not None]
    if not differences:
        return []
    pairs, count = min(d.n for d in differences), len(differences)
    sd, least = pooled_sd(differences), detectable(pairs, count)
    if least is None or sd is None:
        return [
            f"{pairs} pairs of seeds are too few for a test ({FEWEST_SEEDS} are the fewest): the "
            "means are what was seen, and prove nothing."
        ]
    text = (
        f"What could be seen: with {pairs} pairs of seeds, {counted(count, 'comparison')} and a "
        f"standard deviation of {sd:.2f} points between pairs, {POWER:.0%} of such trials find a "
        f"difference of {least * sd:.2f} points; smaller ones are mostly missed."
    )
    needed = seeds_needed(least / 2, count)
    return [text + (f" Half of it needs {needed} seeds." if needed else "")]


COSTS = {"params": "parameters", "macs": "MACs", "latency": "latency"}


def _controls(report: Report) -> list[str]:
    """What gates win over plain networks of their cost, and how near the cost came."""
    out = []
    for cost, word in COSTS.items():
        of = [each for each in report.controls if each.cost == cost]
        if not of:
            continue
        ratios = [100 * each.reached / each.wanted for each in of]
        text = (
            f"Equal-cost controls ({len(of)}): plain networks, wider until their {word} are the "
            f"gated ones'; they reach {min(ratios):.1f} to {max(ratios):.1f} % of them."
        )
        clear = [each for each in of if each.difference and each.difference.clear]
        told = [_beside(each, report) for each in clear]
        rest = [each.name for each in of if each not in clear and each.difference]
        if rest:
            told.append(f"Not told apart from their control: {_listed(rest)}.")
        out.append(" ".join([text, *told, *_power_of([each.difference for each in of])]))
    return out


def _beside(each: Controlled, report: Report) -> str:
    d = each.difference
    assert d is not None and d.p_holm is not None
    word = "better" if d.mean > 0 else "worse"
    return (
        f"{each.name} is {word} than {each.control} by {abs(d.mean):.2f} points "
        f"({report.confidence:.0%} interval {d.low:+.2f} to {d.high:+.2f}, corrected p "
        f"{'under 0.001' if d.p_holm < 0.001 else f'{d.p_holm:.3f}'})."
    )


def _cautions(report: Report, compared: list[Row]) -> list[str]:
    out = []
    for row in report.rows:
        lost = [*row.diverged, *row.failed]
        if lost:
            whole = [*(run.top1 for run in row.runs), *row.diverged.values()]
            mean = f" (with them the mean is {sum(whole) / len(whole):.2f} %)" if whole else ""
            out.append(
                f"{row.name}: {len(row.seeds)} of {row.begun} seeds count; "
                f"{len(row.diverged)} diverged{mean if row.diverged else ''}, "
                f"{len(row.failed)} failed. A network that does not always train has that against "
                "it, whatever its mean."
            )
    unequal = [r for r in compared if r.difference and r.difference.n < len(r.seeds)]
    if unequal:
        out.append(
            f"Unequal seeds: the means of {_names(unequal)} are over more seeds than the pairs "
            "that the difference is of."
        )
    fields = {name for row in report.rows for name in row.conditions} - {"label_noise", "data"}
    if fields and not report.first_run.recipe.get("val_images"):
        out.append(
            f"The rows differ in {', '.join(sorted(fields))}: to choose one of them by these "
            "numbers is to choose on the test images. Hold out --val-images for that."
        )
    return [*out, *_known(report)]


def _known(report: Report) -> list[str]:
    """A hint where the baseline is far below what weights of the same network reach."""
    row = next((r for r in report.rows if r.label == report.baseline and r.runs), None)
    if row is None:
        return []
    name, data = row.label.partition(" ")[0], str(row.runs[0].recipe.get("data"))
    try:
        known = [(w.dataset, w.top1) for w in list_weights(name) if w.top1 is not None]
    except (ValueError, KeyError):
        return []
    same = [top1 for dataset, top1 in known if _same_data(dataset, data)]
    mean = row.metrics["top1"].mean
    if not same or mean > max(same) - FAR:
        return []
    return [
        f"The baseline reaches {mean:.1f} %, and published weights of {name} {max(same):.1f} %: "
        "what is compared here are networks far from what they can do."
    ]


def _same_data(dataset: str, data: str) -> bool:
    names = {"in1k": "imagenet", "imagenet1k": "imagenet"}
    plain = dataset.lower().replace("-", "").replace("_", "")
    return names.get(plain, plain) == data.lower().replace("-", "").replace("_", "")
