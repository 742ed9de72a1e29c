"""Tensors that are not what they should be, or that only look odd."""

from __future__ import annotations

import math
import random
import string
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from resnet_variants.network import Network

from .. import making
from ..fuzzing import Case
from ..making import FIRST, HEAD, NORM, state
from .kinds import kind, loading

# Tensors ------------------------------------------------------------------------------------------


@kind(22)
def tensors(r: random.Random) -> Case:
    """One tensor of the dictionary is not what it should be; or all are, and look odd."""
    content: dict[Any, Any] = state()
    weight = r.choice([name for name in content if name.endswith(("weight", "bias"))])
    norm = NORM if r.random() < 0.5 else "stem.convs.0.norm."
    count, variance = norm + "num_batches_tracked", norm + "running_var"
    tensor = content[weight]
    how, expected = r.choice(
        (
            ("nan", "refused"),
            ("inf", "refused"),
            ("overflow", "refused"),
            ("variance", "refused"),
            ("variance nan", "refused"),
            ("count", "refused"),
            ("count odd", "refused"),
            ("count gone", "other"),
            ("integer", "refused"),
            ("complex", "refused"),
            ("float8", "refused"),
            ("sparse", "refused"),
            ("sparse rows", "refused"),
            ("quantised", "refused"),
            ("meta", "refused"),
            ("nested", "refused"),
            ("expanded huge", "refused"),
            ("expanded", "other"),
            ("shared", "other"),
            ("strided", "same"),
            ("part of a storage", "same"),
            ("double", "same"),
            ("parameter", "same"),
            ("shape", "refused"),
            ("zero size", "refused"),
            ("gone", "refused"),
            ("extra", "refused"),
            ("renamed", "refused"),
            ("number as name", "either"),
            ("not a tensor", "refused"),
            ("negated", "either"),
        )
    )
    if how in ("nan", "inf"):
        tensor.view(-1)[r.randrange(tensor.numel())] = (
            r.choice((math.inf, -math.inf)) if how == "inf" else math.nan
        )
    elif how == "overflow":
        content[weight] = tensor.double().fill_(r.choice((1e300, -1e39)))
    elif how == "variance":
        content[variance][r.randrange(8)] = -r.choice((1.0, 1e-30))
    elif how == "variance nan":
        content[variance][0] = math.nan
    elif how == "count":
        content[count] = torch.tensor(r.choice((-5, 0.5, math.nan, math.inf, -1.0, 1e30, True, 1j)))
    elif how == "count odd":
        content[count] = r.choice(_odd_tensors())(torch.tensor(1.0))
    elif how == "count gone":
        del content[count]
    elif how == "integer":
        content[weight] = tensor.to(r.choice((torch.int8, torch.int64, torch.bool, torch.uint8)))
    elif how == "complex":
        content[weight] = tensor.to(torch.complex64)
    elif how == "float8":
        content[weight] = tensor.to(r.choice((torch.float8_e4m3fn, torch.float8_e5m2)))
    elif how == "sparse":
        content[weight] = tensor.to_sparse()
    elif how == "sparse rows":
        content[HEAD] = content[HEAD].to_sparse_csr()
    elif how == "quantised":
        content[weight] = torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)
    elif how == "meta":
        content[weight] = tensor.to("meta")
    elif how == "nested":
        content[weight] = torch.nested.nested_tensor([tensor.flatten()])
    elif how == "expanded huge":
        size = r.choice(((2**44,), (2**20, 2**24), (2**62,), (2**30, *tensor.shape[1:])))
        content[r.choice((weight, HEAD, FIRST))] = torch.zeros(1).expand(size)
    elif how == "expanded":
        content[weight] = torch.full((1,), 2.0).expand(tensor.shape)
    elif how == "shared":
        content["stages.1.0.conv1.norm.weight"] = content["stages.1.0.conv2.norm.weight"]
    elif how == "strided":
        whole = torch.empty(*tensor.shape, 2)
        whole[..., 1] = tensor
        content[weight] = r.choice(
            (
                whole[..., 1],
                tensor.flip(0).flip(0),
                tensor.T.contiguous().T if tensor.ndim == 2 else whole[..., 1],
            )
        )
    elif how == "part of a storage":
        whole = torch.cat([each.flatten() for each in content.values() if each.is_floating_point()])
        at = 0
        for name, each in content.items():
            if each.is_floating_point():
                content[name] = whole[at : at + each.numel()].view(each.shape)
                at += each.numel()
    elif how == "double":
        content = {
            k: v.double() if v.is_floating_point() else v.to(r.choice((torch.int32, torch.float32)))
            for k, v in content.items()
        }
    elif how == "parameter":
        content[weight] = torch.nn.Parameter(tensor)
        content[weight].hint = "an attribute"
    elif how == "shape":
        content[weight] = r.choice(
            (
                tensor.flatten(),
                tensor[None],
                tensor[:-1],
                tensor.T if tensor.ndim == 2 else tensor[None],
                tensor.repeat(2, *[1] * (tensor.ndim - 1)),
            )
        )
        if content[weight].shape == tensor.shape:
            del content[weight]
    elif how == "zero size":
        content[weight] = torch.empty(r.choice(((0,), (0, 3), (2**40, 0), (*tensor.shape, 0))))
    elif how == "gone":
        del content[weight]
    elif how == "extra":
        content[
            "".join(r.choices(string.ascii_letters + ".\n\0é", k=9)) + r.choice((".weight", ""))
        ] = torch.ones(3)
        content[r.choice(("stages.9.", "x.")) + "weight"] = torch.ones(1)
    elif how == "renamed":
        content[weight + r.choice((" ", ".", "_"))] = content.pop(weight)
    elif how == "number as name":
        content[r.choice((7, 0.5, None, (1, 2), b"x"))] = torch.ones(2)
    elif how == "not a tensor":
        content[weight] = r.choice((None, 3, "x", [1.0], tensor.tolist()))
    elif how == "negated":
        content[weight] = torch._neg_view(-tensor)
    return _given(r, f"tensors: {how}", content, expected)


def _odd_tensors() -> list[Callable[[Tensor], Tensor]]:
    return [
        lambda t: torch.sparse_coo_tensor(torch.zeros(0, 1, dtype=torch.long), torch.ones(1), ()),
        lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
        lambda t: t.to("meta"),
        lambda t: t.to(torch.complex64),
        lambda t: torch.nested.nested_tensor([torch.ones(1)]),
        lambda t: torch.ones(2),
        lambda t: torch.ones(1, 1, 1) * 0.5,
        lambda t: torch.empty(0),
        lambda t: torch.ones(1).expand(2**40),
    ]


def _given(r: random.Random, name: str, content: Any, expected: str) -> Case:
    """From memory or from a file; ``other``: taken, with exactly the values that were given."""
    source: Any = content
    if r.random() < 0.6:
        try:
            source = r.choice((making.pth, making.old))(content)
            name += ", file"
        except Exception:  # not everything can be written
            source = content
    if expected != "other":
        return loading(name, source, expected)
    case = loading(name, source, "either", told=False)

    def taken(model: Network) -> str | None:
        got = model.state_dict()
        wanted = {k: content.get(k, torch.tensor(0)) for k in got}
        return None if all(torch.equal(got[k], wanted[k]) for k in got) else "silent: other weights"

    case.taken = taken
    return case
