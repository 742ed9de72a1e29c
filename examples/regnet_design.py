"""RegNet: the line u_j, its quantisation into stages, and design spaces compared as populations.

A RegNet's block j would be u_j = w_0 + w_a j channels wide. The width is rounded to the nearest
w_0 w_m^s, s a whole number, and to a multiple of 8; blocks of equal width are a stage. So four
numbers say depths and widths of all stages (Radosavovic et al., CVPR 2020).

The paper comes to this space by comparing populations, not networks: draw networks of one budget
from each space, train each for a short time, and compare the distributions of their errors. Here
that is done in miniature: the free space AnyNetX-A (depth, width, bottleneck and groups of each
stage are drawn) against RegNetX, on digits of 8x8.

    python examples/regnet_design.py
"""

from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib
import tyro
from scipy import stats  # type: ignore[import-untyped]

from resnet_variants import model_config
from resnet_variants.builders.regnet import linear_width, quantised_width
from resnet_variants.comparison import Trial, run_trial
from resnet_variants.design_space import plot_edf, sample
from resnet_variants.training import PRESETS

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SPACES = ("anynetx_a", "regnetx")


def draw_line(ax: Any, name: str) -> None:
    """The line, its quantisation, and the stages of a network."""
    config: Any = model_config(name)
    line = [linear_width(j, config.w_0, config.w_a) for j in range(config.depth)]
    widths = [quantised_width(u, config.w_0, config.w_m) for u in line]
    print(f"{name}: u_j = {config.w_0} + {config.w_a} j, steps of {config.w_m}")
    start = 0
    for i, shape in enumerate(config.stage_shapes, 1):
        print(
            f"  stage {i}: {shape.depth} blocks, u_j {line[start]:.0f} to "
            f"{line[start + shape.depth - 1]:.0f}, quantised {widths[start]}, built {shape.out} "
            f"(groups of {shape.mid // shape.groups})"
        )
        ends = [start - 0.5, start + shape.depth - 0.5]
        ax.plot(ends, [widths[start]] * 2, color="C1", label="quantised: a stage" if i == 1 else "")
        ax.plot([ends[0]] * 2, [0, max(line) * 1.15], color="0.85", linewidth=1, zorder=0)
        start += shape.depth
    ax.plot(line, "o", markersize=4, color="C0", label=f"$u_j$ = {config.w_0} + {config.w_a} j")
    ax.set(xlabel="block j", ylabel="channels", ylim=(0, max(line) * 1.15))
    ax.set_title(f"{name}: the line and its stages", fontsize=11)
    ax.legend(fontsize=9)


def errors(space: str, count: int, fast: bool) -> list[float]:
    """Test errors of a population, in percent, each network trained for a short time."""
    networks = sample(
        space, count, macs=(4e5, 8e5), input_size=8, stem="cifar", in_chans=1, num_classes=10
    )
    recipe = PRESETS["digits"].replace(epochs=3, batch_size=32, train_images=512, test_every=3)
    if fast:
        recipe = recipe.replace(epochs=1, warmup_epochs=0, train_images=64, test_images=100)
    trial = Trial(
        networks={f"{space} {i}": config for i, config in enumerate(networks)},
        recipe=recipe,
        seeds=(0,),
    )
    with TemporaryDirectory() as folder:
        report = run_trial(trial, folder)
    return [100 - row.metrics["top1"].mean for row in report.rows]


def compare(populations: dict[str, list[float]]) -> None:
    """Print both distributions' figures, and whether they differ."""
    for space, found in populations.items():
        print(
            f"{space:10} {len(found)} networks: error {min(found):.1f} to {max(found):.1f} %, "
            f"mean {fmean(found):.1f}, median {median(found):.1f}"
        )
    free, line = populations.values()
    gain, p = fmean(free) - fmean(line), stats.mannwhitneyu(line, free).pvalue
    print(
        f"RegNetX's mean error is {abs(gain):.1f} points {'lower' if gain > 0 else 'higher'} "
        f"(Mann-Whitney p = {p:.2g}{'' if p < 0.05 else ': too few networks to tell'})."
    )


def main(fast: bool = False, out: Path = Path("figures")) -> None:
    """Draw a line and two distributions, and print the stages and the populations' errors."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.4), layout="constrained")
    draw_line(left, "regnetx_004")
    populations = {space: errors(space, 2 if fast else 8, fast) for space in SPACES}
    compare(populations)
    plot_edf(populations, right)
    right.set_xlabel("test error %")
    right.set_title("Networks of 0.4 to 0.8 million MACs, trained on 512 digits", fontsize=11)
    right.legend(fontsize=8)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "regnet_design.png", dpi=100)


if __name__ == "__main__":
    tyro.cli(main)
