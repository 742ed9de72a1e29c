"""What is minimised."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .recipe import Recipe


class BinaryCrossEntropy(nn.Module):
    """Each class is a question of its own (ResNet strikes back, section 3): of an image that mixes
    two, both classes are right. The mean over images and classes, as timm's.

    Targets are labels (N,) or shares (N, classes); logits (N, classes).
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        classes = logits.shape[1]
        if targets.ndim == 1:
            targets = F.one_hot(targets, classes)
        there = (targets > 0).to(logits.dtype)
        off = self.label_smoothing / classes
        return F.binary_cross_entropy_with_logits(logits, there * (1 - self.label_smoothing) + off)


def make_loss(recipe: Recipe) -> nn.Module:
    """The recipe's loss: logits and labels, or shares of classes, to a number."""
    if recipe.loss == "bce":
        return BinaryCrossEntropy(recipe.label_smoothing)
    return nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
