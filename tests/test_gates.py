"""Each gate of the collections is its paper's formula, said again in numpy; timm's and
pytorchcv's modules give the same; the papers' networks have the papers' parameters."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_variants import create_model, optimize_for_inference, profile
from resnet_variants.blocks.gates import ATTENTION

A = NDArray[np.float64]
P = dict[str, A]


def sigmoid(x: A) -> A:
    return 1 / (1 + np.exp(-x))


def softmax(x: A, axis: int) -> A:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def relu(x: A) -> A:
    return np.maximum(x, 0)


def conv(x: A, w: A, b: A | None = None, *, dilation: int = 1, stride: int = 1) -> A:
    """A convolution that keeps the size at stride 1; ``w`` is (C', C / groups, k, k)."""
    k, groups = w.shape[2], x.shape[1] // w.shape[1]
    p = dilation * (k // 2)
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    out = np.zeros((x.shape[0], w.shape[0], *x.shape[2:]))
    for o in range(w.shape[0]):
        first = o // (w.shape[0] // groups) * w.shape[1]
        for c, i, j in np.ndindex(*w.shape[1:]):
            rows, columns = i * dilation, j * dilation
            shifted = padded[:, first + c, rows : rows + x.shape[2], columns : columns + x.shape[3]]
            out[:, o] += w[o, c, i, j] * shifted
    out = out[:, :, ::stride, ::stride]
    return out if b is None else out + b[:, None, None]


def norm(x: A, p: P, name: str, axes: tuple[int, ...] = (0, 2, 3)) -> A:
    """Normalisation over the axes, as in training: batch statistics."""
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    shape = (-1, *(1 for _ in x.shape[2:]))
    return (x - mean) / np.sqrt(var + 1e-5) * p[f"{name}.weight"].reshape(shape) + p[
        f"{name}.bias"
    ].reshape(shape)


def linear(x: A, p: P, name: str) -> A:
    y = x @ p[f"{name}.weight"].T
    return y + p[f"{name}.bias"] if f"{name}.bias" in p else y


def mlp(y: A, p: P) -> A:
    return linear(relu(linear(y, p, "fc1")), p, "fc2")


def below(p: P, prefix: str) -> P:
    return {name[len(prefix) :]: v for name, v in p.items() if name.startswith(prefix)}


def spatial(x: A, p: P) -> A:
    pooled = np.stack((x.max(1), x.mean(1)), 1)
    return sigmoid(norm(conv(pooled, p["conv.weight"]), p, "norm"))


def cbam(x: A, p: P, order: tuple[str, ...] = ("channel", "spatial")) -> A:
    for part in order:
        q = below(p, f"{part}.")
        if part == "channel":
            w = sigmoid(mlp(x.mean((2, 3)), q) + mlp(x.max((2, 3)), q))
            x = x * w[:, :, None, None]
        else:
            x = x * spatial(x, q)
    return x


def bam(x: A, p: P, combine: Any = np.multiply) -> A:
    y = linear(x.mean((2, 3)), p, "fc1")
    y = relu(norm(y, p, "norm", (0,)))
    channels = linear(y, p, "fc2")[:, :, None, None]
    m = x
    for i in (0, 3, 6):
        m = conv(m, p[f"map.{i}.weight"], p[f"map.{i}.bias"], dilation=4 if i else 1)
        m = relu(norm(m, p, f"map.{i + 1}"))
    m = conv(m, p["map.9.weight"], p["map.9.bias"])
    return x * (1 + sigmoid(combine(channels, m)))


def triplet(x: A, p: P) -> A:
    places = x * spatial(x, below(p, "places."))
    t = x.transpose(0, 2, 1, 3)
    columns = (t * spatial(t, below(p, "columns."))).transpose(0, 2, 1, 3)
    t = x.transpose(0, 3, 2, 1)
    rows = (t * spatial(t, below(p, "rows."))).transpose(0, 3, 2, 1)
    return (places + columns + rows) / 3


def context(x: A, p: P) -> A:
    n, c, h, w = x.shape
    p = below(p, "context.")
    where = softmax(conv(x, p["conv.weight"], p["conv.bias"]).reshape(n, h * w), 1)
    y = np.einsum("ncp,np->nc", x.reshape(n, c, h * w), where)
    y = linear(y, p, "fc1")
    y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-5)
    y = relu(y * p["norm.weight"] + p["norm.bias"])
    return linear(y, p, "fc2")[:, :, None, None]


def fca(x: A, p: P) -> A:
    """For a map of 7 x 7, which is transformed as it is."""
    rows = [0, 0, 6, 0, 0, 1, 1, 4, 5, 1, 3, 0, 0, 0, 3, 2]
    columns = [0, 1, 0, 5, 2, 0, 2, 0, 0, 6, 0, 4, 6, 3, 5, 2]
    y = np.zeros(x.shape[:2])
    for c in range(x.shape[1]):
        u, v = rows[c // (x.shape[1] // 16)], columns[c // (x.shape[1] // 16)]
        for i, j in np.ndindex(7, 7):
            a = np.cos(np.pi * u * (i + 0.5) / 7) * (2**0.5 if u else 1) / 7**0.5
            b = np.cos(np.pi * v * (j + 0.5) / 7) * (2**0.5 if v else 1) / 7**0.5
            y[:, c] += x[:, c, i, j] * a * b
    return x * sigmoid(mlp(y, p))[:, :, None, None]


def srm(x: A, p: P) -> A:
    z = p["weight"][0] * x.mean((2, 3)) + p["weight"][1] * x.std((2, 3))
    return x * sigmoid(norm(z, p, "norm", (0,)))[:, :, None, None]


def gct(x: A, p: P) -> A:
    s = p["alpha"] * np.sqrt((x**2).sum((2, 3)) + 1e-5)
    s = s * p["gamma"] / np.sqrt((s**2).mean(1, keepdims=True) + 1e-5)
    return x * (1 + np.tanh(s + p["beta"]))[:, :, None, None]


def nam(x: A, p: P) -> A:
    scale = np.abs(p["norm.weight"])
    return x * sigmoid(norm(x, p, "norm") * (scale / scale.sum())[:, None, None])


def coordinate(x: A, p: P) -> A:
    lines = np.concatenate((x.mean(3), x.mean(2)), 2)[..., None]
    y = norm(conv(lines, p["conv1.weight"], p["conv1.bias"]), p, "norm")
    y = y * np.clip(y + 3, 0, 6) / 6
    rows, columns = y[:, :, : x.shape[2]], y[:, :, x.shape[2] :].transpose(0, 1, 3, 2)
    rows = sigmoid(conv(rows, p["conv_h.weight"], p["conv_h.bias"]))
    return x * rows * sigmoid(conv(columns, p["conv_w.weight"], p["conv_w.bias"]))


def group_norm(x: A, p: P, groups: int) -> A:
    y = x.reshape(x.shape[0], groups, -1)
    y = (y - y.mean(2, keepdims=True)) / np.sqrt(y.var(2, keepdims=True) + 1e-5)
    shape = (-1, *(1 for _ in x.shape[2:]))
    return y.reshape(x.shape) * p["norm.weight"].reshape(shape) + p["norm.bias"].reshape(shape)


def ela(x: A, p: P) -> A:
    def line(means: A) -> A:
        padded = np.pad(means, ((0, 0), (0, 0), (3, 3)))
        y = sum(
            padded[:, :, i : i + means.shape[2]] * p["conv.weight"][:, 0, i, None] for i in range(7)
        )
        return sigmoid(group_norm(y, p, 16))

    return x * line(x.mean(3))[..., None] * line(x.mean(2))[:, :, None]


def simam(x: A, p: P) -> A:
    d = (x - x.mean((2, 3), keepdims=True)) ** 2
    v = d.sum((2, 3), keepdims=True) / (x.shape[2] * x.shape[3] - 1)
    return x * sigmoid(d / (4 * (v + 1e-4)) + 0.5)


def sge(x: A, p: P) -> A:
    out = np.empty_like(x)
    for c in range(32):  # 64 groups are lowered to the 32 channels
        t = x[:, c] * x[:, c].mean((1, 2), keepdims=True)
        t = (t - t.mean((1, 2), keepdims=True)) / (t.std((1, 2), keepdims=True) + 1e-5)
        out[:, c] = x[:, c] * sigmoid(t * p["scale"][c] + p["shift"][c])
    return out


def lsk(x: A, p: P) -> A:
    near = conv(x, p["near.weight"], p["near.bias"])
    far = conv(near, p["far.weight"], p["far.bias"], dilation=3)
    near = conv(near, p["near_reduce.weight"], p["near_reduce.bias"])
    far = conv(far, p["far_reduce.weight"], p["far_reduce.bias"])
    both = np.concatenate((near, far), 1)
    maps = np.stack((both.mean(1), both.max(1)), 1)
    maps = sigmoid(conv(maps, p["select.weight"], p["select.bias"]))
    mixed = near * maps[:, :1] + far * maps[:, 1:]
    return x * conv(mixed, p["expand.weight"], p["expand.bias"])


def ema(x: A, p: P) -> A:
    """With groups of 8 channels."""
    out = np.empty_like(x)
    for g in range(4):
        part = x[:, 8 * g : 8 * g + 8]
        c, h = part.shape[1:3]
        lines = np.concatenate((part.mean(3), part.mean(2)), 2)[..., None]
        lines = sigmoid(conv(lines, p["conv1.weight"], p["conv1.bias"]))
        one = part * lines[:, :, :h] * lines[:, :, h:].transpose(0, 1, 3, 2)
        one = group_norm(one, p, c)
        three = conv(part, p["conv3.weight"], p["conv3.bias"])
        m = np.einsum("nc,nchw->nhw", softmax(one.mean((2, 3)), 1), three)
        m += np.einsum("nc,nchw->nhw", softmax(three.mean((2, 3)), 1), one)
        out[:, 8 * g : 8 * g + 8] = part * sigmoid(m)[:, None]
    return out


def shuffle(x: A, p: P) -> A:
    """With groups of 8 channels."""
    out = np.empty_like(x)
    for g in range(4):
        a, b = x[:, 8 * g : 8 * g + 4], x[:, 8 * g + 4 : 8 * g + 8]
        w = sigmoid(p["weight"][0] * a.mean((2, 3), keepdims=True) + p["bias"][0])
        out[:, 8 * g : 8 * g + 4] = a * w
        w = sigmoid(p["weight"][1] * group_norm(b, p, 4) + p["bias"][1])
        out[:, 8 * g + 4 : 8 * g + 8] = b * w
    return np.stack((out[:, :16], out[:, 16:]), 2).reshape(x.shape)


def ge_theta_plus(x: A, p: P) -> A:
    y = conv(x, p["gather.0.weight"], stride=2)
    y = relu(norm(y, p, "gather.1"))
    y = norm(conv(y, p["gather.3.weight"], stride=2), p, "gather.4")
    y = relu(conv(y, p["gather.5.weight"], p["gather.5.bias"]))
    y = conv(y, p["gather.7.weight"], p["gather.7.bias"])
    h, w = x.shape[2:]
    rows = np.arange(h) * y.shape[2] // h  # nearest
    columns = np.arange(w) * y.shape[3] // w
    return x * sigmoid(y[:, :, rows][..., columns])


FORMULAS: list[tuple[str, dict[str, Any], Any]] = [
    ("cbam", {}, cbam),
    ("cbam", {"order": "spatial_channel"}, lambda x, p: cbam(x, p, ("spatial", "channel"))),
    ("cbam", {"order": "channel", "bias": False}, lambda x, p: cbam(x, p, ("channel",))),
    ("cbam", {"order": "spatial"}, lambda x, p: cbam(x, p, ("spatial",))),
    ("bam", {}, bam),
    ("bam", {"combine": "sum"}, lambda x, p: bam(x, p, np.add)),
    ("triplet", {}, triplet),
    ("gc", {}, lambda x, p: x + context(x, p)),
    ("gc_scale", {}, lambda x, p: x * sigmoid(context(x, p))),
    ("fca", {}, fca),
    ("srm", {}, srm),
    ("gct", {}, gct),
    ("nam", {}, nam),
    ("coordinate", {}, coordinate),
    ("ela", {}, ela),
    ("simam", {}, simam),
    ("sge", {}, sge),
    ("lsk", {}, lsk),
    ("ema", {"groups": 4}, ema),
    ("shuffle", {"groups": 4}, shuffle),
    ("ge", {}, lambda x, p: x * sigmoid(x.mean((2, 3), keepdims=True))),
    ("ge", {"kind": "theta_plus", "extent": 4}, ge_theta_plus),
]


def random_weights(module: nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.5)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 32, 7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "args", "formula"),
    FORMULAS,
    ids=["-".join([name, *map(str, args.values())]) for name, args, _ in FORMULAS],
)
def test_formula(name: str, args: dict[str, Any], formula: Any, x: Tensor) -> None:
    gate = ATTENTION[name](32, **args).double().train()
    random_weights(gate)
    weights = {key: each.detach().numpy() for key, each in gate.named_parameters()}
    expected = torch.from_numpy(formula(x.numpy(), weights))
    torch.testing.assert_close(gate(x), expected, rtol=1e-9, atol=1e-9)


def test_every_collected_gate_has_a_formula() -> None:
    earlier = ("se", "eca", "ssa", "salient", "group_salient")  # test_attention.py
    own = {name for name in ATTENTION if not name.startswith(earlier)}
    assert own == {name for name, _, _ in FORMULAS}


@pytest.mark.parametrize("side", [(14, 14), (5, 9), (1, 1), (60, 57)])
def test_fca_pools_other_maps_as_its_authors_do(side: tuple[int, int]) -> None:
    gate = ATTENTION["fca"](32, size=14).double()
    x = torch.randn(2, 32, *side, dtype=torch.float64)
    pooled = torch.nn.functional.adaptive_avg_pool2d(x, 14)
    y = gate.spectrum(pooled)  # type: ignore[operator]
    torch.testing.assert_close(gate.spectrum(x), y)  # type: ignore[operator]
    torch.testing.assert_close(y[:, :2], x.new_tensor(14.0) * pooled.mean((2, 3))[:, :2])


@pytest.mark.parametrize("name", list(ATTENTION))
@pytest.mark.parametrize("side", [(1, 1), (5, 3)])
def test_gradients_on_small_and_odd_maps(name: str, side: tuple[int, int]) -> None:
    torch.manual_seed(0)
    gate = ATTENTION[name](32)
    x = torch.randn(2, 32, *side, requires_grad=True)
    gate(x).square().sum().backward()
    grads = {key: p.grad for key, p in gate.named_parameters()} | {"x": x.grad}
    assert all(grad is not None and grad.isfinite().all() for grad in grads.values()), grads


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", list(ATTENTION))
def test_half_precision_is_finite(name: str, dtype: torch.dtype) -> None:
    gate = ATTENTION[name](64).to(dtype).eval()
    x = 20 * torch.randn(1, 64, 28, 28, generator=torch.Generator().manual_seed(0)).to(dtype)
    with torch.no_grad():
        assert gate(x).isfinite().all()


@pytest.mark.parametrize("name", list(ATTENTION))
def test_traceable_and_on_meta(name: str) -> None:
    gate = ATTENTION[name](32).eval()
    traced = torch.fx.symbolic_trace(gate)
    x = torch.randn(2, 32, 6, 5)
    torch.testing.assert_close(traced(x), gate(x))
    assert gate.to("meta")(x.to("meta")).shape == x.shape


# What starts as the identity says so: a gate that multiplies with one, or adds nothing.
@pytest.mark.parametrize("name", ["gc", "gct"])
def test_starts_as_the_identity(name: str, x: Tensor) -> None:
    torch.testing.assert_close(ATTENTION[name](32).double()(x), x)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("cbam", {"order": "spatial_chanel"}, "spatial_channel"),
        ("cbam", {"reduction": 0}, "at least 1, not 0"),
        ("bam", {"combine": "add"}, "product"),
        ("ge", {"kind": "theta"}, "give extent 2, 4, 8"),
        ("ge", {"extent": 3}, "not 3"),
        ("fca", {"frequencies": 33}, "from 1 to 32, not 33"),
        ("ela", {"kernel_size": 4}, "odd"),
        ("nam", {"norm_layer": nn.Identity}, "has none"),
    ],
)
def test_wrong_arguments(name: str, args: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ATTENTION[name](32, **args)


# Parameters of ResNet-50 with the gate in millions, to the digits that the papers' tables print:
# CBAM's is checked against the published count, the others keep what this library counts.
PAPERS = {
    "cbam": 28.09,
    "triplet": 25.56,
    "simam": 25.56,
    "sge": 25.56,
    "srm": 25.62,
    "fca": 28.07,
}


@pytest.mark.parametrize("gate", PAPERS)
def test_parameters_of_resnet50(gate: str) -> None:
    params = profile("resnet50", attention=gate).params
    assert round(params / 1e6, 2) == PAPERS[gate]


def test_timm_has_the_same_cbam(x: Tensor) -> None:
    timm = import_module("timm.layers.cbam")
    ours = ATTENTION["cbam"](32, bias=False).double().eval()
    theirs = timm.CbamModule(32).double().eval()
    random_weights(ours)
    state = {
        "channel.fc1.weight": ours.channel.fc1.weight[..., None, None],  # type: ignore[union-attr]
        "channel.fc2.weight": ours.channel.fc2.weight[..., None, None],  # type: ignore[union-attr]
        # timm puts the mean first
        "spatial.conv.conv.weight": ours.spatial.conv.weight.flip(1),  # type: ignore[operator, union-attr]
        "spatial.conv.bn.weight": ours.spatial.norm.weight,  # type: ignore[union-attr]
        "spatial.conv.bn.bias": ours.spatial.norm.bias,  # type: ignore[union-attr]
    }
    theirs.load_state_dict(state, strict=False)
    torch.testing.assert_close(theirs(x), ours(x))


@pytest.mark.parametrize("name", ["gc", "gc_scale"])
def test_timm_has_the_same_global_context(name: str, x: Tensor) -> None:
    timm = import_module("timm.layers.global_context")
    adds = name == "gc"
    theirs = timm.GlobalContext(32, rd_channels=2, fuse_add=adds, fuse_scale=not adds).double()
    getattr(theirs, "mlp_add" if adds else "mlp_scale").norm.eps = 1e-5  # mmcv's, not timm's 1e-6
    ours = ATTENTION[name](32).double()
    random_weights(ours)
    mlp = "mlp_add" if adds else "mlp_scale"
    state = {}
    for key, each in ours.context.state_dict().items():  # type: ignore[union-attr]
        if key.startswith("conv"):
            state[key.replace("conv", "conv_attn")] = each
        else:
            state[f"{mlp}.{key}"] = (
                each[..., None, None] if key in ("fc1.weight", "fc2.weight") else each
            )
    theirs.load_state_dict(state)
    torch.testing.assert_close(theirs(x), ours(x))


@pytest.mark.parametrize("extent", [None, 2, 4])
def test_timm_has_the_same_gather_excite(extent: int | None, x: Tensor) -> None:
    """Without parameters: with them timm's raises a TypeError."""
    timm = import_module("timm.layers.gather_excite")
    theirs = timm.GatherExcite(32, extent=extent or 0, use_mlp=False)
    torch.testing.assert_close(theirs(x), ATTENTION["ge"](32, extent=extent)(x))


def test_timm_has_the_same_coordinate_attention(x: Tensor) -> None:
    timm = import_module("timm.layers.coord_attn")
    theirs = timm.CoordAttn(32, rd_channels=8, bias=True, act_layer=nn.Hardswish).double()
    ours = ATTENTION["coordinate"](32).double()
    random_weights(ours)
    with torch.no_grad():
        for a, b in zip(theirs.parameters(), ours.parameters(), strict=True):
            a.copy_(b)
    torch.testing.assert_close(theirs(x), ours(x))


def _network(gate: str) -> nn.Module:
    model = create_model(
        "resnet18", attention=gate, layers=(1, 1, 1, 1), widths=(32, 32, 64, 64), stem_width=32
    )
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ATTENTION))
@torch.no_grad()
def test_exported_for_all_sizes_and_compiled_without_a_break(name: str) -> None:
    torch.compiler.reset()
    model, any_size = _network(name), torch.export.Dim.DYNAMIC
    shapes = ({0: any_size, 2: any_size, 3: any_size},)
    program = torch.export.export(model, (torch.randn(2, 3, 96, 128),), dynamic_shapes=shapes)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for size in ((3, 3, 65, 97), (1, 3, 160, 40)):
        x = torch.randn(*size)
        torch.testing.assert_close(program.module()(x), model(x), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ATTENTION))
@torch.no_grad()
def test_deployed_form_gives_the_same(name: str) -> None:
    model, x = _network(name), torch.randn(2, 3, 65, 97)
    expected = model(x)
    deployed = optimize_for_inference(model, x, backend="torch", rounds=1)
    torch.testing.assert_close(deployed(x), expected, rtol=1e-3, atol=1e-3)
