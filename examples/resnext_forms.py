"""ResNeXt's three equivalent forms, with weights moved between them and outputs equal.

Let x have 4w channels, C paths of width d each, and D = C d.
(a) Each path i reduces x to d channels (W1_i), convolves them 3x3 (W2_i), and expands them to the
    output (W3_i); the paths are summed: y = sum_i W3_i r(W2_i r(W1_i x)), r a normalised ReLU.
(b) A sum of products is a product of a row of blocks with a column: sum_i W3_i z_i =
    [W3_1 ... W3_C] [z_1; ...; z_C]. So concatenate the paths before one shared 1x1 convolution.
(c) The C first convolutions all read x: stacked, they are one 1x1 convolution to D channels. The C
    3x3 convolutions each read their own d channels: that is one convolution with C groups. So
    (c) is an ordinary bottleneck with a grouped 3x3.
Normalisation works channel by channel, so it moves along, if form (a) normalises after the sum.

    python examples/resnext_forms.py
"""

from pathlib import Path
from typing import Any

import matplotlib
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

from resnet_variants import create_model

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def norm_relu(x: Tensor, layer: Any, channels: slice) -> Tensor:
    """The layer's normalisation of some of its channels, and ReLU."""
    norm = layer.norm
    x = F.batch_norm(
        x,
        norm.running_mean[channels],
        norm.running_var[channels],
        norm.weight[channels],
        norm.bias[channels],
        eps=norm.eps,
    )
    return F.relu(x)


def paths(unit: Any, x: Tensor, cardinality: int) -> list[Tensor]:
    """Each path's d channels, from its own slices of form (c)'s weights."""
    d = unit.conv1.conv.out_channels // cardinality
    outputs = []
    for i in range(cardinality):
        mine = slice(i * d, (i + 1) * d)
        z = norm_relu(F.conv2d(x, unit.conv1.conv.weight[mine]), unit.conv1, mine)
        z = norm_relu(F.conv2d(z, unit.conv2.conv.weight[mine], padding=1), unit.conv2, mine)
        outputs.append(z)
    return outputs


def form_a(unit: Any, x: Tensor, cardinality: int) -> Tensor:
    """Every path goes to the output on its own; the outputs are summed."""
    z = paths(unit, x, cardinality)
    expand = unit.conv3.conv.weight.split(z[0].shape[1], dim=1)
    total = sum(F.conv2d(zi, wi) for zi, wi in zip(z, expand, strict=True))
    return F.relu(unit.conv3.norm(total) + x)


def form_b(unit: Any, x: Tensor, cardinality: int) -> Tensor:
    """The paths are concatenated before one convolution."""
    z = torch.cat(paths(unit, x, cardinality), 1)
    return F.relu(unit.conv3(z) + x)


def main(fast: bool = False, out: Path = Path("figures")) -> None:
    """Compare the outputs of the three forms at several cardinalities, and draw the weights."""
    torch.manual_seed(0)
    cardinalities = (1, 4, 32) if fast else (1, 2, 4, 8, 16, 32)
    print("cardinality  width of a path  (a) - (c)  (b) - (c)  parameters of the 3x3")
    for cardinality in cardinalities:
        model = create_model("resnext50_32x4d", groups=cardinality, base_width=128 // cardinality)
        unit: Any = model.get_submodule("stages.0.1").double().eval()
        x = torch.randn(2, 256, 14, 14, dtype=torch.float64)
        with torch.no_grad():
            c = unit(x)
            differences = [
                ((form(unit, x, cardinality) - c).abs().max() / c.abs().max()).item()
                for form in (form_a, form_b)
            ]
        assert max(differences) < 1e-12
        print(
            f"{cardinality:11}  {128 // cardinality:15}  {differences[0]:9.1e}  "
            f"{differences[1]:9.1e}  {unit.conv2.conv.weight.numel():21,}"
        )

    figure, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
    for ax, cardinality in zip(axes, (1, 4, 32), strict=True):
        d = 128 // cardinality
        blocks = torch.block_diag(*[torch.ones(d, d)] * cardinality)
        ax.imshow(blocks, cmap="Blues", vmin=0, vmax=1.4)
        ax.set_title(f"{cardinality} path{'s' * (cardinality > 1)} of {d} channels", fontsize=11)
        ax.set_xlabel("channels in")
        ax.set_ylabel("channels out" if cardinality == 1 else "")
    figure.suptitle("The grouped 3x3 of form (c): a dense 3x3 with everything between paths zero")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "resnext_forms.png", dpi=110)


if __name__ == "__main__":
    tyro.cli(main)
