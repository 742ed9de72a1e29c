"""What is no file with an end is refused at once; names of any bytes are read."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
import torch

from resnet_variants.checkpoints import errors, load_checkpoint, read_checkpoint

from .making import CONTAINERS, network, pth, same, state, write

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="files of POSIX systems")


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "/dev/random"])
def test_device(name: str) -> None:
    for read in (read_checkpoint, lambda path: load_checkpoint(network(), path)):
        with pytest.raises(errors.BrokenFileError, match="no ordinary file"):
            read(name)


def test_pipe_and_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(errors.BrokenFileError, match="no ordinary file"):
        read_checkpoint(tmp_path / "pipe.pth")
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("s.pth")
        with pytest.raises(errors.BrokenFileError, match="no ordinary file"):
            read_checkpoint("s.pth")


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a.pth").symlink_to(tmp_path / "a.pth")
    with pytest.raises(errors.CheckpointError, match="is no path of a file"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "~nosuchuser_q/x.pth"])
def test_names_that_no_file_can_have(name: str) -> None:
    for read in (read_checkpoint, lambda path: load_checkpoint(network(), path)):
        with pytest.raises(errors.CheckpointError, match="is no path of a file"):
            read(name)


@pytest.mark.parametrize("container", CONTAINERS)
def test_names_that_are_not_utf_8(tmp_path: Path, container: str) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.pth"))
    path.write_bytes(CONTAINERS[container](state()))
    load_checkpoint(model := network(), path)
    assert same(model.state_dict(), state())
    path.write_bytes(b"hello")
    with pytest.raises(errors.BrokenFileError, match=r"\\xff\.pth starts with") as caught:
        read_checkpoint(path)
    str(caught.value).encode()


def test_links_to_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(write(tmp_path, pth(state())))
    assert same(read_checkpoint(tmp_path / "link").tensors, state())


def test_messages_are_short(tmp_path: Path) -> None:
    names = {f"{'x' * 100_000}.{i}.weight": torch.ones(1) for i in range(3)}
    with pytest.raises(errors.CheckpointError) as caught:
        load_checkpoint(network(), write(tmp_path, pth({**state(), **names})))
    assert len(str(caught.value)) < 3000
