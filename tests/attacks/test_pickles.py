"""Pickles are read as data: nothing that they name is called, and nothing grows without bound."""

from __future__ import annotations

import argparse
import datetime
import decimal
import os
import uuid
from collections import Counter, defaultdict, deque
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch

from resnet_variants.checkpoints import errors, load_checkpoint, read_checkpoint

from .checkpoint_cases import CODE
from .making import (
    PROTOCOL,
    beside_weights,
    call,
    network,
    pth,
    same,
    state,
    text,
    with_pickle,
    write,
)


def _by_reduce(module: str, name: str, arguments: bytes) -> bytes:
    return call(module, name, arguments)


def _by_the_stack(module: str, name: str, arguments: bytes) -> bytes:
    return text(module) + text(name) + b"\x93(" + arguments + b"tR"


def _by_instance(module: str, name: str, arguments: bytes) -> bytes:
    return b"(" + arguments + b"i" + f"{module}\n{name}\n".encode()


def _by_class(module: str, name: str, arguments: bytes) -> bytes:
    return b"c" + f"{module}\n{name}\n".encode() + b"(" + arguments + b"t\x81"


@pytest.mark.parametrize("how", [_by_reduce, _by_the_stack, _by_instance, _by_class])
@pytest.mark.parametrize(("module", "name", "arguments"), CODE)
def test_code_is_refused(
    tmp_path: Path, module: str, name: str, arguments: bytes, how: Any
) -> None:
    program = how(module, name, arguments)
    whole = PROTOCOL + program + b"."
    for data in (beside_weights(program), with_pickle(whole), whole):
        with pytest.raises(errors.UnsafeFileError, match=rf"calls .*\.{name},") as caught:
            read_checkpoint(write(tmp_path, data))
        assert "weights_only" not in str(caught.value), "no recipe for running the code"


def test_code_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    for module in ("os", "posix", "nt"):
        program = call(module, "mkdir", text(str(mark)))
        with pytest.raises(errors.UnsafeFileError):
            read_checkpoint(write(tmp_path, beside_weights(program)))
    assert not mark.exists()


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    "beside",
    [
        argparse.Namespace(lr=0.1, path=Path("x")),
        np.float64(76.1),
        np.random.RandomState(0).get_state(),
        Counter(a=1),
        defaultdict(list, a=[1]),
        deque([1], 3),
        {1, 2},
        frozenset((1, 2)),
        datetime.timedelta(1),
        datetime.datetime.now(datetime.UTC),
        PurePosixPath("x"),
        decimal.Decimal("0.1"),
        uuid.UUID(int=3),
        torch.float16,
        torch.Size((1, 2)),
        torch.device("cpu"),
        b"bytes",
        bytearray(9),
        2**200,
        1j,
        torch.get_rng_state(),
        {(1, 2): 3},
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_training_scripts_keep_beside_is_data(tmp_path: Path, beside: Any, old: bool) -> None:
    content = {"state_dict": state(), "beside": beside}
    path = write(tmp_path, pth(content, _use_new_zipfile_serialization=not old))
    load_checkpoint(model := network(), path)
    assert same(model.state_dict(), state())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol(tmp_path: Path, protocol: int) -> None:
    path = write(tmp_path, pth({"state_dict": state(), "x": {1, 2}}, pickle_protocol=protocol))
    load_checkpoint(model := network(), path)
    assert same(model.state_dict(), state())


BIG = b"\x8a\x06" + (10**12).to_bytes(6, "little")
BROKEN = {
    "a tensor of nothing": call("torch._utils", "_rebuild_tensor_v2"),
    "a parameter of a number": call("torch._utils", "_rebuild_parameter", b"K\x01", b"\x88", b"N"),
    "a list as a key": b"}]K\x01s",
    "a name twice": b"}(" + text("a") + b"K\x01" + text("a") + b"K\x02u",
    "text longer than the file": b"\x8d" + (2**40).to_bytes(8, "little") + b"x",
    "a number longer than the file": b"\x8b" + (2**31 - 1).to_bytes(4, "little") + b"x",
    "an empty stack": b"0",
    "no such memory": b"j\xff\xff\xff\xff",
    "a call of a number": b"K\x01)R",
    "a reference to text": text("x") + b"Q",
    "a storage of numbers": b"(" + text("storage") + b"K\x01K\x01K\x01K\x01tQ",
    "an item of a number": b"K\x01K\x02K\x03s",
    "an end too early": b"",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken(tmp_path: Path, kind: str) -> None:
    for data in (beside_weights(BROKEN[kind]), PROTOCOL + BROKEN[kind] + b"."):
        with pytest.raises(errors.BrokenFileError, match=r"w\.pth is broken"):
            read_checkpoint(write(tmp_path, data))


HARMLESS = {
    "a terabyte of bytes": call("builtins", "bytearray", BIG),
    "a scalar of gigabytes": call(
        "numpy._core.multiarray", "scalar", call("numpy", "dtype", text("V2000000000"))
    ),
    "a type with a state": call("numpy", "dtype", text("f8"), b"\x89", b"\x88") + b"K\x01b",
    "deep lists": b"]" * 50_000 + b"a" * 49_999,
    "deep tuples": b")" + b"\x85" * 200_000,
    "a deep tuple as a key": b"}" + b")" + b"\x85" * 200_000 + b"Ns",
    "doublings": b")" + b"q\x01h\x01\x86" * 90,
    "far memory": b"Nr\xff\xff\xff\xff",
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_harmless_because_nothing_is_made_of_it(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, beside_weights(HARMLESS[kind]))
    load_checkpoint(model := network(), path)
    assert same(model.state_dict(), state())


def test_steps_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_variants.checkpoints.pickles.STEPS", 1000)
    with pytest.raises(errors.BrokenFileError, match="more than 1,000 steps"):
        read_checkpoint(write(tmp_path, pth(state())))


def test_no_process_is_started_and_nothing_written(tmp_path: Path) -> None:
    path = write(tmp_path, beside_weights(call("os", "system", text(f"touch {tmp_path}/x"))))
    with pytest.raises(errors.UnsafeFileError):
        read_checkpoint(path)
    assert os.listdir(tmp_path) == ["w.pth"]
