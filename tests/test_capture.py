"""How work is recorded, on a pretended GPU that notes it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from resnet_variants import create_model
from resnet_variants.blocks.gates import ATTENTION
from resnet_variants.capture import WARM_UP, CudaGraph, NotRecordedError
from resnet_variants.deploy.captured import Captured
from resnet_variants.training import Recipe, captured
from resnet_variants.training.augment import Normalise, ShiftFlip
from resnet_variants.training.batched import Batched, Mixing

from .families import each_kind, small
from .training_runs import short


class Stream:
    """In which nothing has to be waited for."""

    def wait_stream(self, other: Stream) -> None:
        """It is done."""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Its current stream, and what happened on it."""
    now = SimpleNamespace(stream=Stream(), log=[])

    @contextlib.contextmanager
    def stream(other: Stream) -> Iterator[None]:
        before, now.stream = now.stream, other
        try:
            yield
        finally:
            now.stream = before

    class Recording:
        """As torch's, which stays on its stream where what it recorded is refused."""

        def __init__(self, graph: Any, *, pool: Any, stream: Stream, **given: Any) -> None:
            self.where = pool, stream

        def __enter__(self) -> None:
            self.before, now.stream = now.stream, self.where[1]
            now.log.append(self.where)

        def __exit__(self, kind: object, *_: object) -> None:
            now.log.append("end")
            if kind is not None:
                raise RuntimeError("operation failed due to a previous error during capture")
            now.stream = self.before

    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: None))
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: now.stream)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "graph", Recording)
    name = "_cuda_clearCublasWorkspaces"
    monkeypatch.setattr(torch._C, name, lambda: now.log.append("clear"), raising=False)
    return now


def test_graphs_that_share_memory_share_the_stream(gpu: SimpleNamespace) -> None:
    """torch gives freed memory to the stream alone that it was freed on."""
    given = dict(device=torch.device("cpu"), dtype=torch.float32, layout=torch.channels_last)
    run = Captured(lambda x: x + 1, **given)  # type: ignore[arg-type]
    for side in (1, 2):
        run(torch.zeros(1, 1, side, side))
    recordings = [each for each in gpu.log if isinstance(each, tuple)]
    assert len(recordings) == 2 and len({*recordings}) == 1


def test_a_graph_has_a_workspace_of_its_own(gpu: SimpleNamespace) -> None:
    """cuBLAS has none when a recording begins, and keeps none of it."""
    graph = CudaGraph()
    graph.record(lambda: gpu.log.append("work"))
    place = graph.pool.handle, graph.pool.stream
    assert gpu.log == [*["work"] * WARM_UP, "clear", place, "work", "end", "clear"]


def test_what_cannot_be_recorded(gpu: SimpleNamespace) -> None:
    """Work goes on where it was, and it is told why."""
    before = gpu.stream
    calls: list[int] = []

    def work() -> None:
        calls.append(len(calls))
        if len(calls) > WARM_UP:
            raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(NotRecordedError, match=r"wait for the GPU \(\.item"):
        CudaGraph().record(work)
    assert gpu.stream is before and gpu.log[-1] == "clear"


def test_steps_that_cannot_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way out is named."""

    def refused(*_: object) -> None:
        raise NotRecordedError("This work cannot be recorded as a CUDA graph")

    monkeypatch.setattr(captured, "why_not", lambda *_: None)
    monkeypatch.setattr(captured, "capturable", lambda *_: True)
    monkeypatch.setattr(captured, "CapturedStep", refused)
    trainer: Any = SimpleNamespace(recipe=short(), optimizer=None, device=torch.device("cpu"))
    images = object.__new__(captured.ResidentImages)
    with pytest.raises(ValueError, match="recorded as a CUDA graph.*capture=False"):
        captured.captured_step(trainer, images)


class OnTheDevice(TorchDispatchMode):
    """Refuses work with tensors of the host: a graph can neither fetch nor send them. (What reads
    a value on the host a device without values refuses.)"""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs, out)) if torch.is_tensor(each)]
        assert {each.device.type for each in tensors} == {"meta"}, func.name()
        return out


def _trained(model: torch.nn.Module, side: int) -> None:
    model.to("meta").train()
    with OnTheDevice():
        model(torch.empty(4, 3, side, side, device="meta")).sum().backward()


@each_kind
def test_families_train_on_the_device_alone(family: str) -> None:
    _trained(small(family), 64)


@pytest.mark.parametrize("gate", [*ATTENTION])
def test_gates_train_on_the_device_alone(gate: str) -> None:
    _trained(create_model("resnet20_cifar", attention=gate, layers=(1, 1, 1)), 32)


@pytest.mark.parametrize("policy", ["trivialaugment", "randaugment"])
def test_batches_are_augmented_on_the_device_alone(policy: str) -> None:
    recipe = Recipe(
        augment="batches", auto_augment=policy, random_erasing=0.5, cutout=4, mixup=0.2, cutmix=1.0
    )
    colour = (0.5, 0.4, 0.3)
    move = ShiftFlip(True, True, Batched(recipe, colour))
    windows = move.windows(torch.empty(20, 3, 32, 32, dtype=torch.uint8, device="meta"))
    normalise = Normalise(colour, colour, torch.device("meta"))
    mix = Mixing(recipe.mixup, recipe.cutmix, 10)
    rows = torch.empty(8, dtype=torch.long, device="meta")
    draws = torch.empty(20, move.columns, device="meta")[rows]
    with OnTheDevice():
        images = normalise(move.pick(windows, rows, draws))
        images, shares = mix(images, rows, move.mixing(draws))
    assert images.shape == (8, 3, 32, 32) and shares.shape == (8, 10)
