"""The Residual Attention Network: its masks, 1 + M against M, and flipped labels.

A mask branch goes down to a small map and up again, and says for each channel and position how much
of the trunk's output counts. The paper (Wang et al., CVPR 2017) makes two claims that this tries in
miniature. Multiplying by M again and again weakens features, so deep networks learn worse with M T
(naive) than with (1 + M) T (residual). And masks keep the gradients of wrong labels away from the
trunk, so the network stands noise better than a ResNet.

    python examples/attention_masks.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib
import torch
import tyro
from torch import Tensor

from resnet_variants import NetworkConfig, build, create_model, initialise, model_config
from resnet_variants.blocks.attention_module import AttentionModule
from resnet_variants.comparison import Report, Trial, run_trial
from resnet_variants.explain import capture_attention
from resnet_variants.training import PRESETS, Recipe, load_data, train
from resnet_variants.training.augment import Normalise, evaluation_transform

matplotlib.use("Agg")
import matplotlib.pyplot as plt

NARROW: dict[str, Any] = dict(widths=(16, 32, 64, 64), in_chans=1)


def ran(*modules: int, **changes: Any) -> NetworkConfig:
    """A narrow network with so many attention modules in each stage, and short ones."""
    short: dict[str, Any] = dict(modules=modules, mask_depths=(1, 1, 0), t=1)
    return model_config("ran56_cifar").replace(**NARROW, **short, **changes)


def draw_masks(axes: Any, fast: bool) -> None:
    """The masks of a trained network over some test images."""
    recipe = PRESETS["digits"].replace(
        data="mnist5k", image_size=16, epochs=5, batch_size=32, lr=0.05, train_images=1200,
        test_images=200, test_every=5,
    )  # fmt: skip
    if fast:
        recipe = PRESETS["digits"].replace(
            image_size=8, epochs=1, warmup_epochs=0, train_images=64, test_images=100
        )
    with TemporaryDirectory() as folder:
        config = model_config("ran56_cifar").replace(**NARROW)
        result = train(config, recipe, folder, label="ran56")
        weights = Path(folder) / "model.safetensors"
        model = create_model("ran56_cifar", **NARROW, checkpoint_path=weights).eval()
    data = load_data(recipe)
    transform = evaluation_transform(recipe)
    digits = torch.stack([transform(data.test.load(i)) for i in range(len(axes))])
    with capture_attention(model) as record, torch.no_grad():
        model(Normalise(data.mean, data.std, torch.device("cpu"))(digits))
    masks = list(record.values())
    means = ", ".join(f"{mask.mean():.2f}" for mask in masks)
    print(f"ran56, narrow: {result.top1:.1f} % right; means of the three masks {means}")
    varied = masks[0].std((0, 2, 3)).argsort(descending=True)[:2].tolist()
    columns = {f"stage 1,\nchannel {c}": masks[0][:, c] for c in varied}
    columns |= {f"stage {i},\nmean": mask.mean(1) for i, mask in enumerate(masks, 1)}
    for row, digit in enumerate(digits):
        axes[row, 0].imshow(digit[0], cmap="gray_r")
        for ax, (title, maps) in zip(axes[row, 1:], columns.items(), strict=True):
            shown = ax.imshow(maps[row], cmap="magma", vmin=0, vmax=1)
            ax.set_title(title if row == 0 else "", fontsize=9)
    axes[0, 0].set_title("image", fontsize=9)
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
    axes[0, 0].figure.colorbar(shown, ax=axes, label="mask", shrink=0.7)


def draw_signal(ax: Any, modules: int) -> None:
    """The size of the features behind each attention module, with start values."""
    images = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    print(f"\n{3 * modules} modules, start values: size of features behind the first and the last")
    for learning in ("residual", "naive"):
        model = build(ran(*[modules] * 3, learning=learning)).train()
        initialise(model, 0)
        sizes: list[float] = []

        def keep(_: Any, __: Any, output: Tensor, sizes: list[float] = sizes) -> None:
            sizes.append(output.std().item())

        for module in model.modules():
            if isinstance(module, AttentionModule):
                module.register_forward_hook(keep)
        with torch.no_grad():
            model(images)
        ax.plot(range(1, len(sizes) + 1), sizes, "o-", markersize=3, label=LABELS[learning])
        print(f"  {LABELS[learning]:12}{sizes[0]:8.2f}{sizes[-1]:8.2f}")
    ax.set(yscale="log", xlabel="attention module", ylabel="standard deviation")
    ax.set_title("Features, start values", fontsize=10)
    ax.set_ylim(top=3 * ax.get_ylim()[1])  # room for the legend
    ax.legend(fontsize=8, loc="upper left")
    ax.grid(alpha=0.3)


LABELS = {"residual": "(1 + M) T", "naive": "M T"}


def small_recipe(fast: bool) -> Recipe:
    """Digits of 8x8, for a short time."""
    recipe = PRESETS["digits"].replace(epochs=4, batch_size=32, train_images=384, test_every=4)
    if fast:
        recipe = recipe.replace(epochs=1, warmup_epochs=0, train_images=32, test_images=100)
    return recipe


def learning_trial(fast: bool) -> Report:
    """Residual and naive learning with few and with many modules."""
    networks = {f"{3 * m} modules": ran(m, m, m) for m in ((1,) if fast else (1, 2))}
    trial = Trial(
        networks=networks,
        vary={"learning": list(LABELS)},
        recipe=small_recipe(fast),
        seeds=range(1 if fast else 2),
    )
    with TemporaryDirectory() as folder:
        return run_trial(trial, folder)


def noise_trial(fast: bool) -> Report:
    """The attention network and a ResNet, trained with labels of which some are wrong."""
    trial = Trial(
        networks={"ResNet-20": model_config("resnet20_cifar"), "RAN, 1 module": ran(1, 0, 0)},
        vary={"label_noise": [0.5] if fast else [0.0, 0.5]},
        recipe=small_recipe(fast),
        seeds=range(1 if fast else 2),
    )
    with TemporaryDirectory() as folder:
        return run_trial(trial, folder)


def draw_trial(ax: Any, report: Report, title: str, name: Any) -> None:
    """Top-1 of each row: its seeds, and their mean."""
    print(f"\n{title}, top-1 %: mean over seeds, and each")
    for y, row in enumerate(report.rows):
        scores = [run.top1 for run in row.runs]
        print(f"  {name(row):32}{row.metrics['top1'].mean:6.1f}   {scores}")
        ax.barh(y, row.metrics["top1"].mean, color=f"C{y % 2}", alpha=0.6)
        ax.plot(scores, [y] * len(scores), "k.", markersize=5)
    ax.set_yticks(range(len(report.rows)), [name(row) for row in report.rows], fontsize=8)
    ax.invert_yaxis()
    ax.set(xlim=(0, 100), xlabel="test top-1 %")
    ax.set_title(title, fontsize=10)


def main(fast: bool = False, out: Path = Path("figures")) -> None:
    """Draw masks, the size of features, and both trials; print the numbers."""
    figure = plt.figure(figsize=(10.5, 8), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.3, 1))
    above.suptitle("Masks of a small network trained on digits")
    draw_masks(above.subplots(3, 6), fast)
    left, middle, right = below.subplots(1, 3)
    draw_signal(left, 1 if fast else 6)
    draw_trial(
        middle,
        learning_trial(fast),
        "1 + M against M",
        lambda row: f"{row.label.split(' learning')[0]}, {LABELS[row.runs[0].config['learning']]}",
    )
    draw_trial(
        right,
        noise_trial(fast),
        "Wrong labels",
        lambda row: f"{row.label}, {row.runs[0].recipe['label_noise']:.0%}",
    )
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "attention_masks.png", dpi=100)


if __name__ == "__main__":
    tyro.cli(main)
