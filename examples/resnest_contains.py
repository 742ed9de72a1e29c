"""ResNeSt contains squeeze-and-excitation and selective kernels: radix and cardinality say which.

Split attention with radix 1 has one map and a sigmoid over its mean: it is an SE gate behind the
3x3. With radix 2 and cardinality 1 it weighs two maps by a softmax over the mean of their sum: it
is a selective kernel, whose two branches happen to have kernels of the same size and no dilation.

    python examples/resnest_contains.py
"""

from pathlib import Path
from typing import Any

import matplotlib
import torch
import tyro
from torch import Tensor

from resnet_variants.blocks import ConvSpec, SplitAttention

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def part(radix: int) -> SplitAttention:
    """Split attention of 64 channels, with running statistics that are not the identity."""
    torch.manual_seed(radix)
    module = SplitAttention(ConvSpec(64, 64), radix=radix).double()
    for name, statistic in module.named_buffers():
        if name.endswith("running_mean"):
            statistic.normal_(0, 0.1)
        elif name.endswith("running_var"):
            statistic.uniform_(0.5, 1.5)
    return module.eval()


def excitation(module: SplitAttention, squeezed: Tensor) -> Tensor:
    """Two layers with a normalised ReLU between, (N, C) to (N, C * radix)."""
    s: Any = module.selection
    hidden = s.norm(s.fc1(squeezed[:, :, None, None])).relu()
    return s.fc2(hidden).flatten(1)


def squeeze_and_excitation(module: SplitAttention, x: Tensor) -> Tensor:
    """SE, written out: the 3x3's output, times a sigmoid of its mean's excitation."""
    u = module.norm(module.conv(x)).relu()
    return u * excitation(module, u.mean((2, 3))).sigmoid()[:, :, None, None]


def selective_kernel(module: SplitAttention, x: Tensor) -> Tensor:
    """SK, written out: two branches, and a softmax between them for each channel."""
    first, second = module.norm(module.conv(x)).relu().chunk(2, 1)
    scores = excitation(module, (first + second).mean((2, 3))).unflatten(1, (2, -1))
    a, b = scores.softmax(1).unbind(1)
    return first * a[:, :, None, None] + second * b[:, :, None, None]


def main(fast: bool = False, out: Path = Path("figures")) -> None:
    """Compare split attention with the two written out, and draw the agreement."""
    x = torch.randn(2 if fast else 8, 64, 14, 14, dtype=torch.float64)
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
    cases = (
        (1, squeeze_and_excitation, "radix 1 is squeeze-and-excitation"),
        (2, selective_kernel, "radix 2 is a selective kernel"),
    )
    for ax, (radix, written_out, title) in zip(axes, cases, strict=True):
        module = part(radix)
        with torch.no_grad():
            ours, theirs = module(x), written_out(module, x)
        difference = ((ours - theirs).abs().max() / theirs.abs().max()).item()
        assert difference < 1e-12
        print(f"{title}: greatest relative difference {difference:.1e}")
        ax.plot(theirs.flatten()[::97], ours.flatten()[::97], ".", markersize=2)
        ax.set_title(title)
        ax.set_xlabel("written out")
        ax.set_ylabel("split attention")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "resnest_contains.png", dpi=110)


if __name__ == "__main__":
    tyro.cli(main)
