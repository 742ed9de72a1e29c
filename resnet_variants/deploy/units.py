"""Units in the fewest passes over memory: additions in convolutions, shuffles in weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..blocks.gates import ChannelGate, Gate
from ..blocks.inception import ResidualInception
from ..blocks.layers import ConvNormAct
from ..blocks.preactivation import PreActUnit
from ..blocks.residual import BasicUnit, Bottleneck, ResidualUnit
from ..blocks.shuffle import ShuffleUnit
from .cpu import Fast

Unit = BasicUnit | Bottleneck | PreActUnit | ShuffleUnit | ResidualInception


class FusedUnit(nn.Module):
    """A residual unit whose last convolution adds the shortcut and activates, in one pass; a
    gate's product, the addition and the activation take two more."""

    def __init__(self, unit: Unit) -> None:
        super().__init__()
        self.unit = unit
        conv = unit.last_conv().conv
        assert isinstance(conv, Fast)
        self.conv = conv
        gate = _gate_at_end(unit)
        self.gate = conv.with_gate(gate) if isinstance(gate, Gate) else None
        # What a gate before the last convolution multiplies with, that one can take along.
        self.entry = None
        if getattr(unit, "attention_at", None) == "inner" and _is_of_channels(unit.attention):
            self.entry, unit.attention = unit.attention, nn.Identity()
        self.scale = unit.scale if isinstance(unit, ResidualInception) else 1.0
        act = getattr(unit, "act", nn.Identity())
        self.relu = type(act) is nn.ReLU
        self.act = nn.Identity() if self.relu else act

    @staticmethod
    def takes(unit: nn.Module) -> bool:
        """Whether this is a packed unit of the library with an addition at its end."""
        if type(unit) not in Unit.__args__:
            return False
        last = unit.last_conv()  # type: ignore[operator]
        return (
            isinstance(last, ConvNormAct)
            and isinstance(last.conv, Fast)
            and type(last.norm) is type(last.act) is nn.Identity
            and isinstance(_gate_at_end(unit), (Gate, type(None)))  # type: ignore[arg-type]
            and (not isinstance(unit, ShuffleUnit) or unit.residual)
        )

    def _sum(self, x: Tensor) -> Tensor:
        hidden, shortcut = self.unit.operands(x)
        if self.entry is not None:
            entry = self.entry.weights(hidden)  # type: ignore[operator]
            return self.conv.add(hidden, shortcut, relu=self.relu, entry=entry)
        if self.gate is None:
            return self.conv.add(hidden, shortcut, relu=self.relu)
        return self.conv.gated(hidden, self.gate, shortcut, relu=self.relu, scale=self.scale)

    def forward(self, x: Tensor) -> Tensor:
        unit = self.unit
        if isinstance(unit, ShuffleUnit) and unit.join is not None:
            kept, x = unit.take(x)
            return unit.join((kept, self.act(self._sum(x))))
        y = self.act(self._sum(x))
        if isinstance(unit, ResidualUnit) and unit.attention_at == "post":
            y = unit._gated("post", y)
        return y


def _gate_at_end(unit: Unit) -> nn.Module | None:
    if isinstance(unit, ResidualUnit) and unit.attention_at != "standard":
        return None  # elsewhere, or none
    return unit.attention


def _is_of_channels(gate: nn.Module | None) -> bool:
    return isinstance(gate, ChannelGate) and type(gate).weights is ChannelGate.weights


def absorb_scale(unit: ResidualInception) -> None:
    """Multiply the last convolution with the scale of the branch that it ends."""
    if unit.attention is None and unit.scale != 1:
        conv = unit.expand.conv
        conv.weight.mul_(unit.scale)
        if conv.bias is not None:
            conv.bias.mul_(unit.scale)
        unit.scale = 1.0


def absorb_activation(unit: ShuffleUnit) -> None:
    """Let the last convolution activate where nothing stands between."""
    last = unit.conv3
    if (
        not unit.residual
        and unit.attention is None
        and isinstance(last, ConvNormAct)
        and type(last.act) is nn.Identity
    ):
        last.act, unit.act = unit.act, nn.Identity()


class ShuffledStage(nn.Module):
    """A stage of ShuffleNetV2 without its splits, joins and shuffles.

    A unit takes half of the channels, and gives as many. So each channel is made once, waits,
    and is taken once. Each unit's output is sorted by when its channels are taken, which is an
    order of its last convolution's rows; so what a unit takes are slices, one of each output
    before it, and the order of its first convolution's columns. Channels that no unit takes are
    put in their place at the end.
    """

    def __init__(self, stage: nn.Sequential) -> None:
        super().__init__()
        units: list[ShuffleUnit] = list(stage)  # type: ignore[arg-type]
        self.units = nn.ModuleList(units)
        first = units[0]
        assert first.join is not None and isinstance(first.projection, nn.Sequential)
        ends = [_conv(first.projection[-1]), *(_conv(unit.conv3) for unit in units)]
        # Where each channel is when it is taken: run the shuffles on the channels' numbers.
        starts = [0]
        for conv in ends:
            starts.append(starts[-1] + conv.out_channels)
        made = [torch.arange(a, b) for a, b in pairwise(starts)]
        taken_by = torch.full((starts[-1],), len(units))
        x = first.join((_map(made[0]), _map(made[1])))
        takes = []
        for i, unit in enumerate(units[1:], 1):
            kept, taken = unit.take(x)
            takes.append(taken.flatten())
            taken_by[takes[-1]] = i
            assert unit.join is not None
            x = unit.join((kept, _map(made[i + 1])))
        orders = [channels[taken_by[channels].argsort(stable=True)] for channels in made]
        for conv, order, start in zip(ends, orders, starts, strict=False):
            _permute(conv, order - start)
        # The slices that each unit takes, and the channels in them
        self.slices: list[list[tuple[int, int, int]]] = []
        self.order: Tensor
        for i, wanted in enumerate((*takes, x.flatten()), 1):
            slices, found = [], []
            for source, order in enumerate(orders[: i + 1]):
                where = (taken_by[order] == i).nonzero().flatten()
                if len(where):
                    slices.append((source, int(where[0]), int(where[-1]) + 1))
                    found.append(order[where])
            self.slices.append(slices)
            place = {int(channel): at for at, channel in enumerate(torch.cat(found))}
            columns = torch.tensor([place[int(channel)] for channel in wanted])
            if i < len(units):
                conv = _conv(units[i].conv1)
                conv.weight = _parameter(conv.weight[:, columns.argsort()])
            else:
                # Beside the maps: an index that a GPU must be sent cannot be recorded.
                self.register_buffer("order", columns.to(ends[0].weight.device))

    @staticmethod
    def takes(stage: nn.Module) -> bool:
        """Whether this is such a stage, of the library's own parts without gate or addition."""
        units = list(stage.children())
        return (
            type(stage) is nn.Sequential
            and len(units) > 1
            and all(
                type(unit) is ShuffleUnit
                and unit.join is not None
                and not unit.join.reverse
                and not unit.residual
                and unit.attention is None
                and all(_movable(part) for part in (unit.conv1, unit.conv3))
                and (
                    unit.split is not None
                    if i
                    else isinstance(unit.projection, nn.Sequential)
                    and _movable(unit.projection[-1])
                )
                for i, unit in enumerate(units)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.units
        kept, x = first.take(x)  # type: ignore[operator]
        made = [kept, first.transform(x)]  # type: ignore[operator]
        for unit, slices in zip(others, self.slices, strict=False):
            made.append(unit.transform(_slices(made, slices)))  # type: ignore[operator]
        return _ordered(_slices(made, self.slices[-1]), self.order)


def _ordered(x: Tensor, order: Tensor) -> Tensor:
    """Channels in another order. On a GPU those that lie last stay there, where torch alone puts
    them first (and a CPU is faster so)."""
    if x.device.type != "cpu" and x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1)[..., order].permute(0, 3, 1, 2)
    return x[:, order]


def _slices(maps: Sequence[Tensor], slices: Sequence[tuple[int, int, int]]) -> Tensor:
    return torch.cat([maps[i][:, a:b] for i, a, b in slices], 1)


def _map(channels: Tensor) -> Tensor:
    return channels[None, :, None, None]


def _movable(part: nn.Module) -> bool:
    """Whether the channels of an ungrouped convolution can be put in another order."""
    return (
        isinstance(part, ConvNormAct)
        and type(part.norm) is nn.Identity
        and isinstance(part.conv, nn.Conv2d)
        and part.conv.groups == 1
    )


def _conv(part: nn.Module) -> nn.Conv2d:
    assert isinstance(part, ConvNormAct)
    return part.conv


def _permute(conv: nn.Conv2d, rows: Tensor) -> None:
    conv.weight = _parameter(conv.weight[rows])
    if conv.bias is not None:
        conv.bias = _parameter(conv.bias[rows])


def _parameter(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)
