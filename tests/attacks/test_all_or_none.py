"""A network is filled with checked tensors at once, or stays as it was."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from resnet_variants import build, create_model
from resnet_variants.checkpoints import CheckpointError, errors, load_checkpoint
from resnet_variants.checkpoints.containers import Contents
from resnet_variants.checkpoints.files import write_checkpoint

from ..training_runs import environment
from .making import CONFIG, FIRST, HEAD, NORM, network, old, pth, same, state, write

COUNT, VARIANCE = NORM + "num_batches_tracked", NORM + "running_var"


def _one(name: str, value: Any) -> dict[str, Any]:
    return {**state(), name: value}


BAD: dict[str, dict[str, Any]] = {
    "not a number": _one(HEAD, state()[HEAD] * float("nan")),
    "infinite in the network's type": _one(FIRST, state()[FIRST].double() * 1e300),
    "negative variance": _one(VARIANCE, -state()[VARIANCE]),
    "infinite variance": _one(VARIANCE, state()[VARIANCE] / 0),
    "whole numbers": _one(HEAD, state()[HEAD].to(torch.int8)),
    "complex": _one(HEAD, state()[HEAD].to(torch.complex64)),
    "8 bits": _one(HEAD, state()[HEAD].to(torch.float8_e4m3fn)),
    "sparse": _one(HEAD, state()[HEAD].to_sparse()),
    "meta": _one(HEAD, state()[HEAD].to("meta")),
    **{
        f"count {value}": _one(COUNT, torch.tensor(value))
        for value in (-5, 0.5, float("nan"), float("inf"), 1e30, True, 1j)
    },
    "sparse count": _one(COUNT, torch.tensor(1.0).to_sparse()),
    "meta count": _one(COUNT, torch.tensor(1).to("meta")),
}


@pytest.mark.parametrize("source", ["memory", "zip", "old"])
@pytest.mark.parametrize("kind", BAD)
def test_bad_tensor(tmp_path: Any, kind: str, source: str) -> None:
    given: Any = BAD[kind]
    if source != "memory":
        given = write(tmp_path, (pth if source == "zip" else old)(given))
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(errors.BadTensorError):
        load_checkpoint(model, given)
    assert same(model.state_dict(), before)


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("name", [HEAD, COUNT])
def test_tensors_of_other_kinds(name: str) -> None:
    for odd in (
        torch.quantize_per_tensor(torch.ones(()), 0.1, 0, torch.qint8),
        torch.nested.nested_tensor([torch.ones(1)]),
    ):
        with pytest.raises(errors.BadTensorError, match="head.fc|batches_tracked"):
            load_checkpoint(network(), _one(name, odd))


def test_shapes_are_compared_before_values_are_read() -> None:
    endless = torch.zeros(1).expand(2**44)
    with pytest.raises(errors.MismatchError, match=r"misshapen, 1: head\.fc\.weight"):
        load_checkpoint(network(), _one(HEAD, endless))


@pytest.mark.parametrize("change", [
    {HEAD: torch.zeros(7, 3)}, {HEAD: torch.zeros(())}, {HEAD: None},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("container", ["pth", "safetensors"])
def test_no_number_of_another_network_is_read(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, container: str, change: dict[str, Any]
) -> None:
    weights = {k: v for k, v in (state() | change).items() if v is not None}
    path = write_checkpoint(weights, tmp_path / f"w.{container}")
    read: list[object] = []
    monkeypatch.setattr(Contents, "tensors", lambda *args: read.append(args))
    with pytest.raises(errors.MismatchError, match=r"head\.fc\.weight"):
        load_checkpoint(network(), path)
    assert not read


def test_network_without_memory() -> None:
    model = create_model("resnet20_cifar", device="meta")
    with pytest.raises(CheckpointError, match="no memory for weights: it is on the meta device"):
        load_checkpoint(model, state())
    model = network()
    model.head.fc.weight.untyped_storage().resize_(0)
    with pytest.raises(CheckpointError, match="no memory for weights"):
        load_checkpoint(model, state())


@pytest.mark.parametrize("left", [0, 64])
def test_tensors_without_memory(left: int) -> None:
    freed = state()[HEAD].clone()
    freed.untyped_storage().resize_(left)
    with pytest.raises(errors.BadTensorError, match="no memory"):
        load_checkpoint(network(), _one(HEAD, freed))


def interrupted() -> None:
    """Ctrl-C at any moment: the network has all of the old tensors, or all of the new ones."""
    given = {name: torch.full_like(tensor, 3) for name, tensor in state().items()}
    start = time.perf_counter()
    load_checkpoint(network(), given)
    duration = time.perf_counter() - start
    r, times = random.Random(0), 0
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    for _ in range(60):
        model = network()
        try:
            signal.setitimer(signal.ITIMER_REAL, max(1e-6, r.random() * duration))
            load_checkpoint(model, given)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            times += 1
        assert same(model.state_dict(), state()) or same(model.state_dict(), given)
    assert times


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="interrupts by a timer")
def test_interrupts() -> None:
    """In a process of its own: torch and others, interrupted anywhere, may be left unfit for the
    tests behind."""
    code = f"from {__name__} import interrupted; interrupted()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_interrupt_while_copying(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = 0

    def copy(self: Tensor, *_: Any, **__: Any) -> Tensor:
        nonlocal copies
        copies += 1
        if copies == 5:
            raise KeyboardInterrupt
        return original(self, *_, **__)

    original = Tensor.copy_
    given = {name: torch.full_like(tensor, 3) for name, tensor in state().items()}
    model = network()
    monkeypatch.setattr(Tensor, "copy_", copy)
    try:
        load_checkpoint(model, given)
    except KeyboardInterrupt:
        assert same(model.state_dict(), state())
    else:
        assert same(model.state_dict(), given)


class Uncounted(nn.BatchNorm2d):
    """A normalisation without a counter."""

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        self.num_batches_tracked = None


@pytest.mark.parametrize("norm", [FrozenBatchNorm2d, Uncounted])
def test_normalisation_without_counters_takes_any_checkpoint(norm: Any) -> None:
    model = build(CONFIG.replace(norm_layer=norm))
    report = load_checkpoint(model, state())
    assert all(name.endswith("num_batches_tracked") for name in report.ignored)
    assert all(torch.equal(tensor, state()[name]) for name, tensor in model.state_dict().items())
