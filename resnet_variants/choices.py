"""Named choices, and errors that quote the user's value and the nearest valid one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

import numpy as np

T = TypeVar("T")


def plain_number(value: Any) -> Any:
    """A number of numpy's as Python's own; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def quoted(value: object) -> str:
    """A value as an error shows it: not without end."""
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:200]}…"


def close_names(value: object, valid: Iterable[str]) -> list[str]:
    """The valid names closest to ``value``: one, or all that are as few typing errors away from
    it. Empty when nothing is close."""
    folded = {name.lower().replace("-", "_"): name for name in valid}
    text = (value if isinstance(value, str) else quoted(value))[:99].lower().replace("-", "_")
    close = get_close_matches(text, folded, n=8, cutoff=0.5)
    errors = [_typing_errors(text, name) for name in close]
    if not close or errors[0] > 2:  # too far for counting to tell them apart
        return [folded[name] for name in close[:1]]
    return [folded[n] for n, count in zip(close, errors, strict=True) if count == min(errors)]


def _typing_errors(typed: str, meant: str) -> int:
    """Letters left out, put in, wrong, or two swapped (Damerau 1964)."""
    rows = [list(range(len(meant) + 1))]
    for i, a in enumerate(typed, 1):
        rows.append([i])
        for j, b in enumerate(meant, 1):
            best = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a != b))
            if i > 1 and j > 1 and (a, b) == (meant[j - 2], typed[i - 2]):
                best = min(best, rows[i - 2][j - 2] + 1)
            rows[i].append(best)
    return rows[-1][-1]


def nearest(value: object, valid: Iterable[str]) -> str | None:
    """The valid name closest to ``value``, or None when nothing is close."""
    return next(iter(close_names(value, valid)), None)


def unknown(
    kind: str, value: object, valid: Iterable[str], *, limit: int = 20, meant: str | None = None
) -> ValueError:
    """An error for a name that is not one of ``valid``; ``meant`` is what it may mean, where
    that is known, in the place of the nearest one."""
    names = list(valid)
    close = " or ".join(map(repr, close_names(value, names)))
    hint = f" Did you mean {close}?" if close else ""
    if meant is not None:
        hint = f" It can mean {meant}."
    shown = ", ".join(map(repr, names[:limit])) + (", …" if len(names) > limit else "")
    return ValueError(f"Unknown {kind} {quoted(value)}.{hint} Valid: {shown}.")


def check_choice(kind: str, value: object, valid: Iterable[object]) -> None:
    """Refuse a ``value`` that is none of ``valid``."""
    valid = list(valid)
    if value not in valid or isinstance(value, bool):
        if isinstance(value, str):
            raise unknown(kind, value, [str(v) for v in valid])
        raise ValueError(f"{kind} must be one of {valid}, not {quoted(value)}.")


class Registry(Generic[T]):
    """A table of named parts. A name is taken once; a wrong one is answered with the nearest.

    >>> gates = Registry("attention")
    >>> @gates.register("se")
    ... class SE: ...
    >>> gates["se"] is SE
    True
    """

    def __init__(self, kind: str, meanings: Mapping[str, str] | None = None) -> None:
        """``meanings``: names that are none, and what people mean by them."""
        self.kind = kind
        self.meanings = meanings or {}
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T | None = None) -> Callable[[T], T]:
        """Add ``entry`` under ``name``, or decorate what is to be added."""
        if not isinstance(name, str) or not name:
            raise ValueError(f"{self.kind} must be registered under a name, not {name!r}.")

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(
                    f"{self.kind} {name!r} is registered already, as {self._entries[name]!r}."
                )
            self._entries[name] = entry
            return entry

        if entry is not None:
            add(entry)
        return add

    def unregister(self, name: str) -> None:
        """Take ``name`` out again."""
        self[name]
        del self._entries[name]

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except (KeyError, TypeError):
            meant = self.meanings.get(quoted(name).strip("'").lower())
            raise unknown(self.kind, name, self._entries, meant=meant) from None

    def resolve(self, value: str | T) -> T:
        """The entry under a name; a class or function, which has none, as it is."""
        return value if callable(value) else self[value]  # type: ignore[index]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def name_of(self, entry: T) -> str | None:
        """The name under which ``entry`` is registered, if it is."""
        return next((name for name, known in self._entries.items() if known is entry), None)
