"""The table of docs/gates.md: what making each gate tells, and what was measured of it."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from resnet_variants.blocks.gates import ATTENTION, Gate
from resnet_variants.cli.gates import gate_facts, row

DOCS = Path(__file__).parent
HEAD = [
    "gate",
    "looks at",
    "parameters",
    "million MACs",
    "fuses",
    "identity at first",
    "time added",
    "deployed",
    "not fused",
    "paper",
    "trial",
    "what",
]
RIGHT = (2, 3, 6, 7, 8, 10)
FORMS = ("eager", "deployed", "apart")


def rows() -> list[list[str]]:
    """A row for each gate."""
    latency, papers = _read("gates_latency.json")["gates"], _read("gates_accuracies.json")["gates"]
    trial = _read("comparison/all_gates/report.json")["controls"]
    won = {each["name"].removeprefix("resnet8 "): each["difference"] for each in trial}
    found = []
    for name in ATTENTION:
        facts, times = gate_facts(name), latency[name]
        made = [f"`{name}`", *row(facts)[1:]]
        measured = [f"{100 * (times[form]['ratio'] - 1):+.0f} %" for form in FORMS]
        paper = "; ".join(_told(*each) for each in papers.get(name, [])) or "-"
        points = f"{won[name]['mean']:+.1f} [{won[name]['low']:+.1f}, {won[name]['high']:+.1f}]"
        found.append([*made, *measured, paper, points, facts.summary])
    return found


def _told(top1: float, plain: float | None, source: str) -> str:
    return f"{top1:.2f}{'' if plain is None else f' ({plain:.2f})'} {source}"


def sources() -> str:
    """Whose accuracies they are, and what is known of the recipe."""
    told = _read("gates_accuracies.json")["sources"]
    return "\n".join(f"- {name}: {where}." for name, where in told.items())


def machine() -> str:
    """Where the times were measured, and how far they spread."""
    told = _read("gates_latency.json")
    here, forms = (
        told["machine"],
        [form for gate in told["gates"].values() for form in gate.values()],
    )
    spread = [(f["quartiles_ms"][1] - f["quartiles_ms"][0]) / f["plain_ms"] for f in forms]
    plain = [
        sum(gate[form]["plain_ms"] for gate in told["gates"].values()) / len(told["gates"])
        for form in ("eager", "deployed")
    ]
    fused = [
        100 * (gate["apart"]["ratio"] - gate["deployed"]["ratio"])
        for name, gate in told["gates"].items()
        if issubclass(ATTENTION[name], Gate)  # type: ignore[arg-type]
    ]
    return (
        f"{here['processor']}, {here['threads']} thread, torch {here['torch']}, "
        f"{here['rounds']} rounds. ResNet-50 without gate took {plain[0]:.0f} ms as built and "
        f"{plain[1]:.0f} ms deployed. The middle half of a gate's rounds spreads over "
        f"{100 * sorted(spread)[len(spread) // 2]:.0f} % of that (median over the gates; at most "
        f"{100 * max(spread):.0f} %): smaller differences are none. Fusing saves "
        f"{statistics.median(fused):.1f} % of the plain network's time in the median over the "
        "gates that fuse, which is less than the spread."
    )


def _read(name: str) -> Any:
    return json.loads((DOCS / name).read_text())
