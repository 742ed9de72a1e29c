"""What every case is made with: kinds by how often they come, loading, damage."""

from __future__ import annotations

import os
import random
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from resnet_variants.checkpoints import load_checkpoint
from resnet_variants.network import Network

from .. import making
from ..fuzzing import Case
from ..making import OWN, same, state

WRAPS = ("state_dict", "model", "model_state_dict", "net", "module", "params")
BESIDE: dict[str, Any] = {
    "epoch": 3,
    "best_acc1": torch.tensor(71.2),
    "rng_state": torch.zeros(64, dtype=torch.uint8),
    "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
    "loss": [0.5, 0.25],
    "arch": "resnet",
    "scheduler": OrderedDict(last_epoch=1),
}

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
