"""Counts of a network: parameters, multiply-accumulates, activations, memory access cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .builders import build_on
from .config import NetworkConfig, check_count
from .registry import model_config

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
# Nothing is counted in them, and torch takes longer for their shapes on the meta device than for
# all other layers together.
_SAME_SHAPE = (nn.BatchNorm2d, nn.GroupNorm)


@dataclass(frozen=True)
class Counts:
    """Counts for one image, of a network or a part of one."""

    params: int
    """parameters"""
    macs: int
    """multiply-accumulates of convolutions and linear layers"""
    activations: int
    """numbers that convolutions and linear layers put out"""
    memory_access: int
    """memory access cost in bytes: what those layers read and write, weights and activations"""

    @property
    def flops(self) -> int:
        """Floating-point operations: two a multiply-accumulate."""
        return 2 * self.macs


@dataclass(frozen=True)
class Profile(Counts):
    """Counts of a whole network, and by ``stem``, ``stages.S`` and ``head``."""

    stages: dict[str, Counts]


def profile(
    model: str | NetworkConfig | nn.Module, input_size: int | tuple[int, int] = 224, **config: Any
) -> Profile:
    """Count a network by name, configuration or module, for one image of ``input_size``.

    Runs on the meta device, so that no network is too large. MACs come from torch's own counter
    and leave out what papers leave out: normalisation, activation, pooling, element-wise
    products. ``config`` are changes, as in ``create_model``.
    """
    from torch.utils.flop_counter import FlopCounterMode

    network = _on_meta(model, config)
    chans = network.config.in_chans if hasattr(network, "config") else 3
    sides = input_size if isinstance(input_size, (tuple, list)) else (input_size, input_size)
    if len(sides) != 2:
        raise ValueError(f"input_size must be one side or (height, width), not {input_size!r}.")
    for side in sides:
        check_count("input_size", side, 1)
    height, width = sides
    like = next(network.parameters(), torch.empty(0, device="meta"))
    image = torch.empty(1, chans, height, width, device="meta", dtype=like.dtype)

    sizes: dict[str, list[int]] = {}
    hooks = [
        module.register_forward_hook(_measure(sizes, name))
        for name, module in network.named_modules()
        if isinstance(module, _LAYERS)
    ]
    for module in network.modules():
        if type(module) in _SAME_SHAPE:
            module.forward = _same  # on a copy or a network of our own
    counter = FlopCounterMode(display=False)
    try:
        with counter, torch.no_grad():
            network(image)
    finally:
        for hook in hooks:
            hook.remove()
    macs = {
        part: sum(n for op, n in ops.items() if _counted(str(op))) // 2
        for part, ops in counter.get_flop_counts().items()
    }
    root = type(network).__name__
    parts = _parts(network)
    stages = {
        part: Counts(
            params=_params(network.get_submodule(part)),
            macs=macs.get(f"{root}.{part}", 0),
            **_sums(sizes, part + "."),
        )
        for part in parts
    }
    return Profile(
        params=_params(network), macs=macs.get("Global", 0), stages=stages, **_sums(sizes, "")
    )


def _on_meta(model: str | NetworkConfig | nn.Module, config: dict[str, Any]) -> Any:
    if isinstance(model, str):
        model = model_config(model)
    if isinstance(model, NetworkConfig):
        return build_on(model.replace(**config), device="meta").eval()
    if config:
        raise TypeError(f"{sorted(config)} change a name or a configuration, not a built network.")
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise TypeError(f"model must be a name, a configuration or a network, not {kind}.")
    import copy

    memo: dict[int, Any] = {}  # parameters become meta tensors without being copied first
    for tensor in [*model.parameters(), *model.buffers()]:
        meta = tensor.detach().to("meta")
        memo[id(tensor)] = (
            nn.Parameter(meta, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else meta
        )
    return copy.deepcopy(model, memo).eval()


def _same(x: torch.Tensor) -> torch.Tensor:
    return x


def _parts(network: nn.Module) -> list[str]:
    parts = []
    for name, child in network.named_children():
        if isinstance(child, nn.ModuleList):
            parts += [f"{name}.{i}" for i in range(len(child))]
        else:
            parts.append(name)
    return parts


def _params(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _counted(op: str) -> bool:
    return any(kind in op for kind in ("convolution", "addmm", ".mm"))


def _measure(sizes: dict[str, list[int]], name: str) -> Any:
    def hook(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        weights = sum(p.numel() for p in layer.parameters(recurse=False))
        numbers = inputs[0].numel() + output.numel() + weights
        sizes.setdefault(name, [0, 0])
        sizes[name][0] += output.numel()
        sizes[name][1] += numbers * output.element_size()

    return hook


def _sums(sizes: dict[str, list[int]], prefix: str) -> dict[str, int]:
    inside = [value for name, value in sizes.items() if name.startswith(prefix)]
    return {
        "activations": sum(value[0] for value in inside),
        "memory_access": sum(value[1] for value in inside),
    }
