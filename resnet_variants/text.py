"""Tables and numbers for terminals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str] | None, rows: Iterable[Sequence[str]]) -> str:
    """Columns of text, aligned; numbers to the right."""
    rows = [[str(cell) for cell in row] for row in rows]
    lines = [list(head), *rows] if head else rows
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [all(row[i][:1].isdigit() for row in rows) for i in range(len(widths))]

    def line(cells: Sequence[str]) -> str:
        parts = zip(cells, widths, right, strict=True)
        return "  ".join(f"{c:>{w}}" if r else f"{c:<{w}}" for c, w, r in parts).rstrip()

    rule = ["  ".join("-" * width for width in widths)] if head else []
    return "\n".join([*map(line, lines[: len(rule)]), *rule, *map(line, lines[len(rule) :])])


def short(number: int) -> str:
    """Four digits and the decimal prefix: 4.089 G."""
    value, prefix = float(number), ""
    for larger in ("k", "M", "G", "T"):
        if value < 1000:
            break
        value, prefix = value / 1000, larger
    return f"{value:.4g} {prefix}" if prefix else f"{number} "


def indent(text: str) -> str:
    """Each line two spaces further in."""
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())


def counted(count: int, thing: str) -> str:
    """How many of a thing, which takes an s for several.

    >>> counted(1, "seed"), counted(2, "seed")
    ('1 seed', '2 seeds')
    """
    return f"{count} {thing}" + "s" * (count != 1)
