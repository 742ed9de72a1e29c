"""ResNet-A to D: which input positions a downsampling unit looks at, path by path.

A 1x1 convolution with stride 2 reads one position in four: the other three quarters are lost.
ResNet-B moves the stride of the branch to the 3x3, ResNet-D lets the shortcut pool first. The
figure shows the gradient that each path sends to the unit's input. Max instead of mean pooling
in the shortcut reads all positions too, but each channel only its greatest.

    python examples/abcd.py
"""

from pathlib import Path

import matplotlib
import torch
import tyro
from torch import Tensor, nn

from resnet_variants import create_model

matplotlib.use("Agg")
import matplotlib.pyplot as plt

NETWORKS = {
    "A: stride in the 1x1": dict(stride_in="conv1"),
    "B: stride in the 3x3": dict(),
    "D: mean pooling in the shortcut": dict(stem="deep", shortcut="avg"),
    "max pooling in the shortcut": dict(stem="deep", shortcut="max"),
}


def gradient(path: nn.Module, x: Tensor) -> Tensor:
    """The mean absolute gradient that a path sends to each (channel and) position of ``x``."""
    x = x.clone().requires_grad_()
    y = path(x)
    (grad,) = torch.autograd.grad(y, x, torch.randn_like(y))
    return grad.abs()


def main(fast: bool = False, out: Path = Path("figures")) -> None:
    """Draw the gradient of each path, and print the share of positions that get any."""
    torch.manual_seed(0)
    figure, axes = plt.subplots(2, 4, figsize=(12, 6.4), layout="constrained")
    print(f"{'':34}{'branch':>20}{'shortcut':>20}   (positions; channels at a position)")
    for column, (name, changes) in enumerate(NETWORKS.items()):
        unit = create_model("resnet50", **changes).stages[1][0]
        x = torch.rand(4 if fast else 32, 256, 16, 16)
        shares = []
        for row, path in enumerate((unit.branch, unit.shortcut)):
            grad = gradient(path, x)
            positions = (grad.sum((0, 1)) > 0).float().mean().item()
            numbers = (grad > 0).float().mean().item()
            shares.append(f"{positions:9.0%} {numbers:9.0%}")
            axes[row, column].imshow(grad.mean((0, 1)), cmap="viridis", vmin=0)
            axes[row, column].set_title(f"{name}\n" if row == 0 else "", fontsize=10)
            axes[row, column].set_xlabel(
                f"{('branch', 'shortcut')[row]}: {positions:.0%} of positions,\n"
                f"{numbers:.0%} of numbers get a gradient"
            )
            axes[row, column].set_xticks([])
            axes[row, column].set_yticks([])
        print(f"{name:34}{shares[0]:>20}{shares[1]:>20}")
    figure.suptitle("What a downsampling unit reads of a 16x16 map")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "abcd.png", dpi=110)


if __name__ == "__main__":
    tyro.cli(main)
