"""What a pickle says, read without running any of it.

PyTorch's files name their tensors in a pickle, which is a program for a machine with a stack. Here
the stack holds descriptions alone: of a tensor, where its numbers are and its shape; of anything
else that training scripts keep beside weights, its kind. No function that a pickle names is ever
called, and a name that is not in the tables below is refused. What a small file may make the
machine do is bounded, too: steps, text, nesting.
"""

from __future__ import annotations

import reprlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

STEPS = 4_000_000  # of one pickle: ResNet-152's has 50,000
DIMENSIONS = 64  # PyTorch's own bound


class MalformedError(Exception):
    """A file does not follow its own format."""


class CodeError(Exception):
    """A pickle names something that is not known to be data."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers somewhere in a file."""

    key: str
    dtype: torch.dtype
    numel: int
    start: int = 0
    """where a view of it begins, in numbers"""

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return self.numel * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Stored:
    """A dense tensor, whose numbers are still in the file."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        # Of what was not checked yet nothing is shown: text of nested tuples has no bound.
        if not len(self.shape) == len(self.stride) <= DIMENSIONS:
            raise MalformedError(f"{len(self.shape)} sizes and {len(self.stride)} strides")
        sizes = (*self.shape, *self.stride, self.offset)
        if any(type(size) is not int or not 0 <= size < 2**62 for size in sizes):
            raise MalformedError("a tensor whose sizes, strides and offset are no such numbers")
        if 0 in self.shape:
            return
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))
        if (last + 1) * self.dtype.itemsize > self.storage.nbytes:
            raise MalformedError(
                f"a tensor {self.shape} reaches to number {last + 1:,} of a storage of "
                f"{self.storage.nbytes:,} bytes"
            )


@dataclass(frozen=True, slots=True)
class Odd:
    """A tensor that is not plain numbers in a row: sparse, quantised, without values, nested."""

    kind: str


@dataclass(slots=True, eq=False)
class Other:
    """What is neither a tensor nor a container: of it only the kind is known."""

    kind: str


@dataclass(frozen=True, slots=True)
class Name:
    """A function, class or constant that a pickle may name, and what to take for its value."""

    path: str
    call: Callable[..., Any]


def _tensor(
    storage: Any, offset: Any, shape: Any, stride: Any, *_: Any, dtype: Any = None
) -> Stored | Odd:
    """``_rebuild_tensor`` and its second form: requires_grad, hooks and metadata may follow."""
    if isinstance(storage, Other):
        return Odd(storage.kind)
    if not isinstance(storage, Storage) or type(shape) is not tuple or type(stride) is not tuple:
        raise MalformedError("a tensor without a storage and sizes")
    if len(_) > 2 and _[2]:
        return Odd("a lazily conjugated or negated tensor")
    dtype = dtype or storage.dtype
    if type(offset) is not int:
        raise MalformedError("a tensor that begins at no number")
    return Stored(storage, dtype, offset + storage.start, shape, stride)


def _tensor3(
    storage: Any,
    offset: Any,
    shape: Any,
    stride: Any,
    requires_grad: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> Stored | Odd:
    if not isinstance(dtype, torch.dtype):
        raise MalformedError("a tensor without a type")
    return _tensor(storage, offset, shape, stride, requires_grad, hooks, metadata, dtype=dtype)


def _parameter(tensor: Any, *_: Any) -> Stored | Odd:
    if not isinstance(tensor, (Stored, Odd)):
        raise MalformedError("a parameter that is no tensor")
    return tensor


def _from_type(function: Any, kind: Any, arguments: Any, *_: Any) -> Any:
    """A tensor of another class, or one with attributes."""
    if not isinstance(function, Name) or not isinstance(kind, Name):
        raise MalformedError("a tensor of no class")
    if kind.path in ("torch.Tensor", "torch.nn.parameter.Parameter"):
        return _parameter(function.call(*arguments))
    return Odd(kind.path)


def _mapping(*arguments: Any) -> dict[Any, Any]:
    """A dictionary of any class; Python 2 gave its items as a list of pairs."""
    result: dict[Any, Any] = {}
    if arguments and isinstance(arguments[0], (list, tuple)):
        for key, value in arguments[0]:
            _put(result, key, value)
    return result


def _size(sizes: Any = ()) -> tuple[Any, ...]:
    if not isinstance(sizes, (tuple, list)):
        raise MalformedError("sizes that are none")
    return tuple(sizes)


def _odd(kind: str) -> Callable[..., Odd]:
    return lambda *_: Odd(kind)


def _other(kind: str) -> Callable[..., Other]:
    return lambda *_: Other(kind)


def _known() -> dict[str, Any]:
    """All that a pickle may name, by its path."""
    calls: dict[str, Callable[..., Any]] = {
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_tensor_v3": _tensor3,
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter,
        "torch._tensor._rebuild_from_type_v2": _from_type,
        "torch._utils._rebuild_sparse_tensor": _odd("sparse"),
        "torch._utils._rebuild_sparse_csr_tensor": _odd("sparse"),
        "torch._utils._rebuild_qtensor": _odd("quantised"),
        "torch._utils._rebuild_meta_tensor_no_storage": _odd("without values (meta)"),
        "torch._utils._rebuild_nested_tensor": _odd("nested"),
        "torch._utils._rebuild_wrapper_subclass": _odd("of another class"),
        "torch._utils._rebuild_device_tensor_from_cpu_tensor": _parameter,
        "torch._utils._rebuild_device_tensor_from_numpy": _odd("an array of NumPy"),
        "torch.Size": _size,
        "collections.OrderedDict": _mapping,
        "collections.Counter": _mapping,
        "collections.defaultdict": _mapping,
        "builtins.dict": _mapping,
    }
    known: dict[str, Any] = {path: Name(path, call) for path, call in calls.items()}
    for path in _OTHERS:
        known[path] = Name(path, _other(path))
    for word, value in vars(torch).items():
        if isinstance(value, torch.dtype):
            known[f"torch.{word}"] = value
    for prefix in ("torch.", "torch.cuda."):
        for word, dtype in _STORAGES.items():
            known[f"{prefix}{word}Storage"] = dtype
        for word in ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4"):
            known[f"{prefix}{word}Storage"] = Other("quantised")
    known["torch.storage.UntypedStorage"] = torch.uint8
    known["torch.UntypedStorage"] = torch.uint8
    return known


_STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}
# What training scripts keep beside weights, and classes that the rules above mention.
_OTHERS = (
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "torch.device",
    "torch.serialization._get_layout",
    "torch.per_tensor_affine",
    "torch.per_tensor_symmetric",
    "torch.per_channel_affine",
    "torch.per_channel_symmetric",
    "torch.per_channel_affine_float_qparams",
    "_codecs.encode",
    "builtins.bytearray",
    "builtins.bytes",
    "builtins.complex",
    "builtins.float",
    "builtins.frozenset",
    "builtins.int",
    "builtins.list",
    "builtins.set",
    "builtins.str",
    "builtins.tuple",
    "argparse.Namespace",
    "datetime.date",
    "datetime.datetime",
    "datetime.timedelta",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "numpy.dtype",
    "numpy.ndarray",
    *(
        f"numpy.{core}.multiarray.{word}"
        for core in ("core", "_core")
        for word in ("scalar", "_reconstruct")
    ),
    *(
        f"numpy.dtypes.{word}DType"
        for word in ("Bool", "Float16", "Float32", "Float64", "Int32", "Int64", "UInt8", "UInt32")
    ),
)
_KNOWN = _known()
_ATOMS = (str, int, float, bool, bytes, type(None))


def _named(module: Any, word: Any) -> Any:
    path = f"{'builtins' if module == '__builtin__' else module}.{word}"
    if path not in _KNOWN:
        raise CodeError(path)
    return _KNOWN[path]


def _put(target: dict[Any, Any], key: Any, value: Any) -> None:
    if type(key) not in _ATOMS:
        if isinstance(key, (list, dict)):
            raise MalformedError(f"a {type(key).__name__} as a key")
        key = Other("key")  # not hashed: how deep it is nested is not known
    if key in target:
        raise MalformedError(f"the name {reprlib.repr(key)} twice in a dictionary")
    target[key] = value


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


def _number(m: Machine, format: str, size: int) -> Any:
    return struct.unpack(format, m.take(size))[0]


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
_push(b"K", lambda m: m.take(1)[0])
_push(b"M", lambda m: _number(m, "<H", 2))
_push(b"J", lambda m: _number(m, "<i", 4))
_push(b"G", lambda m: _number(m, ">d", 8))
_push(b"L", lambda m: int(m.line().removesuffix("L")))
_push(b"\x8a", lambda m: _whole(m, m.take(1)[0]))
_push(b"\x8b", lambda m: _whole(m, _number(m, "<I", 4)))
_push(b"X", lambda m: _text(m, _number(m, "<I", 4)))
_push(b"\x8c", lambda m: _text(m, m.take(1)[0]))
_push(b"\x8d", lambda m: _text(m, _number(m, "<Q", 8)))
_push(b"U", lambda m: _text(m, m.take(1)[0]))  # text of Python 2
_push(b"T", lambda m: _text(m, _number(m, "<I", 4)))
_push(b"C", lambda m: m.take(m.take(1)[0]))
_push(b"B", lambda m: m.take(_number(m, "<I", 4)))
_push(b"\x8e", lambda m: m.take(_number(m, "<Q", 8)))
_push(b"\x96", lambda m: m.take(_number(m, "<Q", 8)))
_push(b"c", lambda m: _named(m.line(), m.line()))
_push(b"h", lambda m: m.memo[m.take(1)[0]])
_push(b"j", lambda m: m.memo[_number(m, "<I", 4)])
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
    m.memo[m.take(1)[0]] = m.stack[-1]


@_on(b"r")
def _remember_far(m: Machine) -> None:
    m.memo[_number(m, "<I", 4)] = m.stack[-1]


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
    m.stack.append(_named(module, word))


@_on(b"i")
def _instance(m: Machine) -> None:
    name = _named(m.line(), m.line())
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
            _put(target, key, value)
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
