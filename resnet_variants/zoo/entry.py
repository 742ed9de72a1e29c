"""What a line of the zoo's tables is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ..config import NetworkConfig

Row = dict[str, object]
"""what a model changes in its family's base"""

CIFAR: Row = {"stem": "cifar", "num_classes": 10}


@dataclass(frozen=True)
class Entry:
    """A named configuration: ``base`` with ``changes``."""

    name: str
    family: str
    paper: str
    base: NetworkConfig
    changes: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    input_size: int = 224
    """side of the images that the published counts and numbers are for"""

    @cached_property
    def config(self) -> NetworkConfig:
        return self.base.replace(**self.changes)


def table(
    family: str,
    paper: str,
    base: NetworkConfig,
    rows: Mapping[str, Mapping[str, object]],
    *,
    input_size: int = 224,
) -> list[Entry]:
    """The entries of a family: a line a model, its name, behind it, parted by spaces, its aliases,
    and what it changes in ``base``. Those whose names end in ``_cifar`` are for images of 32
    pixels."""
    entries = []
    for names, changes in rows.items():
        name, *aliases = names.split()
        size = 32 if name.endswith("_cifar") else input_size
        entries.append(Entry(name, family, paper, base, changes, tuple(aliases), size))
    return entries


def series(
    name: str, row: Callable[..., Row], of: Iterable[tuple[int, ...]], changes: Row | None = None
) -> dict[str, Row]:
    """A row for each of these tuples of numbers, which ``row`` makes and which stand in the name
    for ``{}``; ``changes`` is what all have beside."""
    return {name.format(*each): row(*each) | (changes or {}) for each in of}


def with_cifar100(entries: Iterable[Entry]) -> list[Entry]:
    """The entries, each CIFAR-10 network followed by its twin for CIFAR-100."""
    out = []
    for each in entries:
        out.append(each)
        if each.name.endswith("_cifar"):
            changes = {**each.changes, "num_classes": 100}
            out.append(replace(each, name=f"{each.name}100", changes=changes, aliases=()))
    return out
