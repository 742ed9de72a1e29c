"""A captured network: right outputs from any thread, at any shape, in bounded memory; on a CPU
with a stand-in for the graph, on a GPU (``pytest -m gpu``) with the real one."""

from __future__ import annotations

import gc
import random
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import get_ident
from typing import ClassVar
from weakref import WeakSet

import pytest
import torch

from resnet_variants import create_model, optimize_for_inference
from resnet_variants.deploy import BACKENDS, float32_as, pack
from resnet_variants.deploy.captured import MOST, PATIENCE, Captured

from .families import each_family, small
from .graphs import Repeated
from .test_deploy import _close, _with_statistics


class Counted(Repeated):
    """A stand-in that knows which of its kind there are."""

    living: ClassVar[WeakSet[Counted]] = WeakSet()

    def __init__(self) -> None:
        Counted.living.add(self)


def _captured(net: torch.nn.Module) -> Captured:
    return Captured(
        net,
        device=torch.device("cpu"),
        dtype=torch.float32,
        layout=torch.channels_last,
        make_graph=Counted,
    )


@pytest.mark.parametrize("calls", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_threads_and_shapes(calls: int) -> None:
    """Four threads, ten shapes in random order: each its own outputs, and no more graphs than
    are allowed."""
    torch.manual_seed(0)
    model = _with_statistics(create_model("resnet20_cifar", layers=(1, 1, 1)).eval())
    run = _captured(pack(model, torch.randn(1, 3, 32, 32), measure=False, target="cuda"))
    _check_threads(run, model, calls, "cpu")
    gc.collect()  # a stand-in holds the work that holds it
    assert len(run._held) == len(Counted.living) == MOST
    assert len(run._waiting) <= MOST


def _check_threads(run, model: torch.nn.Module, calls: int, device: str) -> None:
    batches = [torch.randn(1 + i % 3, 3, 32 + i, 40 - i, device=device) for i in range(10)]
    with torch.inference_mode(), float32_as("ieee"):
        expected = [model(batch) for batch in batches]

    def call(i: int) -> bool:
        with torch.inference_mode():
            found = run(batches[i])
            return _close(found, expected[i])

    order = random.Random(0).choices(range(10), k=calls)
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(call, order))


def test_a_shape_that_comes_takes_the_place_of_one_that_does_not() -> None:
    run = _captured(lambda x: x + 1)  # type: ignore[arg-type]
    shapes = [(1, 1, i, 1) for i in range(1, MOST + 3)]
    for shape in shapes:
        run(torch.zeros(shape))
    assert list(run._held) == shapes[:MOST]  # as many as are held; the others run as they are
    for _ in range(PATIENCE):
        run(torch.zeros(shapes[-1]))
    assert list(run._held) == [*shapes[1:MOST], shapes[-1]]
    for _ in range(3 * PATIENCE):  # all come: none gives way
        for shape in (*shapes[1:MOST], shapes[-1], shapes[0]):
            assert run(torch.zeros(shape)).min() == 1
    assert list(run._held) == [*shapes[1:MOST], shapes[-1]]


def test_outputs_are_the_callers_own() -> None:
    run = _captured(lambda x: [x, x * 2])  # type: ignore[arg-type]
    images = torch.ones(1, 1, 2, 2)
    first = run(images)
    images.fill_(5)
    second = run(images)
    assert [each.max() for each in first] == [1, 2]
    assert [each.max() for each in second] == [5, 10]
    assert run(images.double())[0].dtype == torch.float64


def test_two_networks_in_two_threads() -> None:
    """Each is recorded alone and as it asked for, and the settings of the process come back."""
    recording: list[int] = []
    seen: set[tuple[str, str]] = set()

    class Slow(Repeated):
        def record(self, work) -> None:
            recording.append(get_ident())
            time.sleep(0.01)
            assert len(recording) == 1
            super().record(work)
            recording.clear()

    def network(precision: str) -> Captured:
        def net(x: torch.Tensor) -> torch.Tensor:
            if get_ident() in recording:
                seen.add((precision, _precisions()[0]))
            return x + 1

        given = dict(device=torch.device("cpu"), dtype=torch.float32, layout=torch.channels_last)
        settings = partial(float32_as, precision)
        return Captured(net, **given, settings=settings, make_graph=Slow)  # type: ignore[arg-type]

    before = _precisions()
    networks = [network(each) for each in ("ieee", "tf32")]
    with ThreadPoolExecutor(2) as threads:
        for i in range(MOST):
            images = torch.zeros(1, 1, 1, 1 + i)
            assert [each.max() for each in threads.map(lambda run: run(images), networks)] == [1, 1]  # noqa: B023
    assert seen == {("ieee", "ieee"), ("tf32", "tf32")}
    assert _precisions() == before


def test_settings_come_back_in_any_order() -> None:
    """Those of two threads need not end as they began."""
    before = _precisions()
    first, second = float32_as("ieee"), float32_as("tf32")
    first.__enter__()
    second.__enter__()
    assert _precisions() == ["tf32", "tf32"]
    first.__exit__(None, None, None)
    assert _precisions() == ["tf32", "tf32"]
    second.__exit__(None, None, None)
    assert _precisions() == before


def _precisions() -> list[str]:
    places = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    return [place.fp32_precision for place in places]


def test_what_a_gpu_has_is_refused_on_a_cpu() -> None:
    model = create_model("resnet20_cifar", layers=(1, 1, 1)).eval()
    images = torch.randn(2, 3, 32, 32)
    for arguments, message in (
        ({"precision": "float16"}, "not offered on cpu: the nearest is precision='bfloat16'"),
        ({"precision": "tf32"}, "the nearest is precision='float32'"),
        ({"backend": "cuda_graphs"}, "runs on cuda, and the network is on cpu: there .*'torch'"),
    ):
        with pytest.raises(ValueError, match=message):
            optimize_for_inference(model, images, **arguments)  # type: ignore[arg-type]
    if not BACKENDS["tensorrt"].installed():
        with pytest.raises(ImportError, match="torch_tensorrt.*'cuda_graphs'"):
            optimize_for_inference(model, images, "tensorrt")


BOUNDS = {"float32": 1e-4, "tf32": 5e-3, "float16": 2e-2, "bfloat16": 1e-1}
"""of the greatest output: 24, 11, 11 and 8 bits of rounding through a network"""


@pytest.mark.gpu
@each_family
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_families_on_a_gpu(family: str, dtype: torch.dtype) -> None:
    """Each family can be recorded, at two sizes."""
    device, last = torch.device("cuda"), torch.channels_last
    model = _with_statistics(small(family).eval()).to(device)
    bound = BOUNDS[str(dtype).removeprefix("torch.")]
    with torch.inference_mode(), float32_as("ieee"):
        net = pack(model, torch.randn(2, 3, 64, 64, device=device), measure=False, dtype=dtype)
        run = Captured(net, device=device, dtype=dtype, layout=last)
        for shape in ((2, 3, 64, 64), (3, 3, 48, 71)):
            for _ in range(2):  # recorded, and replayed with other images
                images = torch.randn(shape, device=device)
                found, expected = run(images), model(images)
                assert (found - expected).abs().max() <= bound * expected.abs().max()


@pytest.mark.gpu
@pytest.mark.parametrize("precision", BOUNDS)
def test_precisions_on_a_gpu(precision: str) -> None:
    """On the last of several, which is not the current one."""
    device = torch.device("cuda", torch.cuda.device_count() - 1)
    model = _with_statistics(create_model("seresnet50", num_classes=10).eval()).to(device)
    images = torch.randn(4, 3, 128, 128, device=device)
    report = optimize_for_inference(model, images, precision=precision, rounds=1).report
    assert report.max_difference < BOUNDS[precision]
    assert {way.split()[0] for way in report.tried} == {"cuda_graphs"}


@pytest.mark.gpu
def test_compiled_on_a_gpu() -> None:
    model = _with_statistics(create_model("resnet20_cifar").eval()).cuda()
    images = torch.randn(4, 3, 32, 32, device="cuda")
    deployed = optimize_for_inference(model, images, "inductor", precision="float16", rounds=1)
    assert deployed.report.max_difference < BOUNDS["float16"]


@pytest.mark.gpu
def test_threads_and_shapes_on_a_gpu() -> None:
    """10,000 calls from four threads, each on a stream of its own; memory does not grow."""
    torch.manual_seed(0)
    model = _with_statistics(create_model("resnet20_cifar", layers=(1, 1, 1)).eval()).cuda()
    images = torch.randn(2, 3, 32, 32, device="cuda")
    run = optimize_for_inference(model, images, "cuda_graphs", rounds=1)

    def on_stream(batch: torch.Tensor) -> torch.Tensor:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            found = run(batch)
        stream.synchronize()
        return found

    def held() -> int:
        """Without what cuBLAS keeps for each thread and stream, which graphs do without."""
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()
        return torch.cuda.memory_allocated()

    _check_threads(on_stream, model, 1_000, "cuda")
    before = held()
    _check_threads(on_stream, model, 9_000, "cuda")
    assert held() < before + 2**24
