"""Receptive fields: Res2Net and SCNet against ResNet.

Res2Net adds each split's result to the next, so a unit holds up to three 3x3 convolutions in a
row; SCNet calibrates by a view at a quarter of the resolution. Both see further than ResNet with
the same number of units. The theoretical field is what can reach a position, the effective field
what does: for random weights it is a blob much smaller than the theoretical square.

    python examples/receptive_fields.py
"""

from pathlib import Path

import matplotlib
import torch
import tyro

from resnet_variants import create_model
from resnet_variants.explain import effective_receptive_field, receptive_field

matplotlib.use("Agg")
import matplotlib.pyplot as plt

NAMES = ("resnet50", "res2net50_26w_4s", "scnet50")


def main(fast: bool = False, out: Path = Path("figures")) -> None:
    """Print the theoretical fields, and draw the effective ones of the third stage."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 5), layout="constrained")
    print(f"{'':18}" + "".join(f"{level:>12}" for level in ("stem", *"1234")))
    for name, ax in zip(NAMES, axes, strict=True):
        torch.manual_seed(0)
        model = create_model(name, layers=(2, 2, 2, 2) if fast else (3, 4, 6, 3))
        fields = receptive_field(model, 768 if fast else 1536)
        print(
            f"{name:18}" + "".join(f"{'>' * f.clipped}{f.size:>{12 - f.clipped}}" for f in fields)
        )
        influence = effective_receptive_field(
            model, level=3, size=96 if fast else 224, samples=1 if fast else 4
        )
        share = (influence > 0.05).float().mean().sqrt().item() * len(influence)
        ax.imshow(influence.sqrt(), cmap="magma")
        ax.set_title(name)
        ax.set_xlabel(
            f"theoretical {fields[3].size} pixels,\nover 5 % of the greatest: {share:.0f}"
        )
        ax.set_xticks([])
        ax.set_yticks([])
    figure.suptitle("What one position of the third stage's output depends on (random weights)")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "receptive_fields.png", dpi=110)


if __name__ == "__main__":
    tyro.cli(main)
