"""A Faster R-CNN on any network of the zoo, trained to find bright squares.

python examples/detection.py shufflenet_v2_x1_0 --steps 50
"""

from __future__ import annotations

import torch
import tyro
from torch import Tensor

from resnet_variants.detection import faster_rcnn


def scene(size: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """An image of noise with one bright square, and where it is."""
    image = 0.2 * torch.rand(3, size, size, generator=generator)
    side = int(torch.randint(size // 4, size // 2, (), generator=generator))
    x, y = torch.randint(0, size - side, (2,), generator=generator).tolist()
    image[:, y : y + side, x : x + side] += 0.8
    box = torch.tensor([[x, y, x + side, y + side]], dtype=torch.float32)
    return image, {"boxes": box, "labels": torch.ones(1, dtype=torch.int64)}


def train(name: str = "resnet18", /, *, steps: int = 20, size: int = 96) -> list[float]:
    """Train for some steps; the losses.

    Args:
        name: any network of the zoo that reduces its image 32 times
        steps: of two images each
        size: side of the images
    """
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = faster_rcnn(
        name,
        num_classes=2,
        norm_layer="groupnorm",  # two images are few for batch statistics
        detector={"min_size": size, "max_size": size, "rpn_post_nms_top_n_train": 100},
    )
    optimiser = torch.optim.AdamW(model.parameters(), 3e-4)
    losses = []
    for step in range(steps):
        images, targets = zip(*(scene(size, generator) for _ in range(2)), strict=True)
        loss = sum(model(list(images), list(targets)).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.detach().item())
        print(f"step {step}: loss {losses[-1]:.3f}")
    return losses


if __name__ == "__main__":
    tyro.cli(train)
