"""Accuracy and loss over test images, on one process or several."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from .images import IGNORED


def finite(loss: float) -> float | None:
    """The loss, or None if it is no number any more, which JSON cannot say."""
    return loss if math.isfinite(loss) else None


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    num_classes: int,
    seen: Callable[[Tensor, Tensor], None] = lambda logits, labels: None,
) -> dict[str, Any]:
    """``top1`` and ``top5`` in percent and ``test_loss`` of (images, labels).

    ``seen`` is called with the logits and labels of each batch of this process. Labels
    ``IGNORED`` do not count; top-5 is None with five classes or fewer, where it means nothing. The
    metrics of torchmetrics add up what the processes saw.
    """
    from torchmetrics import MeanMetric
    from torchmetrics.classification import MulticlassAccuracy

    device = next(model.parameters()).device
    metrics = {
        f"top{k}": MulticlassAccuracy(
            num_classes, top_k=k, average="micro", ignore_index=IGNORED, validate_args=False
        ).to(device)
        for k in ((1, 5) if num_classes > 5 else (1,))
    }
    losses = MeanMetric().to(device)
    was_training = model.training
    model.eval()
    for images, labels in batches:
        logits = model(images).float()
        for metric in metrics.values():
            metric.update(logits, labels)
        seen(logits, labels)
        kept = labels != IGNORED
        loss = nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
        count = kept.sum()
        losses.update(loss / count.clamp(min=1), count)
    model.train(was_training)
    top = {name: round(100 * metric.compute().item(), 4) for name, metric in metrics.items()}
    return {
        "top1": top["top1"],
        "top5": top.get("top5"),
        "test_loss": finite(losses.compute().item()),
    }
