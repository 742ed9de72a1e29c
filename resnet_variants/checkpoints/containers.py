"""The containers that tensors come in: PyTorch's zip, its old format, safetensors.

Each says what the file holds and where each storage lies. All that a container says of itself is
checked before it is believed (sizes, order, uniqueness, that nothing is compressed); the numbers of
a storage are read when they are asked for.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import torch
from torch import Tensor

from ..storage import once
from .pickle_names import CodeError, MalformedError, Storage, Stored
from .pickles import Machine
from .records import Record, read_records

ENTRIES = 100_000  # of a zip's directory
TEXT = 1 << 26  # bytes of names and shapes: a pickle, a header


@dataclass
class Contents:
    """What a file holds: tensors are described, their numbers are still in it."""

    format: str
    content: Any
    file: IO[bytes]
    records: Mapping[str, Record]
    metadata: Mapping[str, str] = field(default_factory=dict)
    swapped: bool = False
    """whether its numbers begin with their highest byte"""

    def tensors(self, stored: Mapping[str, Stored]) -> dict[str, Tensor]:
        """Tensors with their numbers; those that share a storage in the file do so here."""
        storages = {each.storage.key: each.storage for each in stored.values()}
        read = read_records(self.file, map(self._record, storages.values()))
        numbers = dict(zip(storages, read, strict=True))
        if self.swapped:
            for key, storage in storages.items():
                numbers[key].untyped_storage().byteswap(storage.dtype)
        return {
            name: numbers[each.storage.key]
            .view(each.dtype)
            .as_strided(each.shape, each.stride, each.offset)
            for name, each in stored.items()
        }

    def _record(self, storage: Storage) -> Record:
        record = self.records.get(storage.key)
        if record is None:
            raise MalformedError(f"the storage {storage.key[:40]!r} is not in the file")
        if record.nbytes != storage.nbytes:
            raise MalformedError(
                f"the storage {storage.key[:40]!r} has {record.nbytes:,} bytes where its tensors "
                f"need {storage.nbytes:,}"
            )
        return record


# PyTorch's zip -----------------------------------------------------------------------------------


def directory(file: IO[bytes]) -> zipfile.ZipFile:
    """A zip archive whose directory can be believed as far as names and places go."""
    size = file.seek(0, os.SEEK_END)
    if _entries(file, size) > ENTRIES:
        raise MalformedError(f"an archive of more than {ENTRIES:,} entries")
    archive = zipfile.ZipFile(file)
    infos = archive.infolist()
    if len({info.filename for info in infos}) != len(infos):
        raise MalformedError("an archive with two entries of one name")
    for info in infos:
        if info.flag_bits & 1:
            raise MalformedError(f"its entry {info.filename[:80]!r} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise MalformedError(
                f"its entry {info.filename[:80]!r} is compressed by method {info.compress_type}"
            )
    return archive


def _entries(file: IO[bytes], size: int) -> int:
    """How many entries a zip's last record says that there are, before memory is given to them."""
    tail = min(size, 22 + 65535)
    file.seek(size - tail)
    end = file.read(tail)
    found = end.rfind(b"PK\x05\x06")
    if found < 0 or found + 22 > len(end):
        raise MalformedError("the end of the archive is missing")
    count, length = struct.unpack("<HI", end[found + 10 : found + 16])
    if count == 0xFFFF or length == 0xFFFFFFFF:  # the 64-bit record, 20 bytes of locator before
        wide = end.rfind(b"PK\x06\x06", 0, found)
        if wide < 0 or wide + 48 > len(end):
            raise MalformedError("the end of the archive is missing")
        count, length = struct.unpack("<QQ", end[wide + 32 : wide + 48])
    return max(int(count), int(length) // 400)  # an entry of PyTorch's takes 60 to 150 bytes


def read_zip(archive: zipfile.ZipFile, file: IO[bytes], size: int) -> Contents:
    """What ``torch.save`` writes: a pickle and a record for each storage, none compressed."""
    infos = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in infos if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise MalformedError(f"an archive with {len(pickles)} pickles: {', '.join(pickles)[:200]}")
    root = pickles[0].removesuffix("data.pkl")
    if root + "constants.pkl" in infos:
        raise MalformedError(
            "a TorchScript program; save the state_dict of the network that it was made from"
        )
    records: dict[str, Record] = {}
    end = 0
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        record = _record(file, info, size)
        if not info.filename.startswith(root):
            raise MalformedError(f"an entry {info.filename[:80]!r} beside {root!r}")
        if info.header_offset < end:
            raise MalformedError(f"the entry {info.filename[:80]!r} begins inside another")
        end = record.offset + record.nbytes
        records[info.filename.removeprefix(root)] = record
    order = _small(file, records.get("byteorder"), b"little")
    if order not in (b"little", b"big"):
        raise MalformedError(f"bytes in the order {order[:20]!r}")
    machine = Machine(_small(file, records["data.pkl"]))
    content = machine.read()
    data = {name.removeprefix("data/"): r for name, r in records.items() if name[:5] == "data/"}
    return Contents("PyTorch zip", content, file, data, swapped=order == b"big")


def _record(file: IO[bytes], info: zipfile.ZipInfo, size: int) -> Record:
    """Where the bytes of a stored entry lie, its two headers compared."""
    name = info.filename[:80]
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise MalformedError(
            f"the entry {name!r} is compressed, as PyTorch never does. The archive was packed "
            "again: unpack it and pack it without compression (zip -0 -r)"
        )
    file.seek(info.header_offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise MalformedError(f"the entry {name!r} is not where the directory says")
    _, flags, method, _, _, _, _, name_size, extra = struct.unpack("<HHHIIIIHH", header[4:])
    said = file.read(name_size)
    if said != (info.orig_filename.encode("utf-8" if flags & 0x800 else "cp437")) or method:
        raise MalformedError(f"the entry {name!r} is another where it lies")
    offset = info.header_offset + 30 + name_size + extra
    if offset + info.file_size > size:
        raise MalformedError(f"the entry {name!r} is cut off")
    return Record(offset, info.file_size, info.CRC)


def _small(file: IO[bytes], record: Record | None, default: bytes = b"") -> bytes:
    """The bytes of a record that is not tensors."""
    if record is None:
        return default
    if record.nbytes > TEXT:
        raise MalformedError(f"{record.nbytes:,} bytes of names and shapes")
    (numbers,) = read_records(file, [record])
    return bytes(numbers.numpy())


# The old format ----------------------------------------------------------------------------------

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def read_pickle(file: IO[bytes], size: int) -> Contents:
    """What ``torch.save`` wrote before release 1.6: five pickles, and the storages behind."""
    for limit in (1 << 18, TEXT):
        file.seek(0)
        machine = Machine(file.read(limit))
        try:
            return _read_pickle(machine, file, size)
        except CodeError:
            raise
        except Exception:
            if len(machine.data) < limit or limit == TEXT:
                raise
    raise AssertionError("the last limit ends it")


def _read_pickle(machine: Machine, file: IO[bytes], size: int) -> Contents:
    magic = machine.read()
    if magic != _MAGIC or type(magic) is not int:
        raise MalformedError("a pickle that torch.save did not write")
    if machine.read() != _PROTOCOL:
        raise MalformedError("another version of PyTorch's old format")
    system = machine.read()
    content = machine.read()
    keys = machine.read()
    if not isinstance(system, dict) or not isinstance(keys, list):
        raise MalformedError("PyTorch's old format without its parts")
    if any(type(key) is not str for key in keys) or len(set(keys)) != len(keys):
        raise MalformedError("storages without names of their own")
    if set(keys) != machine.storages.keys():
        raise MalformedError("storages that are not those of the tensors")
    records, place = {}, machine.position
    for key in keys:
        storage = machine.storages[key]
        file.seek(place)
        if (count := file.read(8)) != struct.pack("<q", storage.numel):
            what = "is cut off" if len(count) < 8 else "has another size than its tensors"
            raise MalformedError(f"the storage {key[:40]!r} {what}")
        records[key] = Record(place + 8, storage.nbytes)
        place += 8 + storage.nbytes
        if place > size:
            raise MalformedError(f"the storage {key[:40]!r} is cut off")
    if place != size:
        raise MalformedError(f"{size - place:,} bytes behind its end")
    if system.get("little_endian") is not True:
        raise MalformedError("numbers of another machine's order")
    return Contents("PyTorch pickle", content, file, records)


# Safetensors -------------------------------------------------------------------------------------

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
}


def read_safetensors(file: IO[bytes], size: int) -> Contents:
    """A header in JSON, and the tensors behind it without a gap."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > TEXT // 4:
        raise MalformedError(f"a header of {length:,} bytes")
    header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=once)
    if not isinstance(header, dict):
        raise MalformedError("a header that is no table")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or any(type(v) is not str for v in metadata.values()):
        raise MalformedError("metadata that is not text")
    content: dict[str, Any] = {}
    records: dict[str, Record] = {}
    for name, about in header.items():
        dtype, shape, (begin, end) = _TYPES[about["dtype"]], about["shape"], about["data_offsets"]
        if any(type(n) is not int or not 0 <= n < 2**62 for n in (*shape, begin, end)):
            raise MalformedError(f"{name[:80]!r} has sizes that are no such numbers")
        storage = Storage(name, dtype, math.prod(shape))
        strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        if end - begin != storage.nbytes:
            raise MalformedError(f"{name[:80]!r} has another number of bytes than its shape needs")
        content[name] = Stored(storage, dtype, 0, tuple(shape), tuple(strides))
        records[name] = Record(8 + length + begin, storage.nbytes)
    place = 8 + length
    for record in sorted(records.values(), key=lambda r: (r.offset, r.nbytes)):
        if record.offset != place:
            raise MalformedError("tensors that overlap, or a gap between them")
        place += record.nbytes
    if place != size:
        raise MalformedError(f"{size:,} bytes where its tensors need {place:,}")
    return Contents("safetensors", content, file, records, metadata)
