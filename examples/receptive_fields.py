"""Receptive fields: Res2Net and SCNet against ResNet.

Res2Net adds each split's result to the next, so a unit holds up to three 3x3 convolutions in a
row; SCNet calibrates by a view at a quarter of the resolution. Both see further than ResNet with
the same number of units. The theoretical field is what can reach a position (dashed, where the
picture holds it), the effective field what does: for random weights it is a blob much smaller than
the theoretical square.

    python examples/receptive_fields.py
"""

from pathlib import Path

import matplotlib
import torch
import torch.nn.functional as F
import tyro

from resnet_variants import create_model
from resnet_variants.explain import effective_receptive_field, receptive_field

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

NAMES = ("resnet50", "res2net50_26w_4s", "scnet50")
LEVEL = 2  # the output of the second stage


def main(fast: bool = False, out: Path = Path("figures")) -> None:
    """Print the theoretical fields, and draw the effective ones of the second stage."""
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 4.6), layout="constrained")
    size = 96 if fast else 240
    print(f"{'':18}" + "".join(f"{level:>12}" for level in ("stem", *"1234")))
    for name, ax in zip(NAMES, axes, strict=True):
        torch.manual_seed(0)
        model = create_model(name, layers=(2, 2, 2, 2) if fast else (3, 4, 6, 3))
        fields = receptive_field(model, 768 if fast else 1536)
        sizes = [f"{'>' * field.clipped}{field.size}" for field in fields]
        print(f"{name:18}" + "".join(f"{each:>12}" for each in sizes))
        influence = effective_receptive_field(
            model, level=LEVEL, size=size, samples=1 if fast else 4
        )
        share = (influence > 0.05).float().mean().sqrt().item() * size
        smooth = F.avg_pool2d(influence[None], 4)[0]
        ax.imshow(smooth.sqrt(), cmap="magma", extent=(0, size, size, 0))
        # The picture is of the position behind the middle: its field is centred there.
        side = fields[LEVEL].size
        corner = size / 2 - side / 2
        ax.add_patch(Rectangle((corner, corner), side, side, fill=False, ec="w", ls="--"))
        ax.set(xlim=(0, size), ylim=(size, 0), xticks=[], yticks=[])
        ax.set_title(name)
        ax.set_xlabel(f"theoretical: {sizes[LEVEL]} pixels,\nover 5 % of the greatest: {share:.0f}")
    figure.suptitle("What one position of the second stage's output depends on (random weights)")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "receptive_fields.png", dpi=100)


if __name__ == "__main__":
    tyro.cli(main)
