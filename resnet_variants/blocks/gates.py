"""What a gate is, and making one: attention that multiplies a feature map, (N, C, H, W) to the
same shape. The gates themselves are beside this, in ``attention.py``.

``@register_attention("name")`` makes one of your own a value of every family's ``attention``:
a module class that takes the number of channels first.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..choices import Registry
from .layers import NormFactory, check_args, is_traced, norm_factory
from .own_parts import make_own

GateFactory = Callable[..., nn.Module]
G = TypeVar("G", bound=GateFactory)

# Names that papers and collections use for several modules, or that another name has here
_CHANNELS = "channel attention ('se'; 'cbam' with attention_args={'order': 'channel'})"
_PLACES = "spatial attention ('ssa'; 'cbam' with attention_args={'order': 'spatial'})"
MEANINGS = {
    "ca": f"coordinate attention ('coordinate') or {_CHANNELS}",
    "channel": _CHANNELS,
    "sa": f"shuffle attention ('shuffle') or {_PLACES}",
    "spatial": _PLACES,
    "tam": "triplet attention ('triplet') or a temporal module of video networks, not here",
    "gca": "global context ('gc'; 'gc_scale' where it multiplies)",
    "gcnet": "global context ('gc'; 'gc_scale' where it multiplies)",
    "emsa": "efficient multi-scale attention ('ema')",
}

ATTENTION: Registry[GateFactory] = Registry("attention", MEANINGS)


def register_attention(name: str) -> Callable[[G], G]:
    """Make a gate class available as ``attention=name`` in every family.

    The class takes the number of channels first; what other arguments it has become valid in
    ``attention_args``. An argument called ``norm_layer`` receives the network's normalisation.
    Raises ValueError when the name is taken.
    """
    return ATTENTION.register(name)  # type: ignore[return-value]


def over(reduce: Callable[..., Tensor], x: Tensor, axis: int) -> Tensor:
    """``reduce`` (``torch.mean``, ``torch.amax``, …) of a map along one axis, which stays, of 1."""
    if is_traced(x) or x.stride(1) != 1:
        return reduce(x, axis, keepdim=True)
    # A channels-last map as it lies: on a CPU torch takes up to 25 times as long otherwise.
    lies = x.permute(0, 2, 3, 1)
    return reduce(lies, {1: 3, 2: 1, 3: 2}[axis], keepdim=True).permute(0, 3, 1, 2)


def deviation(x: Tensor, mean: Tensor) -> Tensor:
    """The standard deviation of each channel over its places (H W of them), (N, C, 1, 1); that of
    ``torch.std`` takes ten times as long on a CPU."""
    distance = x - mean
    if is_traced(x) or x.stride(1) != 1 or x.dtype == torch.float16:  # whose squares overflow
        length = torch.linalg.vector_norm(distance, dim=(2, 3), keepdim=True)
        return length / (x.shape[2] * x.shape[3]) ** 0.5
    least = torch.finfo(x.dtype).tiny  # a root has no gradient at zero
    return distance.square().mean((2, 3)).clamp_min(least).sqrt()[:, :, None, None]


def check_odd(name: str, size: int) -> None:
    """Refuse a kernel that has no middle."""
    if size < 1 or size % 2 == 0:
        raise ValueError(f"{name} must be odd and positive, not {size!r}.")


class Gate(nn.Module):
    """A gate that says what it multiplies with: subclasses give ``weights(x)``.

    The split lets a residual unit fuse the gate with the shortcut's addition. ``gate`` is the
    module that makes the weights last (a sigmoid; ``nn.Identity`` behind weights that are made
    otherwise), so a hook on it sees them. ``self.ends`` names the layers whose zeros make the gate
    a constant, where that is not the last one.
    """

    def __init__(self, *, gate: nn.Module | None = None) -> None:
        super().__init__()
        self.gate = gate or nn.Sigmoid()

    def weights(self, x: Tensor) -> Tensor:
        """What ``x`` is multiplied with: broadcasts to (N, C, H, W)."""
        raise NotImplementedError(f"{type(self).__name__} must define weights(x)")

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights(x)


class ChannelGate(Gate):
    """A gate with one weight a channel, made from the global mean: ``excitation`` maps
    (N, C) to (N, C) before the sigmoid."""

    def excitation(self, y: Tensor) -> Tensor:
        """From the means (N, C) to what the sigmoid makes weights of."""
        raise NotImplementedError(f"{type(self).__name__} must define excitation(y)")

    def weights(self, x: Tensor) -> Tensor:
        return self.gate(self.excitation(x.mean((2, 3))))[:, :, None, None]


AttentionValue = str | GateFactory | None


def resolve_gate(attention: AttentionValue) -> GateFactory | None:
    """The gate class for a registered name, or the user's own class or function."""
    return None if attention in (None, "none") else ATTENTION.resolve(attention)


def check_gate(attention: AttentionValue, args: Mapping[str, Any]) -> None:
    """Refuse an unknown gate, or arguments that it does not take."""
    gate = resolve_gate(attention)
    if gate is not None:
        check_args("attention", attention, gate, _with_norm(args))
    elif args:
        raise ValueError(f"attention_args={dict(args)} without attention: name the gate.")


def _with_norm(args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, a normalisation of the gate's own by name made a factory."""
    own = args.get("norm_layer")
    return {**args, "norm_layer": norm_factory(own)} if own is not None else dict(args)


def make_gate(
    attention: AttentionValue, args: Mapping[str, Any], channels: int, *, norm: NormFactory
) -> nn.Module | None:
    """Build a gate for ``channels``. One of the user's own is tried: it must keep the shape."""
    gate = resolve_gate(attention)
    if gate is None:
        return None
    args = _with_norm(args)
    if "norm_layer" in inspect.signature(gate).parameters:
        args.setdefault("norm_layer", norm)
    if getattr(gate, "__module__", "") == f"{__package__}.attention":  # those are tested
        return gate(channels, **args)
    return make_own("attention", attention, partial(gate, channels, **args), channels, channels)
