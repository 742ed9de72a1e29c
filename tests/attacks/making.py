"""Files of weights that are not as they should be, and the network that they are for."""

from __future__ import annotations

import copy
import functools
import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from resnet_variants import build, model_config
from resnet_variants.checkpoints import errors
from resnet_variants.network import Network

CONFIG = model_config("resnet20_cifar").replace(layers=(1, 1, 1), widths=(8, 8, 8))
# What a file of weights may be answered with.
OWN = (errors.CheckpointError, FileNotFoundError, IsADirectoryError, PermissionError)
FIRST, NORM, HEAD = "stem.convs.0.conv.weight", "stages.0.0.conv1.norm.", "head.fc.weight"


@functools.cache
def _drawn() -> Network:
    model = build(CONFIG)
    generator = torch.Generator().manual_seed(7)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        else:
            tensor.fill_(5)
    return model


def network() -> Network:
    """A small network of random weights, another at each call."""
    return copy.deepcopy(_drawn())


def state() -> dict[str, Tensor]:
    """The state dict that the attacks begin with, in memory of its own."""
    return {name: tensor.clone() for name, tensor in _drawn().state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two state dicts have the same names and values."""
    return a.keys() == b.keys() and all(torch.equal(tensor, b[name]) for name, tensor in a.items())


def pth(content: Any, **options: Any) -> bytes:
    """What ``torch.save`` writes."""
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def old(content: Any) -> bytes:
    """What it wrote before release 1.6."""
    return pth(content, _use_new_zipfile_serialization=False)


def safetensors(content: dict[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """A file of safetensors."""
    return safetensors_bytes({k: v.contiguous() for k, v in content.items()}, metadata)


def zipped(content: bytes, method: int = zipfile.ZIP_DEFLATED, name: str = "w.pth") -> bytes:
    """A zip archive around a file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, content)
    return file.getvalue()


CONTAINERS: dict[str, Callable[[dict[str, Tensor]], bytes]] = {
    "zip": pth,
    "old": old,
    "safetensors": safetensors,
    "zipped zip": lambda content: zipped(pth(content)),
    "zipped old": lambda content: zipped(old(content)),
    "zipped safetensors": lambda content: zipped(safetensors(content)),
}


Edit = Callable[[str, bytes], Iterable[tuple[str, bytes]]]


def rezip(data: bytes, edit: Edit, method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive with each entry in the form that ``edit`` gives it: none, one, several."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(file, "w", method) as to:
        for info in archive.infolist():
            for name, content in edit(info.filename, archive.read(info)):
                to.writestr(name, content)
    return file.getvalue()


def payloads(data: bytes) -> Iterator[tuple[zipfile.ZipInfo, int]]:
    """The entries of an archive and where their bytes begin."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            at = info.header_offset
            name, extra = struct.unpack("<HH", data[at + 26 : at + 30])
            yield info, at + 30 + name + extra


def header(data: bytes, edit: Callable[[dict[str, Any]], Any]) -> bytes:
    """A file of safetensors whose header ``edit`` has changed, in place or for what it returns."""
    length = struct.unpack("<Q", data[:8])[0]
    said = json.loads(data[8 : 8 + length])
    changed = edit(said)
    text = changed if isinstance(changed, bytes) else json.dumps(changed or said).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


# Pickles by hand ----------------------------------------------------------------------------------

PROTOCOL = b"\x80\x02"


def text(word: str) -> bytes:
    """The instruction that puts text on the stack."""
    return b"X" + struct.pack("<I", len(word.encode())) + word.encode()


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """The instructions that call a function."""
    return b"c" + f"{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR"


def with_pickle(program: bytes, kind: str = "zip") -> bytes:
    """A file of weights whose pickle is this one."""
    if kind == "zip":
        edit: Edit = lambda name, data: [(name, program if name.endswith("data.pkl") else data)]  # noqa: E731
        return rezip(pth(state()), edit)
    return program


def beside_weights(program: bytes) -> bytes:
    """A pickle as torch.save writes it, with one more value beside the weights: ``program``'s."""

    def edit(name: str, data: bytes) -> list[tuple[str, bytes]]:
        if not name.endswith("data.pkl"):
            return [(name, data)]
        # {"state_dict": <the file's own>, "x": <program>}
        inner = data.removeprefix(PROTOCOL).removesuffix(b".")
        return [
            (
                name,
                PROTOCOL + b"}" + text("state_dict") + inner + b"s" + text("x") + program + b"s.",
            )
        ]

    return rezip(pth(state()), edit)


def write(folder: Path, data: bytes, name: str = "w.pth") -> Path:
    """A file of these bytes."""
    path = folder / name
    path.write_bytes(data)
    return path
