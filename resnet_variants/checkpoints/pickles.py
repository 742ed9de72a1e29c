"""What a pickle says, read without running any of it.

PyTorch's files name their tensors in a pickle, which is a program for a machine with a stack. Here
the stack holds descriptions alone: of a tensor, where its numbers are and its shape; of anything
else that training scripts keep beside weights, its kind. No function that a pickle names is ever
called, and a name that is not in the tables of ``pickle_names`` is refused. What a small file may
make the machine do is bounded, too: steps, text, nesting.
"""

from __future__ import annotations

import reprlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from .pickle_names import MalformedError, Name, Odd, Other, Storage, Stored, named, put

STEPS = 4_000_000  # of one pickle: ResNet-152's has 50,000


@dataclass
class Machine:
    """Reads pickles from ``data``, one behind the other."""

    data: bytes
    position: int = 0
    storages: dict[str, Storage] = field(default_factory=dict)
    """those that were named, by key"""
    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def read(self) -> Any:
        """The next pickle's value."""
        self.stack, self.marks, self.memo = [], [], {}
        data, run = self.data, _RUN
        for _ in range(STEPS):
            code = data[self.position]
            self.position += 1
            if code == _STOP:
                return self.stack.pop()
            step = run.get(code)
            if step is None:
                raise MalformedError(f"the unknown instruction {bytes([code])!r}")
            step(self)
        raise MalformedError(f"a pickle of more than {STEPS:,} steps")

    def byte(self) -> int:
        """The next byte."""
        value = self.data[self.position]
        self.position += 1
        return value

    def take(self, count: int) -> bytes:
        """The next bytes."""
        end = self.position + count
        if end > len(self.data):
            raise MalformedError("the pickle is cut off")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def line(self) -> str:
        """The next line."""
        end = self.data.index(b"\n", self.position)
        taken = self.data[self.position : end]
        self.position = end + 1
        return taken.decode()

    def unmark(self) -> list[Any]:
        """What lies above the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def call(self, arguments: Any) -> None:
        """Take a name from the stack and put its value there."""
        name = self.stack.pop()
        if not isinstance(name, Name) or type(arguments) is not tuple:
            raise MalformedError("a call of what is no function")
        self.stack.append(name.call(*arguments))

    def storage(self) -> None:
        """A storage, from what the pickle says of it."""
        said = self.stack.pop()
        if (
            type(said) is not tuple
            or len(said) not in (5, 6)
            or said[0] not in ("storage", b"storage")
        ):
            raise MalformedError("a reference to what is no storage")
        _, dtype, key, _, numel, *view = said
        if isinstance(dtype, Other):
            self.stack.append(dtype)
            return
        if not isinstance(dtype, torch.dtype) or type(key) is not str or type(numel) is not int:
            raise MalformedError("a storage without a type, a name and a size")
        if not 0 <= numel < 2**56:
            raise MalformedError("a storage of more numbers than there are")
        found = self.storages.setdefault(key, Storage(key, dtype, numel))
        if (found.dtype, found.numel) != (dtype, numel):
            raise MalformedError(f"the storage {reprlib.repr(key)} with two sizes or types")
        if view and view[0] is not None:  # (its name, where it begins, its size)
            start = view[0][1]
            if type(start) is not int or start < 0:
                raise MalformedError("a view that begins at no number")
            found = Storage(key, dtype, numel, start)
        self.stack.append(found)


_STOP = ord(".")
_RUN: dict[int, Callable[[Machine], None]] = {}


def _on(codes: bytes) -> Callable[[Callable[[Machine], None]], Callable[[Machine], None]]:
    def register(step: Callable[[Machine], None]) -> Callable[[Machine], None]:
        _RUN.update(dict.fromkeys(codes, step))
        return step

    return register


def _push(code: bytes, make: Callable[[Machine], Any]) -> None:
    def step(m: Machine) -> None:
        value = make(m)  # which may change the stack
        m.stack.append(value)

    _RUN[code[0]] = step


def _number(m: Machine, kind: struct.Struct) -> Any:
    try:
        (value,) = kind.unpack_from(m.data, m.position)
    except struct.error:
        raise MalformedError("the pickle is cut off") from None
    m.position += kind.size
    return value


_U2, _U4, _U8, _I4, _F8 = map(struct.Struct, ("<H", "<I", "<Q", "<i", ">d"))


def _text(m: Machine, size: int) -> str:
    return m.take(size).decode("utf-8", "surrogatepass")


def _whole(m: Machine, size: int) -> int:
    return int.from_bytes(m.take(size), "little", signed=True)


def _constant(value: Any) -> Callable[[Machine], Any]:
    return lambda _: value


_push(b"N", _constant(None))
_push(b"\x88", _constant(True))
_push(b"\x89", _constant(False))
_push(b")", _constant(()))
_push(b"]", lambda _: [])
_push(b"}", lambda _: {})
_push(b"\x8f", lambda _: Other("set"))
_push(b"K", lambda m: m.byte())
_push(b"M", lambda m: _number(m, _U2))
_push(b"J", lambda m: _number(m, _I4))
_push(b"G", lambda m: _number(m, _F8))
_push(b"L", lambda m: int(m.line().removesuffix("L")))
_push(b"\x8a", lambda m: _whole(m, m.take(1)[0]))
_push(b"\x8b", lambda m: _whole(m, _number(m, _U4)))
_push(b"X", lambda m: _text(m, _number(m, _U4)))
_push(b"\x8c", lambda m: _text(m, m.take(1)[0]))
_push(b"\x8d", lambda m: _text(m, _number(m, _U8)))
_push(b"U", lambda m: _text(m, m.take(1)[0]))  # text of Python 2
_push(b"T", lambda m: _text(m, _number(m, _U4)))
_push(b"C", lambda m: m.take(m.take(1)[0]))
_push(b"B", lambda m: m.take(_number(m, _U4)))
_push(b"\x8e", lambda m: m.take(_number(m, _U8)))
_push(b"\x96", lambda m: m.take(_number(m, _U8)))
_push(b"c", lambda m: named(m.line(), m.line()))
_push(b"h", lambda m: m.memo[m.byte()])
_push(b"j", lambda m: m.memo[_number(m, _U4)])
_push(b"t", lambda m: tuple(m.unmark()))
_push(b"\x85", lambda m: (m.stack.pop(),))
_on(b"Q")(Machine.storage)


@_on(b"\x80")
def _protocol(m: Machine) -> None:
    if (version := m.take(1)[0]) > 5:
        raise MalformedError(f"a pickle of protocol {version}")


@_on(b"\x95")
def _frame(m: Machine) -> None:
    m.take(8)


@_on(b"(")
def _mark(m: Machine) -> None:
    m.marks.append(m.stack)
    m.stack = []


@_on(b"q")
def _remember(m: Machine) -> None:
    m.memo[m.byte()] = m.stack[-1]


@_on(b"r")
def _remember_far(m: Machine) -> None:
    m.memo[_number(m, _U4)] = m.stack[-1]


@_on(b"\x94")
def _remember_next(m: Machine) -> None:
    m.memo[len(m.memo)] = m.stack[-1]


@_on(b"\x86")
def _pair(m: Machine) -> None:
    m.stack[-2:] = [(m.stack[-2], m.stack[-1])]


@_on(b"\x87")
def _triple(m: Machine) -> None:
    m.stack[-3:] = [(m.stack[-3], m.stack[-2], m.stack[-1])]


@_on(b"\x93")
def _name_on_the_stack(m: Machine) -> None:
    word, module = m.stack.pop(), m.stack.pop()
    m.stack.append(named(module, word))


@_on(b"i")
def _instance(m: Machine) -> None:
    name = named(m.line(), m.line())
    arguments = tuple(m.unmark())
    m.stack.append(name)
    m.call(arguments)


@_on(b"R\x81")
def _call(m: Machine) -> None:
    m.call(m.stack.pop())


@_on(b"\x92")
def _call_with_words(m: Machine) -> None:
    m.stack.pop()
    m.call(m.stack.pop())


@_on(b"b")
def _state(m: Machine) -> None:
    """The attributes of an object are of no interest, and a tensor has none."""
    m.stack.pop()
    if isinstance(m.stack[-1], (Stored, Odd)):
        raise MalformedError("a tensor that is changed after it was made")


def _extend(target: Any, items: list[Any]) -> None:
    if isinstance(target, list):
        target.extend(items)
    elif not isinstance(target, Other):
        raise MalformedError("a list that is none")


@_on(b"a")
def _append(m: Machine) -> None:
    item = m.stack.pop()
    _extend(m.stack[-1], [item])


@_on(b"e\x90")
def _append_all(m: Machine) -> None:
    items = m.unmark()
    _extend(m.stack[-1], items)


def _fill(target: Any, items: list[Any]) -> None:
    if isinstance(target, dict):
        for key, value in zip(items[::2], items[1::2], strict=True):
            put(target, key, value)
    elif not isinstance(target, Other):
        raise MalformedError("a dictionary that is none")


@_on(b"s")
def _item(m: Machine) -> None:
    value, key = m.stack.pop(), m.stack.pop()
    _fill(m.stack[-1], [key, value])


@_on(b"u")
def _items(m: Machine) -> None:
    items = m.unmark()
    _fill(m.stack[-1], items)


@_on(b"\x91")
def _frozen(m: Machine) -> None:
    m.unmark()
    m.stack.append(Other("frozenset"))
