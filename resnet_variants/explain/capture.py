"""What a network's gates do: their weights, captured while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class AttentionRecord(Mapping[str, Tensor]):
    """The weights of each gate of the last forward pass, by the name of the module it sits in.

    Channel gates give (N, C), spatial ones (N, maps, H, W), selective kernels and split
    attention (N, branches, C) (of two branches the first one's share; the second has the rest),
    masks (N, C, H, W). Tensors are detached; a new forward pass replaces them.
    """

    def __init__(self) -> None:
        self._weights: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        try:
            return self._weights[name]
        except KeyError:
            seen = ", ".join(self._weights) or "none: no forward pass was made"
            raise KeyError(f"No gate {name!r} was captured. Captured: {seen}.") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: {tuple(w.shape)}" for name, w in self._weights.items())
        return f"AttentionRecord({shapes})"


def gates(model: nn.Module) -> dict[str, nn.Module]:
    """The modules of a model that gate, by name: those with a ``gate`` that makes weights."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(getattr(module, "gate", None), nn.Module)
    }


@contextmanager
def capture_attention(model: nn.Module) -> Iterator[AttentionRecord]:
    """Record every gate's weights while the model runs inside the block.

    Hooks exist inside the block alone, so that a model that is not being watched pays nothing.
    Raises ValueError for a model without gates, and TypeError for a compiled, scripted or
    exported one, in which there are no modules left to watch.

    >>> with capture_attention(model) as record:
    ...     model(image)
    >>> record["stages.3.2.attention"].shape
    """
    _refuse_compiled(model)
    found = gates(model)
    if not found:
        raise ValueError(
            f"This {type(model).__name__} has no gate to capture: create it with attention=, "
            "or attach one with attach_attention."
        )
    record = AttentionRecord()

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def hook(_: nn.Module, __: tuple[Tensor, ...], weights: Tensor) -> None:
            record._weights[name] = weights.detach()

        return found[name].gate.register_forward_hook(hook)  # type: ignore[union-attr]

    handles = [watch(name) for name in found]
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()


def _refuse_compiled(model: nn.Module) -> None:
    """Refuse what runs as a whole, itself or a part of it."""
    kinds = (torch.jit.ScriptModule, torch.fx.GraphModule)
    parts = model.named_modules() if isinstance(model, nn.Module) else [("", model)]
    for name, part in parts:
        if (
            not isinstance(part, nn.Module)
            or isinstance(part, kinds)
            or hasattr(part, "_orig_mod")  # torch.compile(part)
            or getattr(part, "_compiled_call_impl", None) is not None  # part.compile()
        ):
            raise TypeError(
                f"{name or 'This model'} ({type(part).__name__}) is compiled, scripted or "
                "exported: its modules no longer run one by one, so their gates cannot be seen. "
                "Capture the network that it was made of (of torch.compile: model._orig_mod)."
            )
