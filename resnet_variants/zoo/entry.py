"""What a line of the zoo's tables is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ..config import NetworkConfig


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
    rows: Mapping[str, Mapping[str, Any]],
    *,
    aliases: Mapping[str, Iterable[str]] | None = None,
    input_size: int = 224,
) -> list[Entry]:
    """The entries of a family: a line a model, its name and what it changes in ``base``. Those
    whose names end in ``_cifar`` are for images of 32 pixels."""
    entries = []
    for name, changes in rows.items():
        size = 32 if name.endswith("_cifar") else input_size
        also = tuple((aliases or {}).get(name, ()))
        entries.append(Entry(name, family, paper, base, changes, also, size))
    return entries


def with_cifar100(entries: Iterable[Entry]) -> list[Entry]:
    """The entries, each CIFAR-10 network followed by its twin for CIFAR-100."""
    out = []
    for each in entries:
        out.append(each)
        if each.name.endswith("_cifar"):
            changes = {**each.changes, "num_classes": 100}
            out.append(replace(each, name=f"{each.name}100", changes=changes, aliases=()))
    return out
