"""Gates behind a 1x1 convolution, made of what the convolution reads.

A mean over positions, and a sum over channels, pass through a 1x1 convolution as they are. So a
gate that reads such sums of the convolution's output needs only its input, which has a quarter of
the channels in a bottleneck, and is ready before the convolution: its product can be taken in the
convolution's own pass. Matrices that meet are multiplied once, in float64.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.attention import SE, SSA, Salient
from ..blocks.gates import ChannelGate, Gate
from ..blocks.layers import ConvNormAct
from ..blocks.residual import Bottleneck
from ..network import Network
from ..network.folding import as_conv, folds_into


class InputGate(nn.Module):
    """What a gate multiplies the convolution's output with, from the convolution's input."""

    weight: Tensor
    bias: Tensor

    def _keep(self, weight: Tensor, bias: Tensor, like: Tensor) -> None:
        for name, value in (("weight", weight), ("bias", bias)):
            self.register_buffer(name, value.to(like.dtype).contiguous())


class ChannelGateOfInput(InputGate):
    """Of a gate with one weight a channel."""

    def __init__(self, gate: ChannelGate, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.gate = gate.gate
        matrix, shift = weight.double(), bias.double()
        exact = copy.deepcopy(gate).double()
        if type(gate) is SE:
            rest = nn.Sequential(gate.act, gate.fc2)
            matrix, shift = exact.fc1.weight @ matrix, exact.fc1(shift)  # type: ignore[operator, union-attr]
        elif (affine := _affine(exact, shift)) is not None:
            more, base = affine
            matrix, shift, rest = more @ matrix, more @ shift + base, nn.Sequential()
        else:
            rest = nn.Sequential(_Excitation(gate))
        self.rest = rest
        self._keep(matrix, shift, weight)

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x.mean((2, 3)), self.weight, self.bias)
        return self.gate(self.rest(y))[:, :, None, None]


class _Excitation(nn.Module):
    def __init__(self, gate: ChannelGate) -> None:
        super().__init__()
        self.of = gate

    def forward(self, y: Tensor) -> Tensor:
        return self.of.excitation(y)


class MapOfInput(InputGate):
    """Of SSA with one map: (N, 1, H, W).

    With the map's channels W h + b at a position and their means m, it is (W'm) h + bm, scaled
    and shifted by the normalisation; and m is of h's means what the map is of h.
    """

    def __init__(self, gate: SSA, scaling: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.gate = gate.gate
        both = torch.cat((weight, bias[:, None]), 1).double()  # of h, with a one behind it
        square = scaling.weight.item() * gate.scale * (both.t() @ both)
        constant = square[:, -1].clone()
        constant[-1] += scaling.bias[0]  # type: ignore[index]
        self._keep(square[:, :-1], constant, weight)

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x.mean((2, 3)), self.weight, self.bias)[:, None]
        maps = torch.baddbmm(y[:, :, -1:], y[:, :, :-1], x.flatten(2))
        return self.gate(maps.unflatten(2, x.shape[2:]))


class ProjectionOfInput(InputGate):
    """Of Salient: a map that is a 1x1 convolution, (N, 1, H, W)."""

    def __init__(self, gate: Salient, scaling: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.gate = gate.gate
        row = scaling.weight.item() * gate.conv.weight.flatten(1).double()
        constant = row @ bias.double() + scaling.bias  # type: ignore[operator]
        self._keep((row @ weight.double())[:, :, None, None], constant, weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(F.conv2d(x, self.weight, self.bias))


def gate_of_input(gate: Gate, weight: Tensor, bias: Tensor | None) -> InputGate | None:
    """The gate of a 1x1 convolution's output as one of its input, where there is such a form.

    ``weight`` is (C, K), ``bias`` (C,).
    """
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    if isinstance(gate, ChannelGate) and type(gate).weights is ChannelGate.weights:
        return ChannelGateOfInput(gate, weight, bias)
    one_map = type(gate) is Salient or (type(gate) is SSA and gate.groups == 1)
    scaling = as_conv(gate.norm) if one_map else None  # type: ignore[arg-type]
    if scaling is None:
        return None
    if isinstance(gate, Salient):
        return ProjectionOfInput(gate, scaling, weight, bias)
    assert isinstance(gate, SSA)
    return MapOfInput(gate, scaling, weight, bias)


def _affine(gate: ChannelGate, like: Tensor) -> tuple[Tensor, Tensor] | None:
    """Matrix and shift of an excitation, where it is no more than these: found by trying.
    ``like`` is what it reads, of one image: a gate without parameters does not tell its device."""
    base = gate.excitation(torch.zeros_like(like)[None])[0]
    matrix = (gate.excitation(torch.eye(len(like)).to(like)) - base).t()
    generator = torch.Generator().manual_seed(0)
    tried = torch.randn(2, len(like), dtype=torch.float64, generator=generator).to(like)
    found = gate.excitation(tried)
    same = torch.allclose(found, tried @ matrix.t() + base, rtol=1e-9, atol=1e-9)
    return (matrix, base) if same else None


class GatedUnit(nn.Module):
    """A bottleneck whose gate is made of the input of its last convolution."""

    def __init__(self, unit: Bottleneck, gate: InputGate) -> None:
        super().__init__()
        self.unit = unit
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        hidden, shortcut = self.unit.operands(x)
        y: Tensor = self.unit.act(shortcut + self.unit.conv3(hidden) * self.gate(hidden))
        return y


def gates_of_inputs(model: Network) -> Network:
    """A copy, in eval mode, whose gates read the narrower map where they can: for runtimes that
    fuse and pack by themselves."""
    net = copy.deepcopy(model).eval().requires_grad_(False)
    with torch.no_grad():
        for parent in list(net.modules()):
            for slot, unit in parent.named_children():
                if type(unit) is Bottleneck and (gate := _gate_at_end(unit)) is not None:
                    setattr(parent, slot, GatedUnit(unit, gate))
    return net


def _gate_at_end(unit: Bottleneck) -> InputGate | None:
    last, gate = unit.conv3, unit.attention
    if not isinstance(gate, Gate) or unit.attention_at != "standard":
        return None
    if not isinstance(last, ConvNormAct) or type(last.act) is not nn.Identity:
        return None
    if not folds_into(last.conv, last.norm):
        return None
    last.norm = nn.Identity()
    return gate_of_input(gate, last.conv.weight.flatten(1), last.conv.bias)
