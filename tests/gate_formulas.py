"""What the gates' papers write down, in numpy: another statement of the same formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
