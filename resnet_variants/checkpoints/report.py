"""What loading a file did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class LoadReport:
    """What a file was, and what became of each of its tensors."""

    source: str
    format: str
    dialect: str
    wrappers: tuple[str, ...] = ()
    """keys and prefixes that were seen through"""
    loaded: int = 0
    """tensors of the network that were filled"""
    adapted: list[str] = field(default_factory=list)
    """what was changed on request to fit: classifier, input channels"""
    converted: list[str] = field(default_factory=list)
    """changes of type, and defaults for what files need not have"""
    ignored: list[str] = field(default_factory=list)
    """tensors of the file that the network has no use for"""
    twins: list[str] = field(default_factory=list)
    """models with the same tensors and another function; a bare file could be theirs"""
    weights: Any = None
    """the catalogue's entry, where the source is one"""

    def __str__(self) -> str:
        seen = f", inside {' '.join(self.wrappers)}" if self.wrappers else ""
        lines = [
            f"{self.source} ({self.format}{seen}): {self.loaded} tensors by {self.dialect} names"
        ]
        for title in ("adapted", "converted", "ignored"):
            if items := getattr(self, title):
                lines.append(f"  {title}: {first_few(items)}")
        if self.twins:
            lines.append(
                f"  the same tensors fit {first_few(self.twins)}, which compute something else: "
                "if this file was made for one of these, create that"
            )
        return "\n".join(lines)


def first_few(items: Sequence[str], limit: int = 5) -> str:
    """The first of many, and how many there are."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(item[:300] for item in items[:limit]) + more
