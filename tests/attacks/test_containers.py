"""Containers are checked before they are believed."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_variants import create_model
from resnet_variants.checkpoints import errors, load_checkpoint, read_checkpoint

from .making import (
    CONTAINERS,
    header,
    network,
    old,
    payloads,
    pth,
    rezip,
    safetensors,
    same,
    state,
    write,
    zipped,
)


def _largest(data: bytes) -> tuple[zipfile.ZipInfo, int]:
    return max(payloads(data), key=lambda each: each[0].file_size)


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]


def _central(data: bytes, offset: int, value: int) -> bytes:
    """An archive with a byte of its last directory entry, and of that entry itself, changed."""
    changed = bytearray(data)
    at = data.rfind(b"PK\x01\x02")
    changed[at + offset] = changed[offset - 2] = value
    return bytes(changed)


def _edited(edit: Callable[[str, bytes], Any], method: int = zipfile.ZIP_STORED) -> bytes:
    return rezip(pth(state()), edit, method)


def _several(*files: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files:
            archive.writestr(name, data)
    return file.getvalue()


def _two_networks() -> bytes:
    entries = []
    for root in "ab":
        with zipfile.ZipFile(io.BytesIO(pth(state()))) as archive:
            entries += [
                (f"{root}/{name.partition('/')[2]}", archive.read(name))
                for name in archive.namelist()
            ]
    return _several(*entries)


ZIP = pth(state())
SPOT = _largest(ZIP)[1] + 403
REFUSED: dict[str, tuple[bytes, str]] = {
    "a bit of a weight": (_flip(ZIP, SPOT), "checksum"),
    "a bit of the pickle": (_flip(ZIP, ZIP.index(b"running_mean")), "checksum"),
    "a bit inside of an archive": (zipped(_flip(ZIP, SPOT)), "checksum"),
    "a bit of an archive": (_flip(zipped(ZIP, zipfile.ZIP_STORED), SPOT), "CRC"),
    "a record too short": (
        _edited(lambda n, d: [(n, d[: len(d) // 2] if n.endswith("/data/0") else d)]),
        "bytes where its tensors need",
    ),
    "a record too long": (
        _edited(lambda n, d: [(n, d + bytes(4) if n.endswith("/data/0") else d)]),
        "bytes where its tensors need",
    ),
    "a record gone": (
        _edited(lambda n, d: [] if n.endswith("/data/0") else [(n, d)]),
        "is not in the file",
    ),
    "compressed": (_edited(lambda n, d: [(n, d)], zipfile.ZIP_DEFLATED), "compressed.*unpack it"),
    "two networks": (_two_networks(), "2 pickles"),
    "a file beside": (
        _edited(lambda n, d: [(n, d), ("x/0", b"")] if n.endswith("/data/0") else [(n, d)]),
        "beside",
    ),
    "a number of another machine": (
        _edited(lambda n, d: [(n, b"middle" if n.endswith("byteorder") else d)]),
        "order",
    ),
    "bytes missing in front": (ZIP[:500] + ZIP[540:], "."),
    "the directory's mark": (_flip(ZIP, ZIP.rfind(b"PK\x01\x02")), "."),
    "the directory gone": (ZIP[: ZIP.index(b"PK\x01\x02")], "end of the archive is missing"),
    "encrypted": (_central(zipped(ZIP), 8, 1), "encrypted"),
    "another method": (_central(zipped(ZIP), 10, 14), "method 14"),
    "a broken stream": (zipped(ZIP)[:35] + b"\7" + zipped(ZIP)[36:], "."),
    "no weights inside": (zipped(b"hello"), "neither safetensors"),
    "several files": (_several(("a.pth", ZIP), ("b.pth", ZIP)), "archive of 2 files"),
    "an archive too deep": (zipped(zipped(zipped(ZIP))), "in an archive"),
    "many entries": (
        _several(*((f"{i}", b"") for i in range(2000))),
        "archive of 2000 files|more than",
    ),
    "the old format cut off": (old(state())[:-9], "cut off"),
    "the old format with a tail": (old(state()) + b"123", "3 bytes behind"),
    "a tar archive": (bytes(257) + b"ustar" + bytes(999), "tar archive"),
    **{
        f"safetensors, {kind}": (header(safetensors(state()), edit), ".")
        for kind, edit in {
            "a shape": lambda h: h["head.fc.bias"].update(shape=[11]),
            "an overflow": lambda h: h["head.fc.bias"].update(shape=[2**40, 2**40]),
            "a negative size": lambda h: h["head.fc.bias"].update(shape=[-10]),
            "a type": lambda h: h["head.fc.bias"].update(dtype="F4"),
            "an offset": lambda h: h["head.fc.bias"].update(data_offsets=[0, 2**50]),
            "an overlap": lambda h: h["head.fc.bias"].update(
                data_offsets=h["stem.convs.0.norm.bias"]["data_offsets"]
            ),
            "a gap": lambda h: h.pop("head.fc.bias") and None,
            "metadata": lambda h: h.update(__metadata__={"a": 1}),
            "no table": lambda h: b"[1]",
            "depth": lambda h: b'{"a":' * 100_000,
            "a name twice": lambda h: b'{"a": 1, "a": 2}',
        }.items()
    },
    "safetensors, a header of gigabytes": (struct.pack("<Q", 2**40) + b"{" * 99, "cut off"),
    "safetensors with a tail": (safetensors(state()) + b"1", "bytes where"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", REFUSED)
def test_refused_by_name(tmp_path: Path, kind: str) -> None:
    data, why = REFUSED[kind]
    path = write(tmp_path, data, "the file.pth")
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(errors.BrokenFileError, match=why) as caught:
        load_checkpoint(model, path)
    assert "the file.pth" in str(caught.value)
    assert same(model.state_dict(), before)


@pytest.mark.parametrize("which", [0, -1])
@pytest.mark.parametrize("no_number", [False, True])
def test_large_records(tmp_path: Path, no_number: bool, which: int) -> None:
    """Several threads read them; that the file is damaged is said rather than what the damage
    did."""
    model = create_model("resnet20_cifar")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    data = pth(before)
    start = [start for info, start in payloads(data) if info.file_size > 100_000][which]
    at = start + 400
    nan = data[:at] + b"\xff" * 4 + data[at + 4 :]
    path = write(tmp_path, nan if no_number else _flip(data, at))
    with pytest.raises(errors.BrokenFileError, match="checksum"):
        load_checkpoint(model, path)
    with pytest.raises(errors.BrokenFileError, match="checksum"):
        read_checkpoint(path)
    assert same(model.state_dict(), before)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_records_of_one_name(tmp_path: Path) -> None:
    twice = _edited(
        lambda n, d: [(n, d), (n, bytes(len(d)))] if n.endswith("/data/0") else [(n, d)]
    )
    with pytest.raises(errors.BrokenFileError, match="two entries of one name"):
        read_checkpoint(write(tmp_path, twice))


def test_bombs_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("w.pth", "w", force_zip64=True) as entry,
    ):
        for _ in range(200):
            entry.write(bytes(1 << 20))
    path = write(tmp_path, file.getvalue())
    monkeypatch.setattr("shutil.copyfileobj", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(errors.BrokenFileError, match="would unpack to 209,715,200"):
        read_checkpoint(path)


def test_a_directory_of_millions_is_not_read(tmp_path: Path) -> None:
    end = bytearray(_several(("a", b""))[-22:])
    end[8:12] = struct.pack("<HH", 0xFFFE, 0xFFFE)
    end[12:16] = struct.pack("<I", 2**31)
    with pytest.raises(errors.BrokenFileError, match="more than 100,000 entries"):
        read_checkpoint(write(tmp_path, b"PK\x03\x04" + bytes(99) + bytes(end)))


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_cut_is_noticed(tmp_path: Path, container: str) -> None:
    data = CONTAINERS[container](state())
    for share in range(1, 40):
        path = write(tmp_path, data[: len(data) * share // 40])
        with pytest.raises(errors.CheckpointError):
            read_checkpoint(path)


def test_numbers_of_a_big_endian_machine(tmp_path: Path) -> None:
    given = {"a.weight": torch.rand(7), "a.count": torch.tensor(3)}
    swapped = {"0": given["a.weight"].numpy(), "1": given["a.count"].numpy()}

    def edit(name: str, data: bytes) -> list[tuple[str, bytes]]:
        if name.endswith("byteorder"):
            return [(name, b"big")]
        key = name.rpartition("/data/")[2]
        return [(name, swapped[key].byteswap().tobytes() if key in swapped else data)]

    found = read_checkpoint(write(tmp_path, rezip(pth(given), edit))).tensors
    assert same(found, given)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    for data in (zipped(ZIP), zipped(b"hello")):
        path = write(tmp_path, data)
        try:
            read_checkpoint(path)
        except errors.CheckpointError as error:
            assert "w.pth starts" in str(error)
        path.unlink()
    assert os.listdir(tmp_path) == []
