"""Semantic segmentation on any network of the zoo, trained to mark bright squares.

python examples/segmentation.py regnety_002 --steps 50
"""

from __future__ import annotations

import torch
import tyro
from torch import Tensor
from torch.nn import functional as F

from resnet_variants.detection import PyramidSegmenter


def scene(size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """An image of noise with one bright square, and each pixel's class."""
    image = 0.2 * torch.rand(3, size, size, generator=generator)
    side = int(torch.randint(size // 4, size // 2, (), generator=generator))
    x, y = torch.randint(0, size - side, (2,), generator=generator).tolist()
    image[:, y : y + side, x : x + side] += 0.8
    classes = torch.zeros(size, size, dtype=torch.int64)
    classes[y : y + side, x : x + side] = 1
    return image, classes


def train(name: str = "resnet18", /, *, steps: int = 20, size: int = 64) -> list[float]:
    """Train for some steps; the losses.

    Args:
        name: any network of the zoo that reduces its image 32 times
        steps: of four images each
        size: side of the images
    """
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = PyramidSegmenter(name, num_classes=2)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for step in range(steps):
        pairs = [scene(size, generator) for _ in range(4)]
        images, classes = (torch.stack(each) for each in zip(*pairs, strict=True))
        loss = F.cross_entropy(model(images), classes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        print(f"step {step}: loss {losses[-1]:.3f}")
    return losses


if __name__ == "__main__":
    tyro.cli(train)
