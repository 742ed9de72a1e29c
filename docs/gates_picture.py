"""Draw docs/gates.png: what every gate makes of one photograph.

    python docs/gates_picture.py

The network is the packaged ResNet-20, trained on small photographs; each gate sits in the same
place, on its sixth unit's output. Where the package has the same network trained with the gate,
that one is taken; the other gates have the values that they start with.
"""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor

from resnet_variants import create_model, model_config
from resnet_variants.blocks.gates import ATTENTION
from resnet_variants.checkpoints import list_weights
from resnet_variants.explain import attach_attention, capture_attention

OUT = Path(__file__).parent / "gates.png"
PLACE, SIZE, COLUMNS = "stages.1.2", (128, 192), 7
TAG = "jpeg_cifar10"
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)


def photograph() -> Tensor:
    """(3, H, W) from 0 to 1."""
    image = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1) / 255
    return F.interpolate(image[None], SIZE, mode="bilinear", antialias=True)[0]


def trained() -> dict[str, str]:
    """Of each gate the packaged network that was trained with it."""
    plain, found = model_config("resnet20_cifar"), {}
    for each in list_weights():
        config = model_config(each.model)
        gate = getattr(config, "attention", None)
        if each.tag == TAG and gate and config == plain.replace(attention=gate):
            found[gate] = each.model
    return found


def factor(gate: str, image: Tensor, name: str | None) -> tuple[Tensor, str]:
    """The gate's weights, and with which values it made them."""
    model = create_model(name or "resnet20_cifar", pretrained=TAG).eval()
    if name is None:
        torch.manual_seed(0)
        attach_attention(model, gate, where=PLACE)
        model.eval()
    with capture_attention(model) as record, torch.no_grad():
        model(
            ((image - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None])[None]
        )
    gated: Any = model.get_submodule(PLACE).attention
    plain = "no parameters" if not list(gated.parameters()) else "untrained"
    return record[f"{PLACE}.attention"][0], "trained" if name else plain


def draw(axes: Axes, image: Tensor, weights: Tensor, title: str) -> None:
    """Gates with places over the photograph, others as a bar a channel."""
    low, high = float(weights.min()), float(weights.max())
    constant = high - low < 1e-3
    if weights.ndim == 3 and weights[0].numel() > 1 and not constant:
        over = weights.mean(0)
        low, high = float(over.min()), float(over.max())
        large = F.interpolate(over[None, None], SIZE, mode="bilinear")[0, 0]
        axes.imshow(image.mean(0), cmap="gray", vmin=0, vmax=1)
        first, last = large.quantile(torch.tensor([0.01, 0.99])).tolist()  # borders stand out
        axes.imshow(large, cmap="turbo", alpha=0.6, vmin=first, vmax=last)
        axes.axis("off")
    elif constant:
        axes.imshow(image.mean(0), cmap="gray", vmin=0, vmax=1)
        axes.axis("off")
    else:
        values = weights.flatten().tolist()
        axes.bar(range(len(values)), values, width=1.0, color="#4a6fa5")
        axes.set_box_aspect(SIZE[0] / SIZE[1])
        axes.set_xticks([])
        axes.tick_params(labelsize=6)
    span = f"{high:.2f} everywhere" if constant else f"{low:.2f} to {high:.2f}"
    axes.set_title(f"{title}\n{span}", fontsize=7)


def main() -> None:
    """Draw it."""
    image, known = photograph(), trained()
    rows = -(-(len(list(ATTENTION)) + 1) // COLUMNS)
    figure = Figure(figsize=(11, rows * 1.4 + 0.6), layout="constrained", dpi=110)
    panels = figure.subplots(rows, COLUMNS).flatten()
    panels[0].imshow(image.permute(1, 2, 0))
    panels[0].set_title("the photograph", fontsize=7)
    for axes in panels:
        axes.axis("off")
    for axes, gate in zip(panels[1:], ATTENTION, strict=False):
        axes.axis("on")
        weights, how = factor(gate, image, known.get(gate))
        draw(axes, image, weights, f"{gate} ({how})")
    note = (
        "What each gate multiplies with (gc: adds), on the output of the sixth unit of a trained "
        "ResNet-20. Maps: mean over the channels, blue low, red high, each scaled for itself. "
        "Bars: a channel each. Gray: the same weight everywhere. Untrained gates have the values "
        "that they start with: their pictures show what they can look at, not what they learn."
    )
    figure.suptitle("\n".join(textwrap.wrap(note, 150)), fontsize=8)
    drawn = io.BytesIO()
    figure.savefig(drawn)
    Image.open(drawn).convert("RGB").quantize(
        256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    ).save(OUT, optimize=True)
    print(f"{OUT}: {OUT.stat().st_size:,} bytes; trained: {', '.join(known) or 'none'}")


if __name__ == "__main__":
    main()
