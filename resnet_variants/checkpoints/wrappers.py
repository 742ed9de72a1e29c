"""Which of the dictionaries in a file are the weights, and whether that is beyond doubt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .errors import BrokenFileError, CheckpointError
from .pickle_names import Odd, Stored

# Under these names training frameworks keep the weights, beside an optimizer's state and such.
WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "module",
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
)
_DEPTH = 8  # of dictionaries in dictionaries
_VISITED = 10_000


@dataclass(frozen=True)
class WeightSet:
    """Named tensors somewhere in a file."""

    path: tuple[str, ...]
    tensors: dict[str, Any]

    @property
    def key(self) -> str:
        """What ``key=`` takes to choose it."""
        return ".".join(self.path)

    @property
    def is_network(self) -> bool:
        """Whether its tensors are named as those of modules are: ``conv1.weight``."""
        return any("." in name for name in self.tensors)

    def rivals(self, other: WeightSet) -> bool:
        """Whether the other could be weights of the same network: half of the names are alike."""
        ours, theirs = ({n.partition(".")[2] or n for n in s.tensors} for s in (self, other))
        return 2 * len(ours & theirs) >= min(len(ours), len(theirs))


def find_weights(content: Any, where: str, key: str | None) -> WeightSet:
    """The weights in nested dictionaries: those at the top or inside of wrappers.

    ``key`` chooses among several, by names with dots between them; ``""`` is the top itself. Raises
    ``BrokenFileError`` where there are none, ``CheckpointError`` where it could be several.
    """
    if not isinstance(content, Mapping):
        raise BrokenFileError(f"{where} holds {_what(content)}, not named tensors.")
    found = list(_sets(content))
    if key is not None:
        return _asked_for(found, where, key)
    wrapped = [each for each in found if all(name in WRAPPERS for name in each.path)]
    named = [each for each in wrapped if each.is_network] or wrapped
    if not named:
        hint = f" Weights may be under {_names(found)}: choose by key=." if found else ""
        keys = sorted(str(name)[:80] for name in list(content)[:99])[:9]
        raise BrokenFileError(f"{where} holds no tensors, only {keys}.{hint}")
    chosen = named[0]
    others = [each for each in named[1:] + found if each is not chosen]
    if rivals := [each for each in others if each in named or chosen.rivals(each)]:
        names = _names([chosen, *{each.key: each for each in rivals}.values()])
        raise CheckpointError(
            f"{where} has several sets of weights: {names}. Choose one: key={chosen.key!r}."
        )
    return chosen


def _asked_for(found: list[WeightSet], where: str, key: str) -> WeightSet:
    inside = [each for each in found if each.key == key or each.key.startswith(f"{key}.")]
    exact = [each for each in inside if each.key == key and (each.is_network or not key)]
    inside = exact or [
        each
        for each in inside
        if all(name in WRAPPERS for name in each.key[len(key) + 1 :].split(".") if name)
    ]
    if not inside:
        raise CheckpointError(f"{where} has no weights under {key!r}, but under {_names(found)}.")
    if len(inside) > 1:
        raise CheckpointError(
            f"{where} has several sets of weights under {key!r}: {_names(inside)}."
        )
    return inside[0]


def _sets(content: Mapping[Any, Any]) -> Iterator[WeightSet]:
    """All dictionaries with tensors, those at the top first, each once."""
    level: list[tuple[tuple[str, ...], Mapping[Any, Any]]] = [((), content)]
    seen = {id(content)}
    for _ in range(_DEPTH):
        below = []
        for path, mapping in level:
            tensors = {
                name: value
                for name, value in mapping.items()
                if isinstance(name, str) and isinstance(value, (Tensor, Stored, Odd))
            }
            if tensors:
                yield WeightSet(path, tensors)
            names = [
                *(n for n in WRAPPERS if n in mapping),
                *(n for n in mapping if n not in WRAPPERS),
            ]
            for name in names:
                inner = mapping[name]
                if isinstance(inner, Mapping) and isinstance(name, str) and id(inner) not in seen:
                    seen.add(id(inner))
                    below.append(((*path, name), inner))
        level = below[:_VISITED]


def _names(sets: list[WeightSet]) -> str:
    names = [repr(each.key[:80]) if each.path else "'' (the top)" for each in sets]
    return ", ".join(names[:9]) + (f" and {len(names) - 9} more" if len(names) > 9 else "")


def _what(content: Any) -> str:
    if isinstance(content, (Tensor, Stored)):
        return f"one tensor {tuple(content.shape)}"
    return type(content).__name__ if not isinstance(content, Odd) else "one tensor"
