"""Images that stay on the device: decoded once, padded once, augmented there a batch at a time.

What comes out is bitwise what the loader gives: the same order, the same shifts, the same flips.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.utils.data import Dataset

from .augment import ShiftFlip
from .images import IGNORED, Batch, Images


class ResidentImages(Dataset[Batch]):
    """All of ``images`` as one tensor on ``device``; batches by keys, as ``Images`` gives them.

    Raises ValueError for an image that cannot be read and for several shapes: those are the
    loader's, which can leave single images out.
    """

    def __init__(self, images: Images, device: torch.device) -> None:
        self.images = images
        self.move = images.shift_flip or ShiftFlip()
        whole = [images.transformed(0, position) for position in range(len(images))]
        if len({(each.shape, each.dtype) for each in whole}) > 1:
            raise ValueError("Images of several shapes cannot be one tensor.")
        self.windows = self.move.windows(torch.stack(whole).to(device))
        self.labels = torch.tensor(images.labels, device=device)
        self.device = device
        self._epoch: int | None = None
        self._draws = torch.zeros(len(images), self.move.columns, device=device)

    def of(self, images: Images) -> ResidentImages:
        """The same tensor for ``images`` of another seed, whose draws are their own."""
        other = copy.copy(self)
        other.images, other._epoch, other._draws = images, None, torch.zeros_like(self._draws)
        return other

    def start(self, epoch: int) -> None:
        """Draw the shifts and flips of an epoch, as the loader draws them."""
        if self.images.shift_flip is not None and self._epoch != epoch:
            draws = self.move.draws(epoch, len(self.images), self.images.seed)
            self._draws.copy_(draws, non_blocking=True)
        self._epoch = epoch

    def pick(self, positions: Tensor) -> Batch:
        """The batch at ``positions``, a tensor on the device."""
        draws = self._draws[positions]
        images = self.move.pick(self.windows, positions, draws)
        return Batch(images, self.labels[positions], [], self.move.mixing(draws))

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, keys: list[tuple[int, int]]) -> Batch:
        self.start(keys[0][0])
        positions = torch.tensor([position for _, position in keys])
        missing = positions == IGNORED
        batch = self.pick(positions.clamp(min=0).to(self.device, non_blocking=True))
        if missing.any():  # padding of a test's last batch
            missing = missing.to(self.device)
            labels = torch.where(missing, IGNORED, batch.labels)
            images = torch.where(missing.view(-1, 1, 1, 1), 0, batch.images)
            batch = Batch(images, labels, [])
        return batch
