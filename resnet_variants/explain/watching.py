"""A forward pass that is watched: eval mode for its time, and the shapes of what modules give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; then each module's own mode again."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def output_shapes(model: nn.Module, images: Tensor) -> dict[str, list[tuple[int, ...]]]:
    """What each module gave in one pass, a shape a call (empty for what is no tensor), in the
    order in which modules ended their first call. Eval mode, no gradient."""
    shapes: dict[str, list[tuple[int, ...]]] = {}

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def hook(_: nn.Module, __: object, output: object) -> None:
            shape = tuple(output.shape) if isinstance(output, Tensor) else ()
            shapes.setdefault(name, []).append(shape)

        return module.register_forward_hook(hook)

    handles = [watch(name, module) for name, module in model.named_modules() if name]
    try:
        with evaluating(model), torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return shapes
