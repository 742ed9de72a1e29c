"""What a run gave."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """What a run gave. Accuracies are shares of the test images, in percent."""

    label: str
    seed: int
    top1: float
    top5: float | None
    """None with five classes or fewer"""
    test_loss: float | None
    """None if it is no finite number: the run diverged"""
    corrupted: dict[str, float]
    """top-1 on corrupted test images"""
    params: int
    macs: int
    memory_access: int
    """bytes that the layers read and write for one image"""
    train_speed: float
    """images/s of training steps, the median of the epochs"""
    test_speed: float | None
    """images/s of inference in batches of the recipe's size"""
    train_memory: int | None
    """bytes that a training step takes at its peak (GPU), or keeps for the backward pass (CPU)"""
    wait: float
    """share of the training time that steps waited for images"""
    epochs: float
    seconds: float
    shape: tuple[int, int, int]
    classes: list[str]
    train_images: int
    test_images: int
    flipped_labels: int
    unreadable: dict[str, str]
    """images that were left out, and why"""
    config: dict[str, Any]
    recipe: dict[str, Any]
    history: list[dict[str, Any]] = field(repr=False)
    """a line an epoch"""
    val_top1: float | None = None
    """top-1 on the held out training images, if there are any"""
    last_top1: float | None = None
    """top-1 of the last weights where averaged ones are tested"""
    diverged: int | None = None
    """the step at which the loss was seen to be no number, which ended the training"""
    data: dict[str, str] = field(default_factory=dict)
    """digests of the classes, the training, held out and test images"""
    start: str | None = None
    """digest of the weights that the training began with, if it did with any"""

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Result:
        """The result that ``to_dict`` gave."""
        known = [each.name for each in dataclasses.fields(cls)]
        kept = {
            name: value for name, value in values.items() if name not in ("run", "files", "digest")
        }
        if odd := sorted({*kept} - {*known}):
            raise ValueError(f"No fields of a run's result: {', '.join(odd)}.")
        try:
            # an earlier version kept the digest in the run's identity alone
            start = values.get("run", {}).get("recipe", {}).get("weights")
            return cls(**{"start": start, **kept, "shape": tuple(kept["shape"])})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"Not the result of a run: {error}.") from error
