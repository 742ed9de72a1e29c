"""Where squeeze-and-excitation sits in a residual unit: standard, pre, post, identity.

``standard`` gates the branch's end, ``pre`` its beginning, ``post`` what comes out of the
addition, ``identity`` the shortcut (Hu et al., Table 14). The last two put a weight between 0 and
1, one half at the start, on the way that gradients take past the branches, at every unit. It is
said that in deep networks gradients then vanish near the input. With batch normalisation the
opposite is seen: the branches, rescaled in every unit, take the shortcut's place, and gradients
grow towards the input as they do in networks without shortcuts. The figure shows the gradient of
each unit's output in a network of 56 layers with start values, and a trial says what small
networks learn with each placement.

    python examples/se_placement.py
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor, nn

from resnet_variants import NetworkConfig, build, initialise, model_config
from resnet_variants.comparison import Report, Trial, run_trial
from resnet_variants.training import PRESETS, load_data
from resnet_variants.training.augment import Normalise

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PLACES = ("standard", "pre", "post", "identity")


def variants(name: str, places: Sequence[str] = PLACES, **changes: Any) -> dict[str, NetworkConfig]:
    """A network without gates, and with SE in each place."""
    plain = model_config(name).replace(**changes)
    gated = {at: plain.replace(attention="se", attention_at=at) for at in places}
    return {"no gate": plain, **gated}


def gradients(config: NetworkConfig, images: Tensor, labels: Tensor) -> list[float]:
    """The norm of the loss's gradient at each unit's output, with start values."""
    model = build(config).train()
    initialise(model, 0)
    outputs: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Tensor) -> None:
        output.retain_grad()
        outputs.append(output)

    for stage in model.stages:
        for unit in stage:
            unit.register_forward_hook(keep)
    F.cross_entropy(model(images), labels).backward()
    return [output.grad.norm().item() for output in outputs if output.grad is not None]


def draw_gradients(ax: Any, fast: bool) -> None:
    """Gradient by depth, of a batch of digits."""
    data = load_data(PRESETS["digits"])
    count = 16 if fast else 64
    images = torch.stack([data.train.load(i) for i in range(count)])
    images = Normalise(data.mean, data.std, torch.device("cpu"))(images)
    labels = torch.tensor(data.train.labels[:count])
    name = "resnet20_cifar" if fast else "resnet56_cifar"
    print(f"{name}, start values: gradient at the first unit's output over that at the last one's")
    print("  (under 1: it vanishes near the input; over 1: it grows)")
    for at, config in variants(name, in_chans=1).items():
        norms = gradients(config, images, labels)
        print(f"  {at:10}{norms[0] / norms[-1]:10.2g}")
        ax.plot(range(1, len(norms) + 1), norms, label=at, linewidth=1.5)
    ax.set(yscale="log", xlabel="unit", ylabel="gradient's norm")
    ax.set_title(f"Gradients in {name}, start values", fontsize=11)
    ax.legend(fontsize=9)
    ax.grid(alpha=0.3)


def placement_trial(fast: bool) -> Report:
    """Networks that differ in the gate's place alone, on digits."""
    recipe = PRESETS["digits"].replace(epochs=5, test_every=5)
    if fast:
        recipe = recipe.replace(epochs=1, warmup_epochs=0, train_images=64, test_images=100)
    networks = variants("resnet20_cifar", PLACES[: 2 if fast else 4], layers=(2, 2, 2))
    trial = Trial(
        networks=networks,
        recipe=recipe,
        seeds=range(1 if fast else 4),
    )
    with TemporaryDirectory() as folder:
        return run_trial(trial, folder)


def draw_trial(ax: Any, report: Report) -> None:
    """Top-1 of each seed and the mean of all, and the difference to the standard place."""
    report = type(report).of(
        [run for row in report.rows for run in row.runs],
        order=[row.label for row in report.rows],
        baseline="standard",
    )
    print(f"\n{'place':10}{'top-1 %':>16}   minus standard, 95 % confidence interval")
    for x, row in enumerate(report.rows):
        top1, found = row.metrics["top1"], row.difference
        text = f"{top1.mean:.2f} ± {top1.sd or 0:.2f}"
        interval = ""
        if found is not None and found.low is not None and found.high is not None:
            interval = f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
        print(f"{row.label:10}{text:>16}   {interval}")
        ax.plot([x] * len(row.runs), [run.top1 for run in row.runs], "o", color=f"C{x}", alpha=0.5)
        ax.plot(x, top1.mean, "_", markersize=24, color=f"C{x}")
    ax.set_xticks(range(len(report.rows)), [row.label for row in report.rows])
    ax.set_ylabel("test top-1 %: seeds and mean")
    ax.set_title("A small network trained on digits", fontsize=11)
    ax.margins(x=0.12)
    ax.grid(alpha=0.3, axis="y")


def main(fast: bool = False, out: Path = Path("figures")) -> None:
    """Draw gradients and results of each placement, and print them."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
    draw_gradients(left, fast)
    draw_trial(right, placement_trial(fast))
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "se_placement.png", dpi=100)


if __name__ == "__main__":
    tyro.cli(main)
