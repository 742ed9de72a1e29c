"""Each part's formulation against the plain one, in both memory layouts.

    OMP_NUM_THREADS=1 python benchmarks/formulations.py [--batch 8] [--rounds 15]

The plain formulation is what the part's paper writes down. Both run in turns on the same maps;
ratios are of process CPU time, the median over the rounds: above 1, the library's is faster.
Outputs and gradients of both must agree, else this ends with an error.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor, nn

from resnet_variants.blocks import SE, SSA, ChannelShuffle, Join
from resnet_variants.blocks.attention_module import _resize
from resnet_variants.blocks.residual import add_residual
from resnet_variants.blocks.selection import Selection

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Case:
    """A part: how many maps it takes, their channels and side, and both formulations."""

    name: str
    maps: int
    channels: int
    side: int
    ours: Function
    plain: Function


def cases() -> list[Case]:
    """The parts whose formulation is not the paper's."""
    torch.manual_seed(0)
    norm, act = nn.BatchNorm2d, nn.ReLU
    found = []
    for channels, side in ((64, 56), (256, 14)):
        two = Selection(channels, 32, 2, bias=True, norm=norm, act=act).eval()
        three = Selection(channels, 32, 3, bias=True, norm=norm, act=act).eval()
        found += [
            Case("selection of 2", 2, channels, side, _of_list(two), _plain_selection(two)),
            Case("selection of 3", 3, channels, side, _of_list(three), _plain_selection(three)),
        ]
    for channels, side in ((256, 56), (1024, 14)):
        se, ssa = SE(channels).eval(), SSA(channels).eval()
        found += [
            Case("gate and shortcut", 2, channels, side, _gated(se), _plain_gated(se)),
            Case("SSA", 1, channels, side, ssa, _plain_ssa(ssa)),
            Case("residual attention", 2, channels, side, _residual_mask, _plain_residual_mask),
            Case("scaled residual", 2, channels, side, _scaled, _plain_scaled),
            Case("global mean", 1, channels, side, lambda x: x.mean((2, 3)), _plain_mean),
        ]
    for channels, side in ((60, 28), (240, 14)):
        found += [
            Case("shuffle of 3", 1, channels, side, ChannelShuffle(3), _plain_shuffle(3)),
            Case("join and shuffle", 2, channels, side, _join, _plain_join),
        ]
        found.append(
            Case("upsampling", 1, channels, side, _doubled(_resize), _doubled(_plain_resize))
        )
    return found


def _doubled(resize: Function) -> Function:
    return lambda x: resize(x, tuple(2 * side for side in x.shape[2:]))


def _plain_resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


def _of_list(selection: Selection) -> Function:
    return lambda *maps: selection(maps)


def _plain_selection(selection: Selection) -> Function:
    def run(*maps: Tensor) -> Tensor:
        stacked = torch.stack(maps, 1)
        y = stacked.sum(1).mean((2, 3), keepdim=True)
        y = selection.fc2(selection.act(selection.norm(selection.fc1(y))))
        weights = y.view(len(y), len(maps), -1, 1, 1).softmax(1)
        return (stacked * weights).sum(1)

    return run


def _gated(gate: SE) -> Function:
    return lambda x, shortcut: add_residual(shortcut, x, gate, nn.Identity()).relu_()


def _plain_gated(gate: SE) -> Function:
    return lambda x, shortcut: F.relu(x * gate.weights(x) + shortcut)


def _plain_ssa(gate: SSA) -> Function:
    def run(x: Tensor) -> Tensor:
        maps = (x * x.mean((2, 3), keepdim=True)).mean(1, keepdim=True)
        return x * gate.gate(gate.norm(maps))

    return run


def _residual_mask(trunk: Tensor, mask: Tensor) -> Tensor:
    return torch.addcmul(trunk, trunk, mask)


def _plain_residual_mask(trunk: Tensor, mask: Tensor) -> Tensor:
    return (1 + mask) * trunk


def _scaled(x: Tensor, branch: Tensor) -> Tensor:
    return add_residual(x, branch, None, nn.Identity(), scale=0.17)


def _plain_scaled(x: Tensor, branch: Tensor) -> Tensor:
    return x + 0.17 * branch


def _plain_mean(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


def _plain_shuffle(groups: int) -> Function:
    def run(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)

    return run


def _join(*maps: Tensor) -> Tensor:
    return Join(alternate=True)(maps)


def _plain_join(*maps: Tensor) -> Tensor:
    return _plain_shuffle(len(maps))(torch.cat(maps, 1))


def check(case: Case, maps: list[Tensor]) -> None:
    """Raise AssertionError where outputs or gradients differ."""
    results = []
    for run in (case.ours, case.plain):
        leaves = [x.clone().requires_grad_() for x in maps]
        y = run(*leaves)
        towards = torch.linspace(-1, 1, y.numel()).view(y.shape)
        results.append([y.detach(), *torch.autograd.grad((y * towards).sum(), leaves)])
    for ours, plain in zip(*results, strict=True):
        difference = (ours - plain).abs().max() / plain.abs().max()
        assert difference < 1e-4, f"{case.name}: differs by {difference:.1e}"


def ratio(
    case: Case, maps: list[Tensor], layout: torch.memory_format, rounds: int
) -> tuple[float, float]:
    """(milliseconds of the plain formulation, plain over ours)."""
    times: list[list[float]] = [[], []]
    repeats = max(1, int(2e7 / sum(x.numel() for x in maps)))
    with torch.inference_mode():
        for _ in range(rounds + 1):
            for run, spent in zip((case.plain, case.ours), times, strict=True):
                start = time.process_time()
                for _ in range(repeats):
                    y = run(*maps)
                    if y.ndim == 4:  # what follows needs the layout: another is no gain
                        y.contiguous(memory_format=layout)
                spent.append((time.process_time() - start) / repeats)
    pairs = zip(*(spent[1:] for spent in times), strict=True)  # the first warms up
    return 1e3 * statistics.median(times[0][1:]), statistics.median(a / b for a, b in pairs)


def main(batch: int = 8, rounds: int = 15) -> None:
    """Print a line for each part and layout.

    Args:
        batch: images
        rounds: repeats, after one that warms up
    """
    print(f"{'part':20} {'channels':>8} {'side':>4} {'layout':14} {'plain ms':>9} {'ratio':>6}")
    for case in cases():
        for name, layout in (
            ("NCHW", torch.contiguous_format),
            ("channels_last", torch.channels_last),
        ):
            maps = [
                torch.randn(batch, case.channels, case.side, case.side).contiguous(
                    memory_format=layout
                )
                for _ in range(case.maps)
            ]
            check(case, maps)
            plain, gain = ratio(case, maps, layout, rounds)
            shape = f"{case.channels:8} {case.side:4}"
            print(f"{case.name:20} {shape} {name:14} {plain:9.3f} {gain:6.2f}", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
