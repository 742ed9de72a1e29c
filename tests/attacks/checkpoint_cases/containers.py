"""Files as containers: whole ones, bytes changed, zip archives and safetensors' headers."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections import OrderedDict
from typing import Any

import torch

from resnet_variants.checkpoints import export_state_dict

from .. import making
from ..fuzzing import Case
from ..making import state
from .kinds import BESIDE, WRAPS, damaged, kind, loading

# Whole files --------------------------------------------------------------------------------------

DIALECTS = ("resnet_variants", "kuangliu", "pytorchcv", "mmpretrain")
PREFIXES = ("", "module.", "model.", "_orig_mod.module.", "net.backbone.")


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
