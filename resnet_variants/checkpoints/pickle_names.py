"""What a pickle may name, and what stands on the reader's stack for it: descriptions alone.

Of a tensor it is known where its numbers are and its shape; of anything else that training scripts
keep beside weights, its kind. A name that is not in the tables below is refused.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

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
            put(result, key, value)
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
    "collections.deque",
    "datetime.date",
    "datetime.datetime",
    "datetime.time",
    "datetime.timedelta",
    "datetime.timezone",
    "decimal.Decimal",
    "fractions.Fraction",
    "uuid.UUID",
    *(
        f"{module}.{word}"
        for module in ("pathlib", "pathlib._local")  # of Python 3.13
        for word in ("PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath")
    ),
    "numpy.dtype",
    "numpy.ndarray",
    *(
        f"numpy.{core}.multiarray.{word}"
        for core in ("core", "_core")
        for word in ("scalar", "_reconstruct")
    ),
    *(
        f"numpy.dtypes.{word}DType"
        for word in (
            "Bool Bytes Complex64 Complex128 Float16 Float32 Float64 Int8 Int16 Int32 Int64 Str "
            "UInt8 UInt16 UInt32 UInt64"
        ).split()
    ),
)
_KNOWN = _known()
_ATOMS = (str, int, float, bool, bytes, type(None))


def named(module: Any, word: Any) -> Any:
    """What stands for a name. Raises CodeError for one that is not in the tables."""
    path = f"{'builtins' if module == '__builtin__' else module}.{word}"
    if path not in _KNOWN:
        raise CodeError(path)
    return _KNOWN[path]


def put(target: dict[Any, Any], key: Any, value: Any) -> None:
    """Put a value into a dictionary. Raises MalformedError for a name that is there already."""
    if type(key) not in _ATOMS:
        if isinstance(key, (list, dict)):
            raise MalformedError(f"a {type(key).__name__} as a key")
        key = Other("key")  # not hashed: how deep it is nested is not known
    if key in target:
        raise MalformedError(f"the name {reprlib.repr(key)} twice in a dictionary")
    target[key] = value
