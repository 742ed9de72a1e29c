"""SE, ECA, SSA and Salient: how many parameters each gate has, and what each learns.

SE and ECA give each channel a weight, from the means of all channels (SE) or of its neighbours
(ECA). SSA and Salient give each position a weight: Salient by a learned 1x1 convolution, SSA by
the channels' own means. A network with each gate is trained on handwritten digits (MNIST); then
its gates are captured while it reads the test images.

The text that introduces Salient-Net and SSANet (github.com/AmigoCDT/Salient-Net) says that in
ResNet-50 Salient adds 3776 parameters, SE 891136 and SSA 100. The table counts.

    python examples/gates.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

from resnet_variants import create_model
from resnet_variants.explain import capture_attention
from resnet_variants.training import PRESETS, Recipe, load_data, train
from resnet_variants.training.augment import Normalise, evaluation_transform

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def added(name: str, gate: str, **args: Any) -> int:
    """Parameters that a gate adds to a network."""
    gated = create_model(name, attention=gate, attention_args=args, device="meta")
    plain = create_model(name, device="meta")
    return sum(p.numel() for p in gated.parameters()) - sum(p.numel() for p in plain.parameters())


def count_parameters() -> None:
    """What the gates add, and where 3776, 891136 and 100 come from."""
    print("Parameters added to resnet50 (16 units, C = 256, 512, 1024, 2048 channels)")
    rows = {
        "SE, reduction 16": ("2 C²/16 + C/16 + C", added("resnet50", "se")),
        "SE without biases": ("2 C²/16", added("resnet50", "se", bias=False)),
        "Salient": ("C + 2", added("resnet50", "salient")),
        "ECA": ("k = 5, 5, 5, 7", added("resnet50", "eca")),
        "SSA": ("2", added("resnet50", "ssa")),
    }
    for gate, (rule, count) in rows.items():
        print(f"  {gate:20}{rule:20}{count:12,}")
    planes = sum(n * c for n, c in zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True))
    outside = added("resnet50", "salient") - 2 * 16
    print(
        f"3776: the units' inner widths, 3*64 + 4*128 + 6*256 + 3*512 = {planes:,}. Salient gates\n"
        f"  the units' outputs, four times as wide: {outside:,} weights and 32 of normalisation.\n"
        f"  It is right for resnet34: {added('resnet34', 'salient') - 32:,} weights, and 32.\n"
        f"891136: {planes:,}²/16 = {planes**2 // 16:,}, half of SE's rule for one gate over all\n"
        f"  inner widths together, without biases. SE adds {added('resnet50', 'se'):,}.\n"
        f"100: 2 for each of 50 units, which is resnet152: {added('resnet152', 'ssa')}. "
        f"In resnet50 SSA adds {added('resnet50', 'ssa')}."
    )


def capture(gate: str, recipe: Recipe, images: Tensor) -> tuple[dict[str, Tensor], float]:
    """Train a network with a gate; its gates' weights for the images, and its accuracy."""
    parts: dict[str, Any] = dict(attention=gate, layers=(1, 1, 1), in_chans=1)
    config = create_model("resnet20_cifar", **parts, device="meta").config
    with TemporaryDirectory() as folder:
        result = train(config, recipe, folder, label=gate)
        weights = Path(folder) / "model.safetensors"
        model = create_model("resnet20_cifar", **parts, checkpoint_path=weights).eval()
    with capture_attention(model) as record, torch.no_grad():
        model(images)
        return dict(record), result.top1


def describe_channels(gate: str, weights: dict[str, Tensor], labels: Tensor) -> None:
    """How the weights vary: between channels, between images, and how much of that is class."""
    for name, w in weights.items():  # (N, C)
        classes = torch.stack([w[labels == c].mean(0) for c in labels.unique()])
        within = w - classes[labels]
        share = 1 - within.var(0).sum() / w.var(0).sum()
        print(
            f"  {gate:8}{name[:10]:12} mean {w.mean():.2f}, spread between channels "
            f"{w.mean(0).std():.3f}, between images {w.std(0).mean():.3f}, "
            f"of which class explains {share:.0%}"
        )


def describe_places(gate: str, weights: dict[str, Tensor], ink: Tensor) -> None:
    """The mean weight on strokes and beside them."""
    for name, w in weights.items():  # (N, 1, H, W)
        share = F.adaptive_avg_pool2d(ink, (w.shape[2], w.shape[3]))
        on, off = (w * share).sum() / share.sum(), (w * (1 - share)).sum() / (1 - share).sum()
        print(f"  {gate:8}{name[:10]:12} mean {w.mean():.2f}, on strokes {on:.2f}, off {off:.2f}")


def draw_channels(ax: Any, gate: str, weights: dict[str, Tensor], labels: Tensor) -> None:
    """The last gate's mean weight of each channel, by class."""
    last = list(weights.values())[-1]
    classes = torch.stack([last[labels == c].mean(0) for c in labels.unique()])
    order = classes.mean(0).argsort()
    image = ax.imshow(classes[:, order], aspect="auto", cmap="viridis", vmin=0, vmax=1)
    ax.set_title(f"{gate}: last gate, mean over the images of a digit", fontsize=10)
    ax.set_xlabel("channels, sorted")
    ax.set_ylabel("digit")
    ax.set_yticks(range(len(classes)))
    ax.figure.colorbar(image, ax=ax, label="weight")


def draw_places(axes: Any, gate: str, weights: dict[str, Tensor], digits: Tensor) -> None:
    """Two images and their maps at every depth."""
    for row, image in enumerate((0, 1)):
        axes[row, 0].imshow(digits[image, 0], cmap="gray_r")
        for ax, (name, w) in zip(axes[row, 1:], weights.items(), strict=True):
            shown = ax.imshow(w[image, 0], cmap="magma", vmin=0, vmax=1)
            if row == 0:
                ax.set_title(f"stage {name.split('.')[1]}", fontsize=9)
    axes[0, 0].set_title("image", fontsize=9)
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
    axes[0, 0].figure.colorbar(shown, ax=axes, label="weight", shrink=0.8)
    axes[0, 0].figure.suptitle(f"{gate}: weight of each position", fontsize=10)


def main(fast: bool = False, out: Path = Path("figures")) -> None:
    """Count parameters; train, capture, describe and draw the gates."""
    count_parameters()
    recipe = PRESETS["digits"].replace(
        data="mnist5k", image_size=20, epochs=5, batch_size=32, lr=0.05, train_images=2000,
        test_images=500, test_every=5,
    )  # fmt: skip
    if fast:
        recipe = PRESETS["digits"].replace(
            image_size=8, epochs=1, warmup_epochs=0, train_images=64, test_images=100
        )
    data = load_data(recipe)
    resized = evaluation_transform(recipe)
    digits = torch.stack([resized(data.test.load(i)) for i in range(len(data.test))])
    images = Normalise(data.mean, data.std, torch.device("cpu"))(digits)
    labels = torch.tensor(data.test.labels)
    ink = (digits > 64).float()

    figure = plt.figure(figsize=(10.5, 6.4), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    channels = above.subplots(1, 2)
    places = below.subfigures(1, 2)
    print(f"\nAfter {recipe.epochs:g} epochs on {recipe.train_images} digits, one seed:")
    for i, gate in enumerate(("se", "eca", "ssa", "salient")):
        weights, top1 = capture(gate, recipe, images)
        print(f"{gate}: {top1:.1f} % right")
        if i < 2:
            describe_channels(gate, weights, labels)
            draw_channels(channels[i], gate, weights, labels)
        else:
            describe_places(gate, weights, ink)
            draw_places(places[i - 2].subplots(2, 4), gate, weights, digits)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "gates.png", dpi=100)


if __name__ == "__main__":
    tyro.cli(main)
