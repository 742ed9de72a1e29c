"""The cases of the checkpoint fuzzer: files, tensors and dictionaries that are not as they should
be, each with what may come of it."""

from __future__ import annotations

import io
import json
import math
import os
import random
import string
import struct
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnet_variants.checkpoints import export_state_dict, load, load_checkpoint, save
from resnet_variants.network import Network

from . import making
from .fuzzing import Case
from .making import FIRST, HEAD, NORM, OWN, call, same, state, text

Maker = Callable[[random.Random], Case]
MAKERS: dict[str, tuple[int, Maker]] = {}  # by kind, with how often
FOLDER = Path(tempfile.mkdtemp(prefix="attacks."))


def make(r: random.Random) -> Case:
    """Any case."""
    weights = [weight for weight, _ in MAKERS.values()]
    return r.choices([maker for _, maker in MAKERS.values()], weights)[0](r)


def kind(weight: int) -> Callable[[Maker], Maker]:
    """Register a maker; one case in (sum of weights / weight) is its."""

    def register(maker: Maker) -> Maker:
        MAKERS[maker.__name__] = (weight, maker)
        return maker

    return register


def loading(name: str, source: Any, expected: str, *, told: bool = True, **options: Any) -> Case:
    """Load a source (bytes of a file, or what ``load_checkpoint`` takes) into a network.

    ``expected``: ``same`` as the state that the attacks begin with, ``refused``, or ``either``.
    ``told=False``: the container could not have told that its numbers were changed.
    """
    model = making.network()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(3)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}

    def act() -> Network:
        at = source
        if isinstance(source, bytes):
            at = FOLDER / f"{os.getpid()}.pth"
            at.write_bytes(source)
        load_checkpoint(model, at, **options)
        return model

    def taken(model: Network) -> str | None:
        if same(model.state_dict(), state()):
            return "taken and should be refused" if expected == "refused" else None
        return "silent: other weights" if told else "(cannot be told apart)"

    def refused(error: BaseException) -> str | None:
        if not same(model.state_dict(), before):
            return "the refusal changed the network"
        if not str(error) or len(str(error)) > 5000:
            return f"a message of {len(str(error))} characters"
        return f"refused: {str(error)[:300]}" if expected == "same" else None

    return Case(name, act, OWN, taken, refused)


def _spots(r: random.Random, data: bytes) -> int:
    """A place in a file: anywhere, or near its ends, where the structure is."""
    length = len(data)
    return r.choice(
        (
            r.randrange(length),
            r.randrange(min(length, 600)),
            length - 1 - r.randrange(min(length, 3000)),
        )
    )


def damaged(r: random.Random, data: bytes) -> bytes:
    """A file with a few of its bytes changed, lost, added or moved."""
    changed = bytearray(data)
    for _ in range(r.choice((1, 1, 1, 2, 5))):
        at = _spots(r, bytes(changed))
        size = r.choice((1, 4, 8, 64, 4096))
        how = r.randrange(7)
        if how <= 1:
            changed[at] ^= 1 << r.randrange(8)
        elif how == 2:
            changed[at : at + size] = r.randbytes(len(changed[at : at + size]))
        elif how == 3:
            del changed[at : at + size]
        elif how == 4:
            changed[at:at] = r.choice((r.randbytes(size), bytes(size)))
        elif how == 5:
            to = _spots(r, bytes(changed))
            changed[to : to + size] = changed[at : at + size]
        else:
            del changed[at:]
        if not changed:
            break
    return bytes(changed)


# Whole files --------------------------------------------------------------------------------------

DIALECTS = ("resnet_variants", "kuangliu", "pytorchcv", "mmpretrain")
PREFIXES = ("", "module.", "model.", "_orig_mod.module.", "net.backbone.")
BESIDE: dict[str, Any] = {
    "epoch": 3,
    "best_acc1": torch.tensor(71.2),
    "rng_state": torch.zeros(64, dtype=torch.uint8),
    "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
    "loss": [0.5, 0.25],
    "arch": "resnet",
    "scheduler": OrderedDict(last_epoch=1),
}
WRAPS = ("state_dict", "model", "model_state_dict", "net", "module", "params")


@kind(8)
def whole(r: random.Random) -> Case:
    source = making.network()
    theirs = export_state_dict(source, r.choice(DIALECTS))
    prefix = r.choice(PREFIXES)
    tensors = {prefix + name: tensor for name, tensor in theirs.items()}
    if r.random() < 0.2:
        tensors = {
            name: torch.nn.Parameter(t, requires_grad=t.is_floating_point())
            if t.is_floating_point()
            else t
            for name, t in tensors.items()
        }
    content: Any = tensors
    container = r.choice(sorted(making.CONTAINERS))
    if "safetensors" not in container:
        if r.random() < 0.3:
            content = OrderedDict(content)
        if r.random() < 0.5:
            content = {r.choice(WRAPS): content}
            content.update(
                r.sample(sorted(BESIDE.items(), key=lambda item: item[0]), r.randrange(4))
            )
        if r.random() < 0.2:
            data = making.pth(content, pickle_protocol=r.choice((2, 3, 4, 5)))
            return loading(f"whole: {container}", data, "same")
    return loading(f"whole: {container}", making.CONTAINERS[container](content), "same")


@kind(20)
def bytes_changed(r: random.Random) -> Case:
    container = r.choice(sorted(making.CONTAINERS))
    data = damaged(r, making.CONTAINERS[container](state()))
    # Neither safetensors nor the old format has a checksum; around them a zip archive has one.
    told = container not in ("old", "safetensors")
    return loading(f"bytes changed in {container}", data, "either", told=told)


# Zip archives -------------------------------------------------------------------------------------


def _patched(r: random.Random, data: bytes) -> bytes:
    """An archive whose headers lie in one field."""
    changed = bytearray(data)
    central = r.random() < 0.5
    mark = b"PK\x01\x02" if central else b"PK\x03\x04"
    places = [i for i in range(len(data)) if data.startswith(mark, i)]
    at = r.choice(places) + (6 if central else 4)
    # version, flags, method, time, date, checksum, sizes, lengths of name and extra
    offset, size = r.choice(((2, 2), (4, 2), (10, 4), (14, 4), (18, 4), (22, 2), (24, 2)))
    if central and r.random() < 0.2:
        offset, size = 36, 4  # where the entry lies
    value = r.choice((0, 1, 8, 12, 14, 99, 2**31 - 1, 2**32 - 1, r.randrange(2**16)))
    changed[at + offset : at + offset + size] = (value % 2 ** (8 * size)).to_bytes(size, "little")
    return bytes(changed)


@kind(12)
def zip_structure(r: random.Random) -> Case:
    data = making.pth(state())
    names = [info.filename for info, _ in making.payloads(data)]
    records = [name for name in names if "/data/" in name]
    some, other = r.choice(records), r.choice(records)

    def edit(name: str, content: bytes) -> list[tuple[str, bytes]]:
        if name != some:
            return [(name, content)]
        if how == "short":
            return [(name, content[: len(content) // 2])]
        if how == "long":
            return [(name, content + bytes(r.choice((1, 4, 64))))]
        if how == "gone":
            return []
        if how == "twice":
            return [(name, content), (name, bytes(len(content)))]
        if how == "renamed":
            return [(name + r.choice(("0", " ", "/", "\\")), content)]
        if how == "beside":
            return [(name, content), (r.choice(("../x", "/etc/x", "y/data.pkl", "data.pkl")), b"x")]
        return [(name, content)]

    how = r.choice(
        "short long gone twice renamed beside lie lie lie compressed front behind bomb many nested "
        "several two version swapped program".split()
    )
    expected, told = "refused", True
    if how in ("short", "long", "gone", "twice", "renamed", "beside"):
        with _quiet():
            data = making.rezip(data, edit)
    elif how == "compressed":
        data = making.rezip(
            data, edit, r.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
        )
    elif how == "lie":
        data, expected = _patched(r, r.choice((data, making.zipped(data)))), "either"
    elif how == "front":
        data = r.choice((b"PK", r.randbytes(9), data[:500])) + data
        expected = "either"
    elif how == "behind":
        data, expected = data + r.choice((bytes(9), data[:900], data)), "either"
    elif how == "bomb":
        data = making.zipped(data + bytes(r.choice((70, 200)) << 20))
    elif how == "many":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for number in range(r.choice((2, 3000))):
                archive.writestr(f"{number}.pth", b"")
        data = file.getvalue()
    elif how == "nested":
        for _ in range(depth := r.randrange(1, 9)):
            data = making.zipped(data, r.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
        expected = "same" if depth <= 2 else "refused"
    elif how == "several":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.pth", data)
            archive.writestr("b.pth", data)
        data = file.getvalue()
    elif how == "two":
        more = making.pth({name: tensor + 1 for name, tensor in state().items()})
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for part, root in ((data, "a/"), (more, "b/")):
                with zipfile.ZipFile(io.BytesIO(part)) as inner:
                    for name in inner.namelist():
                        archive.writestr(root + name.partition("/")[2], inner.read(name))
        data = file.getvalue()
    elif how == "version":
        swap = lambda n, c: [(n, r.randbytes(3) if n.endswith(("version", "byteorder")) else c)]  # noqa: E731
        data, expected = making.rezip(data, swap), "refused"
    elif how == "swapped":  # the bytes of two storages of one size: the checksums are right
        swap = lambda n, c: [(n, bytes(len(c)) if n == other else c)]  # noqa: E731
        data, told, expected = making.rezip(data, swap), False, "either"
    elif how == "program":
        module = torch.jit.script(torch.nn.Conv2d(1, 1, 1))
        file = io.BytesIO()
        torch.jit.save(module, file)
        data = file.getvalue()
    return loading(f"zip structure: {how}", data, expected, told=told)


class _quiet:
    """zipfile warns of names that it has already."""

    def __enter__(self) -> None:
        import warnings

        self.context = warnings.catch_warnings()
        self.context.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *_: Any) -> None:
        self.context.__exit__(None, None, None)


# Safetensors --------------------------------------------------------------------------------------


@kind(8)
def safetensors_header(r: random.Random) -> Case:
    data = making.safetensors(state())
    how = r.choice(
        "offset shape type gone extra length overlap metadata deep text list twice huge "
        "behind".split()
    )

    def edit(header: dict[str, Any]) -> Any:
        names = [name for name in header if name != "__metadata__"]
        some, other = r.sample(names, 2)
        if how == "offset":
            header[some]["data_offsets"][r.randrange(2)] = r.choice(
                (0, -1, 2**40, 2**63, 1.5, True, None, "0")
            )
        elif how == "shape":
            header[some]["shape"] = r.choice(
                ([], [1], [-1], [2**40, 2**40], [0], [1.0], "3", None, [True])
            )
        elif how == "type":
            header[some]["dtype"] = r.choice(
                ("F64", "I32", "F4", "X", 3, None, "f32", "C64", "F8_E4M3")
            )
        elif how == "gone":
            del header[some]
        elif how == "extra":
            header["more"] = {
                "dtype": "F32",
                "shape": [1],
                "data_offsets": header[some]["data_offsets"],
            }
        elif how == "overlap":
            header[some]["data_offsets"] = header[other]["data_offsets"]
        elif how == "metadata":
            header["__metadata__"] = r.choice(({"a": 1}, [], "x", {"a": None}, {"b": {}}))
        elif how == "deep":
            return b'{"a":' * 100_000
        elif how == "text":
            return r.choice(
                (b"{", b"{}", b"[]", b'{"a": NaN}', b"\xff" * 9, b'{"a":' + b"9" * 9999 + b"}")
            )
        elif how == "list":
            return json.dumps([header]).encode()
        elif how == "twice":
            whole = json.dumps(header)
            return (whole[:-1] + "," + json.dumps({some: header[some]})[1:]).encode()
        return None

    if how == "length":
        size = r.choice((0, 1, 2**20, 2**40, 2**63, 2**64 - 1))
        data = struct.pack("<Q", size) + data[8:]
    elif how == "huge":
        data = struct.pack("<Q", 2**25) + b"{" + bytes(2**25)
    elif how == "behind":
        data += r.choice((b"\0", bytes(64)))
    else:
        data = making.header(data, edit)
    expected = "either" if how in ("metadata", "shape", "offset") else "refused"
    return loading(f"safetensors header: {how}", data, expected)


# Pickles ------------------------------------------------------------------------------------------

CODE = (
    ("os", "system", text("true")),
    ("posix", "mkdir", text("x")),
    ("nt", "system", text("true")),
    ("subprocess", "Popen", text("true")),
    ("builtins", "eval", text("1")),
    ("builtins", "exec", text("1")),
    ("builtins", "getattr", text("a") + text("b")),
    ("builtins", "open", text("x")),
    ("builtins", "__import__", text("os")),
    ("__builtin__", "eval", text("1")),
    ("runpy", "run_path", text("x")),
    ("webbrowser", "open", text("x")),
    ("importlib", "import_module", text("os")),
    ("torch", "load", text("x")),
    ("torch.hub", "load", text("x")),
    ("torch.storage", "_load_from_bytes", text("x")),
    ("torch.jit", "load", text("x")),
    ("numpy", "load", text("x")),
    ("numpy.testing._private.utils", "runstring", text("1")),
    ("operator", "attrgetter", text("x")),
    ("functools", "partial", b""),
    ("types", "FunctionType", b""),
    ("codecs", "open", text("x")),
    ("pickle", "loads", text("x")),
    ("shutil", "rmtree", text("x")),
    ("ctypes", "CDLL", text("x")),
    ("socket", "create_connection", b""),
    ("torch._dynamo", "reset", b""),
    ("torch.nn.modules.linear", "Linear", b"K\x01K\x01"),
    ("resnet_variants", "create_model", text("resnet18")),
    ("sys", "exit", b""),
    ("timeit", "timeit", text("1")),
    ("logging.config", "fileConfig", text("x")),
)
INSTRUCTIONS = (
    b"N\x88\x89)]}(.0123PQRabceghijklopqrstu\x81\x85\x86\x87\x8a\x8b\x8c\x93\x94\x95XKMJG"
)


@kind(5)
def code(r: random.Random) -> Case:
    module, name, arguments = r.choice(CODE)
    program = call(module, name, arguments)
    if r.random() < 0.3:  # the same by other instructions
        program = text(module) + text(name) + b"\x93(" + arguments + b"tR"
    elif r.random() < 0.3:
        program = b"(" + arguments + b"i" + f"{module}\n{name}\n".encode()
    if r.random() < 0.5:
        data = making.beside_weights(program)
    else:
        data = making.PROTOCOL + program + b"."
        data = r.choice((data, making.with_pickle(data)))
    return loading(f"code: {module}.{name}", data, "refused")


@kind(10)
def pickle_mutated(r: random.Random) -> Case:
    kind = r.choice(("zip", "old"))
    data = making.CONTAINERS[kind](state())
    if kind == "old":
        changed = bytearray(data)
        for _ in range(r.choice((1, 2, 4))):
            changed[r.randrange(6000)] = r.choice(INSTRUCTIONS)
        return loading("pickle mutated: old", bytes(changed), "either", told=False)

    def edit(name: str, content: bytes) -> list[tuple[str, bytes]]:
        if not name.endswith("data.pkl"):
            return [(name, content)]
        changed = bytearray(content)
        for _ in range(r.choice((1, 2, 4))):
            at = r.randrange(len(changed))
            if r.random() < 0.5:
                changed[at] = r.choice(INSTRUCTIONS)
            else:
                changed[at:at] = bytes([r.choice(INSTRUCTIONS)])
        return [(name, bytes(changed))]

    # The checksum is that of the changed pickle: nothing can tell that it says something else.
    return loading("pickle mutated: zip", making.rezip(data, edit), "either", told=False)


@kind(8)
def pickle_odd(r: random.Random) -> Case:
    """By hand: huge, endless, deep, of other types."""
    big = (10**12).to_bytes(6, "little")
    programs = {
        "bytearray": call("builtins", "bytearray", b"\x8a\x06" + big),
        "scalar": call(
            "numpy._core.multiarray", "scalar", call("numpy", "dtype", text("V2000000000"))
        ),
        "dtype": call("numpy", "dtype", text("f8"), b"\x89", b"\x88") + b"K\x01b",
        "deep list": b"]" * 50_000 + b"a" * 49_999,
        "deep tuple": b")" + b"\x85" * 200_000,
        "deep key": b"}" + b")" + b"\x85" * 200_000 + b"Ns",
        "laughs": b")" + b"\x86".join([b"q\x01h\x01"] * 60) + b"\x86",
        "memo": b"Nr\xff\xff\xff\xff",
        "long text": b"\x8d" + (2**40).to_bytes(8, "little") + b"x",
        "long number": b"\x8b" + (2**31 - 1).to_bytes(4, "little") + b"x",
        "digits": b"L" + b"9" * 100_000 + b"L\n",
        "list as key": b"}]K\x01s",
        "marks": b"(" * 300_000,
        "nothing": b"",
        "no tensor": call("torch._utils", "_rebuild_tensor_v2"),
        "parameter": call("torch._utils", "_rebuild_parameter", b"K\x01", b"\x88", b"N"),
        "storage": b"(" + text("storage") + b"K\x01K\x01K\x01K\x01tQ",
        "reference": text("x") + b"Q",
        "unknown": b"h\x99",
        "set": b"\x8f(K\x01\x90",
        "size": call("torch", "Size", b"(K\x02" + b"\x8a\x06" + big + b"t"),
    }
    how = r.choice(sorted(programs))
    harmless = how in (
        "bytearray",
        "scalar",
        "dtype",
        "deep list",
        "deep tuple",
        "deep key",
        "set",
        "size",
        "digits",
        "laughs",
        "memo",
        "unknown",
    )
    if r.random() < 0.6:
        expected = "either" if harmless else "refused"
        return loading(f"pickle odd: {how}", making.beside_weights(programs[how]), expected)
    program = making.PROTOCOL + programs[how] + b"."
    return loading(
        f"pickle odd: {how}", r.choice((program, making.with_pickle(program))), "refused"
    )


# Tensors ------------------------------------------------------------------------------------------


@kind(22)
def tensors(r: random.Random) -> Case:
    """One tensor of the dictionary is not what it should be; or all are, and look odd."""
    content: dict[Any, Any] = state()
    weight = r.choice([name for name in content if name.endswith(("weight", "bias"))])
    norm = NORM if r.random() < 0.5 else "stem.convs.0.norm."
    count, variance = norm + "num_batches_tracked", norm + "running_var"
    tensor = content[weight]
    how, expected = r.choice(
        (
            ("nan", "refused"),
            ("inf", "refused"),
            ("overflow", "refused"),
            ("variance", "refused"),
            ("variance nan", "refused"),
            ("count", "refused"),
            ("count odd", "refused"),
            ("count gone", "other"),
            ("integer", "refused"),
            ("complex", "refused"),
            ("float8", "refused"),
            ("sparse", "refused"),
            ("sparse rows", "refused"),
            ("quantised", "refused"),
            ("meta", "refused"),
            ("nested", "refused"),
            ("expanded huge", "refused"),
            ("expanded", "other"),
            ("shared", "other"),
            ("strided", "same"),
            ("part of a storage", "same"),
            ("double", "same"),
            ("parameter", "same"),
            ("shape", "refused"),
            ("zero size", "refused"),
            ("gone", "refused"),
            ("extra", "refused"),
            ("renamed", "refused"),
            ("number as name", "either"),
            ("not a tensor", "refused"),
            ("negated", "either"),
        )
    )
    if how in ("nan", "inf"):
        tensor.view(-1)[r.randrange(tensor.numel())] = (
            r.choice((math.inf, -math.inf)) if how == "inf" else math.nan
        )
    elif how == "overflow":
        content[weight] = tensor.double().fill_(r.choice((1e300, -1e39)))
    elif how == "variance":
        content[variance][r.randrange(8)] = -r.choice((1.0, 1e-30))
    elif how == "variance nan":
        content[variance][0] = math.nan
    elif how == "count":
        content[count] = torch.tensor(r.choice((-5, 0.5, math.nan, math.inf, -1.0, 1e30, True, 1j)))
    elif how == "count odd":
        content[count] = r.choice(_odd_tensors())(torch.tensor(1.0))
    elif how == "count gone":
        del content[count]
    elif how == "integer":
        content[weight] = tensor.to(r.choice((torch.int8, torch.int64, torch.bool, torch.uint8)))
    elif how == "complex":
        content[weight] = tensor.to(torch.complex64)
    elif how == "float8":
        content[weight] = tensor.to(r.choice((torch.float8_e4m3fn, torch.float8_e5m2)))
    elif how == "sparse":
        content[weight] = tensor.to_sparse()
    elif how == "sparse rows":
        content[HEAD] = content[HEAD].to_sparse_csr()
    elif how == "quantised":
        content[weight] = torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)
    elif how == "meta":
        content[weight] = tensor.to("meta")
    elif how == "nested":
        content[weight] = torch.nested.nested_tensor([tensor.flatten()])
    elif how == "expanded huge":
        size = r.choice(((2**44,), (2**20, 2**24), (2**62,), (2**30, *tensor.shape[1:])))
        content[r.choice((weight, HEAD, FIRST))] = torch.zeros(1).expand(size)
    elif how == "expanded":
        content[weight] = torch.full((1,), 2.0).expand(tensor.shape)
    elif how == "shared":
        content["stages.1.0.conv1.norm.weight"] = content["stages.1.0.conv2.norm.weight"]
    elif how == "strided":
        whole = torch.empty(*tensor.shape, 2)
        whole[..., 1] = tensor
        content[weight] = r.choice(
            (
                whole[..., 1],
                tensor.flip(0).flip(0),
                tensor.T.contiguous().T if tensor.ndim == 2 else whole[..., 1],
            )
        )
    elif how == "part of a storage":
        whole = torch.cat([each.flatten() for each in content.values() if each.is_floating_point()])
        at = 0
        for name, each in content.items():
            if each.is_floating_point():
                content[name] = whole[at : at + each.numel()].view(each.shape)
                at += each.numel()
    elif how == "double":
        content = {
            k: v.double() if v.is_floating_point() else v.to(r.choice((torch.int32, torch.float32)))
            for k, v in content.items()
        }
    elif how == "parameter":
        content[weight] = torch.nn.Parameter(tensor)
        content[weight].hint = "an attribute"
    elif how == "shape":
        content[weight] = r.choice(
            (
                tensor.flatten(),
                tensor[None],
                tensor[:-1],
                tensor.T if tensor.ndim == 2 else tensor[None],
                tensor.repeat(2, *[1] * (tensor.ndim - 1)),
            )
        )
        if content[weight].shape == tensor.shape:
            del content[weight]
    elif how == "zero size":
        content[weight] = torch.empty(r.choice(((0,), (0, 3), (2**40, 0), (*tensor.shape, 0))))
    elif how == "gone":
        del content[weight]
    elif how == "extra":
        content[
            "".join(r.choices(string.ascii_letters + ".\n\0é", k=9)) + r.choice((".weight", ""))
        ] = torch.ones(3)
        content[r.choice(("stages.9.", "x.")) + "weight"] = torch.ones(1)
    elif how == "renamed":
        content[weight + r.choice((" ", ".", "_"))] = content.pop(weight)
    elif how == "number as name":
        content[r.choice((7, 0.5, None, (1, 2), b"x"))] = torch.ones(2)
    elif how == "not a tensor":
        content[weight] = r.choice((None, 3, "x", [1.0], tensor.tolist()))
    elif how == "negated":
        content[weight] = torch._neg_view(-tensor)
    return _given(r, f"tensors: {how}", content, expected)


def _odd_tensors() -> list[Callable[[Tensor], Tensor]]:
    return [
        lambda t: torch.sparse_coo_tensor(torch.zeros(0, 1, dtype=torch.long), torch.ones(1), ()),
        lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
        lambda t: t.to("meta"),
        lambda t: t.to(torch.complex64),
        lambda t: torch.nested.nested_tensor([torch.ones(1)]),
        lambda t: torch.ones(2),
        lambda t: torch.ones(1, 1, 1) * 0.5,
        lambda t: torch.empty(0),
        lambda t: torch.ones(1).expand(2**40),
    ]


def _given(r: random.Random, name: str, content: Any, expected: str) -> Case:
    """From memory or from a file; ``other``: taken, with exactly the values that were given."""
    source: Any = content
    if r.random() < 0.6:
        try:
            source = r.choice((making.pth, making.old))(content)
            name += ", file"
        except Exception:  # not everything can be written
            source = content
    if expected != "other":
        return loading(name, source, expected)
    case = loading(name, source, "either", told=False)

    def taken(model: Network) -> str | None:
        got = model.state_dict()
        wanted = {k: content.get(k, torch.tensor(0)) for k in got}
        return None if all(torch.equal(got[k], wanted[k]) for k in got) else "silent: other weights"

    case.taken = taken
    return case


# Dictionaries -------------------------------------------------------------------------------------


@kind(12)
def dictionaries(r: random.Random) -> Case:
    """Wrappers, circles, depth; two networks in one file."""
    first = state()
    second = {name: tensor + 1 for name, tensor in first.items()}
    if r.random() < 0.5:
        first, second = second, first
    pairs = (
        ("student.", "teacher."),
        ("encoder_q.", "encoder_k."),
        ("module.encoder_q.", "module.encoder_k."),
        ("online.", "target."),
        ("", "ema."),
        ("model.", "model_ema."),
        ("backbone.", "momentum_backbone."),
        ("a.b.", "a.c."),
    )
    wraps = (
        ("state_dict", "state_dict_ema"),
        ("model", "model_ema"),
        ("model", "ema"),
        ("net", "model"),
        ("student", "teacher"),
        ("model", "teacher"),
        ("state_dict", "averaged"),
        ("model", "swa"),
    )
    how = r.choice(
        "prefixes prefixes wraps wraps three asked circle shared deep list empty beside "
        "both".split()
    )
    expected: str = "refused"
    options: dict[str, Any] = {}
    content: Any
    if how in ("prefixes", "asked"):
        a, b = r.choice(pairs)
        halves = [{a + k: v for k, v in first.items()}, {b + k: v for k, v in second.items()}]
        r.shuffle(halves)
        content = {**halves[0], **halves[1]}
        if how == "asked":
            a, b = r.choice(pairs[:4])
            content = {
                **{a + k: v for k, v in first.items()},
                **{b + k: v for k, v in second.items()},
            }
            right = a if same(first, state()) else b
            options, expected = {"prefix": right}, "same"
        if r.random() < 0.3:
            content = {r.choice(WRAPS): content}
    elif how == "wraps":
        a, b = r.choice(wraps)
        content = {a: first, b: {"module": second} if r.random() < 0.2 else second, "epoch": 1}
        if r.random() < 0.3:
            options, expected = {"key": a if same(first, state()) else b}, "same"
    elif how == "three":
        content = {f"{w}.{k}": v + i for i, w in enumerate("abc") for k, v in first.items()}
    elif how == "circle":
        content = {"epoch": 1}
        content["model"] = content
        content["state"] = {"net": content}
        if r.random() < 0.5:
            content["state_dict"], expected = state(), "same"
    elif how == "shared":
        content = {"x": 1} if r.random() < 0.5 else state()
        expected = "same" if len(content) > 1 else "refused"
        for _ in range(7 if expected == "same" else 30):
            content = {"model": content, "net": content, "state_dict": content, "ema": content}
    elif how == "deep":
        content = state()
        for _ in range(depth := r.choice((1, 3, 200, 900))):
            content = {r.choice(WRAPS): content}
        expected = "same" if depth < 7 else "refused"
    elif how == "list":
        content = r.choice(([state()], (state(), 1), {"a": [state()]}, list(state().items())))
    elif how == "empty":
        content = r.choice(
            ({}, {"model": {}}, {"state_dict": None}, {"model": {"a": 1}}, {"model": 3})
        )
    elif how == "beside":
        content, expected = {"state_dict": state(), **BESIDE}, "same"
    else:  # weights at the top, and others in a wrapper
        content = {**first, "model": second}
    source: Any = content
    if r.random() < 0.6 or how == "list":
        try:
            source = r.choice((making.pth, making.old))(content)
        except RecursionError:
            source = content
    return loading(f"dictionaries: {how}", source, expected, **options)


# Files that load() reads --------------------------------------------------------------------------


@kind(6)
def own_files(r: random.Random) -> Case:
    path = FOLDER / f"{os.getpid()}.safetensors"
    save(making.network(), path)
    config = making.CONFIG.to_dict()
    field = r.choice(sorted(config))
    value = r.choice(
        (None, -1, 0, "x", "", [], {}, [1, 2], 1e300, True, [[]], {"a": 1}, 7, ["x"], -0.5)
    )
    said = {
        "json": r.choice(
            ("{", "", "null", "[]", "3", '"x"', "{}", "[" * 100_000, '{"a":' * 50_000, "NaN")
        ),
        "field": json.dumps({**config, field: value}),
        "gone": json.dumps({k: v for k, v in config.items() if k != field}),
        "more": json.dumps({**config, "more": value}),
        "builder": json.dumps({**config, "builder": value}),
        "weights": json.dumps(config),
    }
    how = r.choice(sorted(said))

    def edit(header: dict[str, Any]) -> None:
        about = header["__metadata__"]
        about["resnet_variants.config"] = said[how]
        if how == "weights":
            about["resnet_variants.weights"] = r.choice(
                ("{", "[]", "{}", '{"model": 3}', "null", "[" * 99_999)
            )

    path.write_bytes(making.header(path.read_bytes(), edit))

    def taken(model: Network) -> str | None:
        return None if same(model.state_dict(), state()) else "silent: other weights"

    return Case(f"own files: {how} {field}={value!r}", lambda: load(path), OWN, taken)


# Paths --------------------------------------------------------------------------------------------


@kind(3)
def paths(r: random.Random) -> Case:
    how = r.choice("zero null random fifo socket folder loop gone long nul user bytes proc".split())
    at: Any = FOLDER / how
    if how in ("zero", "null", "random"):
        at = Path("/dev") / how
    elif how == "fifo" and not at.exists():
        os.mkfifo(at)
    elif how == "socket" and not at.exists():
        import socket

        with socket.socket(socket.AF_UNIX) as end:
            end.bind(str(at))
    elif how == "folder":
        at.mkdir(exist_ok=True)
    elif how == "loop" and not at.is_symlink():
        at.symlink_to(at)
    elif how == "long":
        at = "x" * 5000
    elif how == "nul":
        at = "a\0b"
    elif how == "user":
        at = "~nosuchuser_q/x.pth"
    elif how == "bytes":
        at = os.fsdecode(os.fsencode(FOLDER) + b"/\xff.pth")
        Path(at).write_bytes(making.pth(state()))
        return loading("paths: bytes", at, "same")
    elif how == "proc":
        at = "/proc/self/status"
    return loading(f"paths: {how}", at, "refused")
