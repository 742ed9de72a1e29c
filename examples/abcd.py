"""ResNet-A to D: what each change does, and average against max pooling in the shortcut.

A 1x1 convolution with stride 2 reads one position in four: the other three quarters are lost.
ResNet-B moves the stride of the branch to the 3x3, ResNet-D lets the shortcut pool first. The
figure shows the gradient that each path sends to the unit's input. Max instead of mean pooling
in the shortcut reads all positions too, but each channel only its greatest. Is it better? A
trial of small networks that differ in nothing else tries to say.

    python examples/abcd.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib
import torch
import tyro
from torch import Tensor, nn

from resnet_variants import create_model, model_config
from resnet_variants.comparison import Report, Trial, run_trial
from resnet_variants.training import PRESETS

matplotlib.use("Agg")
import matplotlib.pyplot as plt

NETWORKS: dict[str, dict[str, Any]] = {
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


def draw_gradients(axes: Any, samples: int) -> None:
    """The gradient of each path, and the share of positions that get any."""
    print(f"{'':34}{'branch':>20}{'shortcut':>20}   (positions; channels at a position)")
    for column, (name, changes) in enumerate(NETWORKS.items()):
        unit: Any = create_model("resnet50", **changes).get_submodule("stages.1.0")
        x = torch.rand(samples, 256, 16, 16)
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


def pooling_trial(fast: bool) -> Report:
    """Small networks whose shortcuts stride, average or take the maximum, on digits."""
    recipe = PRESETS["digits"].replace(epochs=6, test_every=6)
    if fast:
        recipe = recipe.replace(epochs=1, warmup_epochs=0, train_images=64, test_images=100)
    trial = Trial(
        networks={"resnet8": model_config("resnet20_cifar").replace(layers=(1, 1, 1))},
        vary={"shortcut": ["conv", "avg", "max"]},
        recipe=recipe,
        seeds=range(1 if fast else 6),
    )
    with TemporaryDirectory() as folder:
        return run_trial(trial, folder)


def draw_trial(ax: Any, report: Report) -> None:
    """Top-1 of each shortcut, and its difference to the strided one, over the seeds."""
    print(f"\n{'shortcut':10}{'top-1 %':>16}   minus conv, 95 % confidence interval")
    for y, row in enumerate(report.rows):
        shortcut = row.runs[0].config["shortcut"]
        top1 = row.metrics["top1"]
        text = f"{top1.mean:.2f} ± {top1.sd or 0:.2f}"
        found = row.difference
        if found is not None and found.low is not None and found.high is not None:
            interval = f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
            ax.plot([found.low, found.high], [y, y], color="C0", linewidth=2)
            ax.plot(found.mean, y, "o", color="C0")
        else:
            interval = ""
        print(f"{shortcut:10}{text:>16}   {interval}")
        label = f"{shortcut}: {text} %"
        ax.text(0.01, y, label, transform=ax.get_yaxis_transform(), va="center")
    ax.axvline(0, color="0.5", linewidth=1)
    ax.set_ylim(len(report.rows) - 0.5, -0.5)
    ax.set_yticks([])
    ax.margins(x=0.6)
    seeds = len(report.rows[0].seeds)
    ax.set_xlabel(f"top-1 minus that of conv, points (95 % confidence, {seeds} seeds)")
    ax.set_title("The shortcut's pooling in a small network trained on digits", fontsize=11)


def main(fast: bool = False, out: Path = Path("figures")) -> None:
    """Draw the gradient of each path and the trial's differences, and print both."""
    torch.manual_seed(0)
    figure = plt.figure(figsize=(10.5, 8), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3, 1))
    above.suptitle("What a downsampling unit reads of a 16x16 map")
    draw_gradients(above.subplots(2, 4), 4 if fast else 32)
    draw_trial(below.subplots(), pooling_trial(fast))
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "abcd.png", dpi=100)


if __name__ == "__main__":
    tyro.cli(main)
