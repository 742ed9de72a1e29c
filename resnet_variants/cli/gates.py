"""The command that tells of all gates: ``gates``."""

from __future__ import annotations

import dataclasses
from json import dumps

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..blocks.gates import ATTENTION, Gate
from ..text import table

RESNET50 = ((256, 56, 3), (512, 28, 4), (1024, 14, 6), (2048, 7, 3))
"""channels, side and number of the units of each of its stages"""


@dataclasses.dataclass(frozen=True)
class GateFacts:
    """What is found out about a gate by making it, for the units of ResNet-50."""

    name: str
    looks_at: str
    """``channels``, ``places`` or ``both``: along what its weights differ"""
    params: int
    """parameters added to ResNet-50"""
    macs: int
    """multiply-accumulates of convolutions and matrices added at 224 x 224"""
    fuses: bool
    """a product of the map, which is fused with the shortcut's addition"""
    identity: bool
    """starts as the identity"""
    summary: str


def gate_facts(name: str) -> GateFacts:
    """The facts about one registered gate. Raises ValueError for an unknown name."""
    make = ATTENTION[name]
    gate, params, macs = make(64).eval(), 0, 0
    x = torch.randn(2, 64, 5, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        identity = torch.allclose(gate(x), x)
        for channels, side, count in RESNET50:
            with torch.device("meta"):
                part = make(channels).eval()
                counter = FlopCounterMode(display=False)
                with counter:
                    part(torch.empty(1, channels, side, side))
            params += count * sum(p.numel() for p in part.parameters())
            macs += count * counter.get_total_flops() // 2
    return GateFacts(
        name,
        _looks_at(gate, x),
        params,
        macs,
        isinstance(gate, Gate),
        identity,
        (make.__doc__ or "").partition("\n")[0].rstrip(".:,"),
    )


def _looks_at(gate: nn.Module, x: torch.Tensor) -> str:
    """Along what the gate's factor differs, or what it adds."""
    seen: list[torch.Tensor] = []
    assert isinstance(gate.gate, nn.Module)
    handle = gate.gate.register_forward_hook(lambda _m, _i, out: seen.append(out))
    with torch.no_grad():
        gate(x)
    handle.remove()
    if seen[0].ndim == 2 or seen[0].shape[2:] == (1, 1):
        return "channels"
    return "places" if seen[0].shape[1] == 1 else "both"


def gates(*, json: bool = False) -> None:
    """Print all gates: what they look at, what they add to ResNet-50.

    Args:
        json: print JSON instead
    """
    facts = [gate_facts(name) for name in ATTENTION]
    if json:
        print(dumps([dataclasses.asdict(each) for each in facts], indent=2))
        return
    head = ["gate", "looks at", "parameters", "M MACs", "fuses", "starts as identity"]
    print(table(head, [row(each) for each in facts]))


def row(facts: GateFacts) -> list[str]:
    """The facts as the cells of a table."""
    return [
        facts.name,
        facts.looks_at,
        f"{facts.params:,}",
        f"{facts.macs / 1e6:.1f}",
        "yes" if facts.fuses else "no",
        "yes" if facts.identity else "no",
    ]
