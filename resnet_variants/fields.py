"""What a field may hold, said once: by its type, and by bounds or choices in its metadata.

    layers: tuple[int, ...] = bounded((3, 4, 6, 3), least=1, most=MOST_UNITS)
    stride_in: str = one_of("conv2", ("conv1", "conv2"))

A value of the wrong type, out of bounds or not among the choices is refused with the field's name;
numbers of numpy and lists become Python's own numbers and tuples.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import math
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from torch import nn

from .choices import check_choice, plain_number, quoted

MOST = 10**7
"""the greatest whole number in any field: a network with more of anything cannot be built"""
MOST_VALUES = 64
"""the most values of a tuple: none in the zoo has over ten"""
MOST_UNITS = 10_000
"""the most units of a stage, and of whatever else repeats"""


def bounded(default: Any, *, least: float | None = None, most: float | None = None) -> Any:
    """A dataclass field whose numbers lie in [least, most]; a tuple has one at least."""
    return dataclasses.field(default=default, metadata={"least": least, "most": most})


def one_of(default: Any, choices: Iterable[object]) -> Any:
    """A dataclass field that holds one of ``choices``, which may grow, or a tuple of such."""
    return dataclasses.field(default=default, metadata={"choices": choices})


def check_fields(instance: Any) -> None:
    """Check all fields of a dataclass by type and bounds, and put the plain values in.

    Raises ValueError that names the field, the value and what was expected.
    """
    hints = _hints(type(instance))  # type: ignore[arg-type]
    for each in dataclasses.fields(instance):
        value = checked(each.name, getattr(instance, each.name), hints[each.name], each.metadata)
        if "choices" in each.metadata:
            for one in value if isinstance(value, tuple) else (value,):
                check_choice(each.name, one, each.metadata["choices"])
        object.__setattr__(instance, each.name, value)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


@functools.cache
def arguments_of(make: Callable[..., Any]) -> dict[str, Any]:
    """The types of a class's or function's arguments, as far as it says them."""
    if isinstance(make, functools.partial):
        return arguments_of(make.func)
    try:
        return get_type_hints(getattr(make, "__init__") if isinstance(make, type) else make)  # noqa: B009
    except (AttributeError, NameError, TypeError):
        return {}


def checked(name: str, value: Any, hint: Any, bounds: Mapping[str, Any] | None = None) -> Any:
    """``value`` as the plain value of the type ``hint``. Raises ValueError."""
    value = plain_number(value)
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for kind in kinds:
        if _fits(value, kind):
            return _plain(name, value, kind, bounds or {})
    wanted = " or ".join(dict.fromkeys(map(_words, kinds)))
    raise ValueError(f"{name} must be {wanted}, not {quoted(value)}.")


def _fits(value: Any, kind: Any) -> bool:
    origin = get_origin(kind) or kind
    if kind is Any:
        return True
    if origin is tuple:
        return isinstance(value, (tuple, list, range)) or (
            isinstance(value, np.ndarray) and value.ndim == 1
        )
    if origin is collections.abc.Callable:
        return callable(value) and not isinstance(value, nn.Module)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin) if isinstance(origin, type) else True


def _plain(name: str, value: Any, kind: Any, bounds: Mapping[str, Any]) -> Any:
    origin = get_origin(kind) or kind
    if origin is tuple:
        if len(value) > MOST_VALUES:
            raise ValueError(f"{name} must have at most {MOST_VALUES} values, not {len(value):,}.")
        if not len(value) and bounds.get("least") is not None:
            raise ValueError(f"{name} must have at least one value, not ().")
        inner, values = get_args(kind), tuple(value)
        if len(inner) == 2 and inner[1] is Ellipsis:
            inner = (inner[0],) * len(values)
        elif inner and len(inner) != len(values):
            raise ValueError(f"{name} must have {len(inner)} values, not {quoted(value)}.")
        pairs = zip(values, inner or (Any,) * len(values), strict=True)
        return tuple(checked(name, each, of, bounds) for each, of in pairs)
    if origin is collections.abc.Mapping and not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name} must have names as its keys, not {quoted(value)}.")
    if kind in (int, float):
        _check_bounds(name, value, bounds)
    return frozen(value) if isinstance(value, (Mapping, list)) else value


def frozen(value: Any) -> Any:
    """Lists as tuples and numpy's numbers as Python's, however deep in mappings."""
    if isinstance(value, Mapping):
        return {key: frozen(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(map(frozen, value))
    return plain_number(value)


def _check_bounds(name: str, value: float, bounds: Mapping[str, Any]) -> None:
    least, most = bounds.get("least"), bounds.get("most")
    most = MOST if most is None else most
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value!r}.")
    if value < (-MOST if least is None else least) or value > most:
        limits = f"at most {most:,}" if least is None else f"in [{least:,}, {most:,}]"
        raise ValueError(f"{name} must be {limits}, not {quoted(value)}.")


_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a name",
    bool: "True or False",
    types.NoneType: "None",
    tuple: "a tuple",
    collections.abc.Mapping: "a mapping of names to values",
    collections.abc.Callable: "a class or function (not a module)",
}

_MANY = {int: "whole numbers", float: "numbers", str: "names"}


def _words(kind: Any) -> str:
    origin = get_origin(kind) or kind
    if origin is tuple and (inner := [each for each in get_args(kind) if each is not Ellipsis]):
        return f"a tuple of {' or '.join(dict.fromkeys(_MANY.get(i, 'values') for i in inner))}"
    return _WORDS.get(origin) or str(getattr(origin, "__name__", kind))
