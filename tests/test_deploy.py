"""A deployed network gives the network's outputs, at any batch and size, and leaves it alone."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from resnet_variants import create_model
from resnet_variants.blocks import ConvNormAct
from resnet_variants.deploy import BACKENDS, Backend, DeployReport, optimize_for_inference, pack
from resnet_variants.deploy.branches import MergedBranches
from resnet_variants.deploy.cpu import PackedConv, WinogradConv, _forms
from resnet_variants.deploy.devices import DEVICES, has_bfloat16
from resnet_variants.deploy.gated import GatedUnit, gates_of_inputs
from resnet_variants.deploy.memory import resident
from resnet_variants.deploy.optimize import _allowed, _difference
from resnet_variants.deploy.race import race
from resnet_variants.deploy.units import ShuffledStage
from resnet_variants.export.formats import openvino_core

from .families import each_family, each_kind, small


def _ready(family: str, **changes: object) -> torch.nn.Module:
    """A representative in eval mode whose statistics are not the identity."""
    return _with_statistics(small(family, **changes).eval())


def _with_statistics(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1, generator=generator)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5, generator=generator)
    return model


def _close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return bool((found - expected).abs().max() <= 1e-4 * expected.abs().max())


@each_family
def test_packed_networks_agree(family: str) -> None:
    _agrees(family, channels_last=True)


@each_kind
def test_packed_networks_agree_in_nchw(family: str) -> None:
    _agrees(family, channels_last=False)


def _agrees(family: str, *, channels_last: bool) -> None:
    model = _ready(family)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    packed = pack(model, torch.randn(1, 3, 64, 64), channels_last=channels_last)
    with torch.inference_mode():
        for shape in ((1, 3, 64, 64), (3, 3, 48, 71)):
            images = torch.randn(shape)
            assert _close(packed(images), model(images))
    after = model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


@pytest.mark.parametrize(
    "changes",
    [
        {"attention": "se"},
        {"attention": "eca", "attention_at": "pre"},
        {"shortcut": "avg", "stem": "deep"},
        {"act_layer": "silu"},
        {"norm_layer": "groupnorm"},
        {"features_only": True, "out_indices": (4, 1)},
        {"dtype": torch.float64},
    ],
    ids=lambda changes: "-".join(map(str, changes)),
)
def test_other_parts(changes: dict[str, object]) -> None:
    torch.manual_seed(0)
    model = create_model("resnet26", widths=(16, 16, 32, 32), stem_width=16, **changes).eval()
    images = torch.randn(2, 3, 64, 96, dtype=next(model.parameters()).dtype)
    packed = pack(model, images)
    with torch.inference_mode():
        found, expected = packed(images), model(images)
    for a, b in zip(found, expected, strict=True) if model.out_indices else [(found, expected)]:
        assert a.dtype == b.dtype
        assert _close(a, b)


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_report(backend: str) -> None:
    model = create_model("resnet20_cifar", layers=(1, 1, 1)).eval()
    deployed = optimize_for_inference(model, torch.randn(2, 3, 32, 32), backend, rounds=1)
    report = deployed.report
    assert isinstance(report, DeployReport)
    assert report.backend == backend
    assert f"{backend} float32 {report.layout}" in report.tried
    assert report.max_difference < 1e-4
    assert report.speedup > 0 and report.cpu_speedup > 0
    assert report.precision == "float32" and not report.emulated and not report.refused
    assert not report.keeps_memory
    images = torch.randn(5, 3, 40, 33)
    with torch.inference_mode():
        assert _close(deployed(images), model(images))


@pytest.fixture
def own() -> Iterator[None]:
    """A back end of the user's own."""
    BACKENDS.register("own", Backend(lambda model, *_: {"NCHW": model}))
    yield
    BACKENDS.unregister("own")


@pytest.mark.usefixtures("own")
def test_auto_measures_what_is_installed_and_registered() -> None:
    model = create_model("resnet20_cifar", layers=(1, 1, 1)).eval()
    report = optimize_for_inference(model, torch.randn(2, 3, 32, 32), rounds=1).report
    assert {name.split()[0] for name in report.tried} >= {"torch", "onnxruntime"}
    assert "own float32 NCHW" in report.tried
    assert report.speedup == max(report.tried.values())


@pytest.mark.usefixtures("own")
def test_a_back_end_of_the_users_own() -> None:
    model = create_model("resnet20_cifar", layers=(1, 1, 1)).eval()
    report = optimize_for_inference(model, torch.randn(2, 3, 32, 32), "own", rounds=1).report
    assert report.backend == "own"


def test_refused() -> None:
    model = create_model("resnet20_cifar", layers=(1, 1, 1))
    images = torch.randn(2, 3, 32, 32)
    with pytest.raises(ValueError, match="call model.eval"):
        optimize_for_inference(model, images)
    with pytest.raises(ValueError, match="Did you mean 'torch'"):
        optimize_for_inference(model.eval(), images, "torhc")
    with pytest.raises(ValueError, match="rounds"):
        optimize_for_inference(model, images, rounds=0)
    with pytest.raises(ValueError, match="example is on meta"):
        optimize_for_inference(model, images.to("meta"))
    assert "inductor" in BACKENDS


@pytest.mark.parametrize("act", ["none", "relu", "sigmoid", "swish"])
@pytest.mark.parametrize("size", [(7, 7), (1, 3), (12, 9), (16, 32)])
def test_winograd(act: str, size: tuple[int, int]) -> None:
    """Its own activation, and the addition of a residual unit, at sizes with and without rest."""
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(24, 32, 3, padding=1)
    last = torch.channels_last
    x = torch.randn(3, 24, *size).contiguous(memory_format=last)
    shortcut = torch.randn(3, 32, *size).contiguous(memory_format=last)
    with torch.inference_mode():
        direct = PackedConv(conv, act=act)
        for tile in (2, 4):
            form = WinogradConv(conv, act=act, tile=tile)
            for found, expected in (
                (form(x), direct(x)),
                (form.add(x, shortcut, relu=True), direct.add(x, shortcut, relu=True)),
            ):
                assert found.is_contiguous(memory_format=last)
                assert _close(found, expected)


def test_forms_of_a_convolution_agree() -> None:
    torch.manual_seed(0)
    for conv, count in (
        (torch.nn.Conv2d(32, 16, 3, padding=1), 3),
        (torch.nn.Conv2d(32, 64, 3, 2, 1, groups=8), 2),
        (torch.nn.Conv2d(32, 16, 1), 1),
        (torch.nn.Conv2d(32, 32, 7, padding=9, dilation=3, groups=32), 2),
        (torch.nn.Conv2d(32, 32, (3, 5), padding=(2, 4), dilation=2, groups=32), 2),
        (torch.nn.Conv2d(32, 32, 3, padding=1, dilation=2, groups=32), 1),  # makes maps smaller
    ):
        forms = _forms(conv)
        assert len(forms) == count
        x, other = torch.randn(2, 2, 10, 9, 32).permute(0, 1, 4, 2, 3)  # channels-last
        with torch.inference_mode():
            y = conv(x)
            for make in forms:
                form = make(conv, "relu", tuple(x.shape))
                assert _close(form(x), y.relu())
                if y.shape == other.shape:
                    assert _close(form.add(x, other, relu=True), (y + other).relu())


def test_convolutions_of_gates_maps_are_packed() -> None:
    """But for those that see one number a channel."""
    images = torch.randn(1, 3, 64, 64)
    for gate, count in (("lsk", 0), ("cbam", 0), ("se_gc", 4)):
        model = create_model("resnet18", layers=(1, 1, 1, 1), widths=(16,) * 4, attention=gate)
        left = [each for each in pack(model, images).modules() if type(each) is torch.nn.Conv2d]
        assert len(left) == count


def test_measured_forms_agree() -> None:
    """A network large enough that its convolutions are measured."""
    torch.manual_seed(0)
    model = create_model("resnet18", layers=(1, 1, 1, 1)).eval()
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert _close(pack(model, images)(images), model(images))


class Doubled(torch.nn.Module):
    """A gate of the user's own that has a convolution and a normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.part = ConvNormAct(channels, channels, norm=torch.nn.BatchNorm2d, act=torch.nn.ReLU)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.part.norm(self.part.conv(x)) * self.part.conv.weight.mean()


@pytest.mark.parametrize("at", ["standard", "inner", "pre", "post", "identity"])
@pytest.mark.parametrize("gate", ["se", "ssa", Doubled])
def test_gates_anywhere(gate: object, at: str) -> None:
    torch.manual_seed(0)
    model = create_model(
        "resnet26", widths=(16, 16, 32, 32), stem_width=16, attention=gate, attention_at=at
    ).eval()
    images = torch.randn(2, 3, 64, 64)
    packed = pack(model, images)
    with torch.inference_mode():
        assert _close(packed(images), model(images))


@pytest.mark.parametrize(
    "gate", ["se", "eca", "ssa", "salient", "se_var1", "group_salient", Doubled]
)
def test_gates_of_inputs(gate: object) -> None:
    """What other runtimes read: a gate behind a 1x1 convolution, made of what that one reads."""
    config = dict(layers=(1, 1), widths=(16, 32), stem_width=16)
    model = _with_statistics(create_model("resnet26", attention=gate, **config)).eval()  # type: ignore[arg-type]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    net = gates_of_inputs(model)
    found = sum(isinstance(each, GatedUnit) for each in net.modules())
    assert found == (0 if gate in ("group_salient", Doubled) else 2)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert _close(net(images), model(images))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "shufflenet_v2_x0_5_megvii"])
def test_shuffles_in_weights(name: str) -> None:
    """No shuffle is left, and every level of the pyramid has its channels in order."""
    torch.manual_seed(0)
    model = create_model(name, features_only=True).eval()
    images = torch.randn(2, 3, 64, 64)
    packed = pack(model, images)
    assert sum(type(module) is ShuffledStage for module in packed.modules()) == 3
    with torch.inference_mode():
        for found, expected in zip(packed(images), model(images), strict=True):
            assert _close(found, expected)


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        # the branches that pool first, and those whose first window differs, stay as they are
        ("bn_inception_cifar", [[64] * 3, [64] * 3, [128, 64], [224, 64, 96]]),
        ("raninception56", [[16, 32, 32], [64, 64], [32, 64, 64], [128, 128]]),
    ],
)
def test_parallel_convolutions_become_one(name: str, widths: list[list[int]]) -> None:
    torch.manual_seed(0)
    model = create_model(name).eval()
    images = torch.randn(2, 3, 64, 64)
    packed = pack(model, images)
    merged = [each.widths for each in packed.modules() if isinstance(each, MergedBranches)]
    assert all(each in merged for each in widths)
    with torch.inference_mode():
        assert _close(packed(images), model(images))


def test_precisions_by_name_and_within_a_bound() -> None:
    torch.manual_seed(0)
    model = create_model("resnet20_cifar", layers=(1, 1, 1)).eval()
    images = torch.randn(8, 3, 32, 32)
    for backend, precision in (("torch", "bfloat16"), ("onnxruntime", "int8")):
        deployed = optimize_for_inference(
            model, images, backend, precision=precision, calibration=images, rounds=1
        )
        assert deployed.report.precision == precision
        assert deployed.report.emulated == (precision == "bfloat16" and not has_bfloat16())
        assert 1e-4 < deployed.report.max_difference < 0.1  # neither float32 nor broken
        logits = deployed(images[:3])
        assert logits.dtype == torch.float32
        half = images[:3].bfloat16()
        if precision == "bfloat16":  # images in what it computes in are taken, too
            found = deployed(half)
            assert found.dtype == torch.bfloat16 and torch.equal(found.float(), logits)
        else:
            with pytest.raises(TypeError, match="takes images in float32, not torch.bfloat16"):
                deployed(half)
        with pytest.raises(TypeError, match=f"{precision}, was chosen when it was made"):
            deployed(half.half())
    exact = optimize_for_inference(
        model, images, "torch", precision="auto", max_difference=1e-5, rounds=1
    ).report
    assert exact.precision == "float32" and exact.max_difference <= 1e-5
    assert all("bfloat16" in way and far > 1e-5 for way, far in exact.refused.items())


def test_refused_precisions() -> None:
    model = create_model("resnet20_cifar", layers=(1, 1, 1)).eval()
    images = torch.randn(2, 3, 32, 32)
    for arguments, message in (
        ({"precision": "float16"}, "the nearest is precision='bfloat16'"),
        ({"precision": "bfloat61"}, "Did you mean 'bfloat16'"),
        ({"precision": "auto"}, "needs max_difference"),
        ({"precision": "int8"}, "needs calibration"),
        ({"precision": "bfloat16", "backend": "onnxruntime"}, "'openvino' and .*'torch' have it"),
        ({"backend": "torch", "max_difference": 0.0}, "Nothing stays within max_difference"),
        ({"example": images[:0]}, "example holds no image"),
        ({"example": images.numpy()}, "example: .*not ndarray"),
        ({"calibration": [images]}, "calibration: .*not list; .*torch.cat of batches"),
        ({"calibration": images[:, :1]}, "calibration: Expected 3 channels"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            optimize_for_inference(model, **{"example": images} | arguments)
    with pytest.raises(ValueError, match=r"not torch.float64: call .float\(\)"):
        optimize_for_inference(model.double(), images.double())


def test_autocast_changes_no_deployed_network() -> None:
    """Neither where it is made nor where it is called."""
    model = _with_statistics(create_model("resnet20_cifar", layers=(1, 1, 1)).eval())
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        expected = model(images)
    with torch.autocast("cpu", torch.bfloat16):
        deployed = optimize_for_inference(model, images, "torch", rounds=1)
        found = deployed(images)
    assert deployed.report.max_difference < 1e-4
    assert found.dtype == torch.float32 and _close(found, expected)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_level_that_is_no_number_stays_within_no_difference(value: str) -> None:
    """That of a precision asked for by name, either, which overflowed."""
    good, bad = torch.ones(2), torch.tensor([1.0, float(value)])
    assert not _difference([good, bad], [good, good]) <= _allowed("float16", None)


def test_the_fastest_by_the_clock_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that only the ways move: the one with the least wall time, not CPU time."""
    now = {"wall": 0.0, "cpu": 0.0}

    def way(wall: float, cpu: float):
        def run() -> None:
            now["wall"] += wall
            now["cpu"] += cpu

        return run

    monkeypatch.setattr("time.perf_counter", lambda: now["wall"])
    monkeypatch.setattr("time.process_time", lambda: now["cpu"])
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    ways = {"eager": way(8, 8), "less wall": way(2, 4), "less CPU": way(4, 2)}
    wall, cpu = race(ways, "eager", rounds=3)
    assert wall == pytest.approx({"eager": 1, "less wall": 4, "less CPU": 2})
    assert cpu == pytest.approx({"eager": 1, "less wall": 2, "less CPU": 4})


def test_noise_of_the_eager_network_does_not_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    """A way is the fastest by its own times, whatever the eager network's were beside it."""
    now = {"wall": 0.0}

    def way(*seconds: float):
        calls = itertools.count(
            -1
        )  # the first is before the rounds, of each round's three two count

        def run() -> None:
            now["wall"] += seconds[max(next(calls), 0) // 3 % len(seconds)]

        return run

    monkeypatch.setattr("time.perf_counter", lambda: now["wall"])
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    ways = {"eager": way(4, 1, 1), "uneven": way(4, 1, 3), "steady": way(2, 2, 2)}
    wall, _ = race(ways, "eager", rounds=3)
    assert max(("uneven", "steady"), key=wall.__getitem__) == "steady"


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_threads_and_shapes(backend: str) -> None:
    _threads_and_shapes(backend, calls=200)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "precision"),
    [
        (name, precision)
        for name in BACKENDS
        if "cpu" in BACKENDS[name].devices
        for precision in BACKENDS[name].precisions
        if precision in DEVICES["cpu"]
    ],
)
def test_ten_thousand_calls(backend: str, precision: str) -> None:
    """Right outputs to the last, and memory that ends where it was after the first thousand."""
    BACKENDS[backend].require()
    if (backend, precision) == ("openvino", "bfloat16") and not _openvino_has("BF16"):
        with pytest.raises(ValueError, match="no bf16 on this machine.*precision='float32'"):
            _threads_and_shapes(backend, precision, calls=10)
        return
    _threads_and_shapes(backend, precision, calls=10_000)


def _openvino_has(kind: str) -> bool:
    found: list[str] = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return kind in found


def _threads_and_shapes(backend: str, precision: str = "float32", *, calls: int) -> None:
    """One deployed object from four threads, at ten shapes in random order."""
    torch.manual_seed(0)
    model = create_model("resnet20_cifar", layers=(1, 1, 1)).eval()
    batches = [torch.randn(1 + i % 3, 3, 32 + i, 40 - i) for i in range(10)]
    calibration = torch.randn(32, 3, 32, 40) if precision == "int8" else None
    run = optimize_for_inference(
        model, batches[0], backend, precision=precision, calibration=calibration, rounds=1
    )
    with torch.inference_mode():
        exact = [model(batch) for batch in batches]
    far = {"float32": 1e-4, "bfloat16": 0.03, "int8": 0.15}[precision]
    held: list[int] = []

    def check(i: int) -> bool:
        return bool((run(batches[i]) - exact[i]).abs().max() <= far * exact[i].abs().max())

    order = torch.randint(10, (calls,), generator=torch.Generator().manual_seed(0)).tolist()
    with ThreadPoolExecutor(4) as threads:
        for start in range(0, calls, 1000):
            assert all(threads.map(check, order[start : start + 1000]))
            held.append(resident("VmRSS") or 0)
    assert held[-1] < held[0] + 2**26, f"{backend}: {[each >> 20 for each in held]} MiB"
