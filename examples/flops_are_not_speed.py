"""FLOPs are not speed: ShuffleNetV2's four guidelines, measured on this machine.

Each guideline (Ma et al., ECCV 2018, section 2) compares layers with the same multiply-accumulates
(MACs). If MACs were speed, all would take the same time:
G1 A 1x1 convolution is fastest with as many channels in as out: that has the least memory traffic.
G2 Groups allow more channels for the same MACs, and so more traffic.
G3 Many small operations are slower than one large one.
G4 Operations on single elements (ReLU, addition) cost no MACs, but time.
Then the MACs of networks of the zoo against the time that they take.

Times are the process's CPU time on one thread, medians over rounds in which all ways take turns:
what else the machine does falls on all alike. On a GPU other things are dear than here.

    python examples/flops_are_not_speed.py
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
import torch
import tyro
from torch import Tensor, nn
from tqdm import tqdm

from resnet_variants import create_model, profile

matplotlib.use("Agg")
import matplotlib.pyplot as plt

NETWORKS = (
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "seresnet50",
    "res2net50_26w_4s",
    "sknet50",
    "resnest50",
    "regnetx_004",
    "regnety_004",
    "shufflenet_v1_g3_x1_0",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x2_0",
)
MARGIN = 1.05  # a guideline that shows less than this does not show


class Fragments(nn.Module):
    """Several small 1x1 convolutions in the place of a large one, one behind or beside another."""

    def __init__(self, channels: int, count: int, *, parallel: bool) -> None:
        super().__init__()
        convs = (nn.Conv2d(channels, channels, 1, bias=False) for _ in range(count))
        self.parts = nn.ModuleList(nn.Sequential(conv, nn.ReLU()) for conv in convs)
        self.parallel = parallel

    def forward(self, x: Tensor) -> Tensor:
        if self.parallel:
            first, *others = (part(x) for part in self.parts)
            return sum(others, first)
        for part in self.parts:
            x = part(x)
        return x


class Unit(nn.Module):
    """A bottleneck of 64 channels with or without the operations that cost no MACs."""

    def __init__(self, *, relu: bool, shortcut: bool) -> None:
        super().__init__()
        act = nn.ReLU if relu else nn.Identity
        self.branch = nn.Sequential(
            nn.Conv2d(64, 16, 1), act(), nn.Conv2d(16, 16, 3, padding=1), act(),
            nn.Conv2d(16, 64, 1), act(),
        )  # fmt: skip
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + x if self.shortcut else self.branch(x)


def pointwise(c_in: int, c_out: int, groups: int = 1) -> nn.Module:
    """To c_out channels and back."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 1, groups=groups, bias=False),
        nn.Conv2d(c_out, c_in, 1, groups=groups, bias=False),
    )


# Of each guideline first what it recommends; (channels in, module). Of G1 to G3 the channels are
# the paper's, which make the MACs equal to within 5 %.
GUIDELINES: dict[str, dict[str, tuple[int, nn.Module]]] = {
    "G1: channels in : out": {
        "1:1": (128, pointwise(128, 128)),
        "1:2": (90, pointwise(90, 180)),
        "1:6": (52, pointwise(52, 312)),
        "1:12": (36, pointwise(36, 432)),
    },
    "G2: groups": {
        "1": (128, pointwise(128, 128)),
        "2": (180, pointwise(180, 180, 2)),
        "4": (256, pointwise(256, 256, 4)),
        "8": (360, pointwise(360, 360, 8)),
    },
    "G3: fragments": {
        "one": (128, Fragments(128, 1, parallel=False)),
        "2 in a row": (90, Fragments(90, 2, parallel=False)),
        "4 in a row": (64, Fragments(64, 4, parallel=False)),
        "2 side by side": (90, Fragments(90, 2, parallel=True)),
        "4 side by side": (64, Fragments(64, 4, parallel=True)),
    },
    "G4: element-wise": {
        "neither": (64, Unit(relu=False, shortcut=False)),
        "ReLU": (64, Unit(relu=True, shortcut=False)),
        "shortcut": (64, Unit(relu=False, shortcut=True)),
        "both": (64, Unit(relu=True, shortcut=True)),
    },
}


def macs(module: nn.Module) -> int:
    """Multiply-accumulates at one position, where nothing strides."""
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d))


def milliseconds(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The median CPU time of each way over rounds that run all of them in turn."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode():
        for turn in tqdm(range(rounds + 1), leave=False):
            for name, run in ways.items():
                started = time.process_time()
                run()
                if turn:  # the first one warms up
                    times[name].append(1000 * (time.process_time() - started))
    return {name: median(each) for name, each in times.items()}


def measure_guidelines(axes: Any, side: int, rounds: int) -> None:
    """The time of a MAC over that with what each guideline recommends."""
    for ax, (title, ways) in zip(axes, GUIDELINES.items(), strict=True):
        inputs = {
            name: torch.randn(1, channels, side, side) for name, (channels, _) in ways.items()
        }

        def run(name: str, ways: Any = ways, inputs: Any = inputs) -> Callable[[], Any]:
            return lambda: ways[name][1](inputs[name])

        times = milliseconds({name: run(name) for name in ways}, rounds)
        first, *others = ways
        a_mac = {name: times[name] / macs(ways[name][1]) for name in ways}
        ratios = {name: a_mac[name] / a_mac[first] for name in ways}
        shown = [name for name in others if ratios[name] > MARGIN]
        verdict = {len(others): "holds here", 0: "does not show here"}.get(
            len(shown), f"shows here for {', '.join(shown)} only"
        )
        print(f"{title:22}", "  ".join(f"{n} {r:.2f}" for n, r in ratios.items()), f"  {verdict}")
        ax.barh(list(ratios), list(ratios.values()), color=["0.6", *["C0"] * len(others)])
        ax.axvline(1, color="0.3", linewidth=0.8)
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        ax.bar_label(ax.containers[0], fmt="%.2f", padding=3, bbox=ground)
        ax.invert_yaxis()
        ax.margins(x=0.2)
        ax.set_title(title, fontsize=10)


def measure_zoo(scatter: Any, bars: Any, names: tuple[str, ...], size: int, rounds: int) -> None:
    """MACs of networks against the time of one image, and the time of a MAC."""
    image = torch.randn(1, 3, size, size)
    models = {name: create_model(name).eval() for name in names}

    def run(name: str) -> Callable[[], Any]:
        return lambda: models[name](image)

    times = milliseconds({name: run(name) for name in names}, rounds)
    gmacs = {name: profile(name, input_size=size).macs / 1e9 for name in names}
    rates = {name: times[name] / gmacs[name] for name in names}
    print(f"\n{'network':24}{'GMACs':>8}{'ms':>8}{'ms a GMAC':>11}")
    names = tuple(sorted(names, key=gmacs.__getitem__))
    for name in names:
        print(f"{name:24}{gmacs[name]:8.3f}{times[name]:8.1f}{rates[name]:11.0f}")
    cheap, dear = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
    print(f"A MAC of {dear} takes {rates[dear] / rates[cheap]:.1f} times as long as of {cheap}.")

    kinds = {"ShuffleNet": "C1", "RegNet": "C2", "ResNet and kin": "C0"}
    colors = [next((kinds[k] for k in kinds if k.lower() in n), "C0") for n in names]
    for kind, color in kinds.items():
        mine = [n for n, c in zip(names, colors, strict=True) if c == color]
        scatter.plot(
            [gmacs[n] for n in mine], [times[n] for n in mine], "o", color=color, label=kind
        )
    ends = [min(gmacs.values()), max(gmacs.values())]
    scatter.plot(ends, [rates["resnet50"] * e for e in ends], color="0.6", label="as resnet50")
    scatter.set(xscale="log", yscale="log", xlabel="GMACs", ylabel="ms of one image, one thread")
    scatter.legend(fontsize=9)
    scatter.set_title("Cost and time of networks", fontsize=10)
    bars.barh(names, [rates[n] for n in names], color=colors)
    bars.bar_label(bars.containers[0], fmt="%.0f", padding=3)
    bars.invert_yaxis()
    bars.margins(x=0.15)
    bars.set_title("ms a GMAC (fewest MACs first)", fontsize=10)


def main(fast: bool = False, out: Path = Path("figures")) -> None:
    """Measure the guidelines and the zoo, and draw both."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    figure = plt.figure(figsize=(10.5, 8), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(2, 3))
    axes = above.subplots(2, 2)
    above.suptitle("Time of a multiply-accumulate, over that with the first")
    measure_guidelines(axes.flat, 14 if fast else 56, 3 if fast else 60)
    names = ("resnet18", "resnet50", "shufflenet_v2_x0_5") if fast else NETWORKS
    scatter, bars = below.subplots(1, 2)
    measure_zoo(scatter, bars, names, 64 if fast else 224, 1 if fast else 7)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "flops_are_not_speed.png", dpi=100)


if __name__ == "__main__":
    tyro.cli(main)
