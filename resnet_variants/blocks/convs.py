"""What can stand in for a bottleneck's 3x3 convolution.

A ``conv`` part maps (N, C, H, W) to (N, C', ceil(H/s), ceil(W/s)), normalised and activated.
It is a module class made as ``part(spec, **conv_args)``, ``spec`` a ``ConvSpec``. A part that needs
more channels than the bottleneck's width (Res2Net: a width a split) says so in a static method
``mid_channels(width, **conv_args)``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, TypeVar

from torch import nn

from ..choices import Registry
from .layers import ActFactory, ConvNormAct, NormFactory
from .own_parts import make_own

ConvFactory = Callable[..., nn.Module]
C = TypeVar("C", bound=ConvFactory)

CONVS: Registry[ConvFactory] = Registry("conv")


@dataclass(frozen=True)
class ConvSpec:
    """What a unit gives to the part that stands in for its 3x3 convolution."""

    in_channels: int
    out_channels: int
    _: KW_ONLY
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    first: bool = False
    """whether the unit is its stage's first"""
    norm: NormFactory = nn.BatchNorm2d
    act: ActFactory = nn.ReLU

    def args(self, **changes: Any) -> dict[str, Any]:
        """The arguments of the ``ConvNormAct`` that is the 3x3 itself, or one with ``changes``."""
        args = {name: value for name, value in vars(self).items() if name != "first"}
        return {"kernel_size": 3, **args, **changes}


def register_conv(name: str) -> Callable[[C], C]:
    """Make a module class available as ``conv=name``. Raises ValueError when it is taken."""
    return CONVS.register(name)  # type: ignore[return-value]


def resolve_conv(conv: str | ConvFactory) -> ConvFactory:
    """The part for a registered name, or the user's own class or function."""
    if not callable(conv):
        return CONVS[conv]
    try:
        inspect.signature(conv).bind(ConvSpec(1, 1))
    except (TypeError, ValueError) as error:
        raise ValueError(f"conv={conv!r} must take a ConvSpec, and that alone: {error}") from None
    return conv


def make_conv(conv: str | ConvFactory, args: dict[str, Any], spec: ConvSpec) -> nn.Module:
    """Build a part. One of the user's own is tried: it must give what its place needs."""
    make = partial(resolve_conv(conv), spec, **args)
    if getattr(make.func, "__module__", "").startswith(f"{__package__}."):  # those are tested
        return make()
    return make_own("conv", conv, make, spec.in_channels, spec.out_channels, spec.stride)


def mid_channels(part: ConvFactory, width: int, args: dict[str, Any]) -> int:
    """The channels that ``part`` takes and gives where the bottleneck's width is ``width``."""
    rule = getattr(part, "mid_channels", None)
    return rule(width, **args) if rule else width


@register_conv("plain")
class PlainConv(ConvNormAct):
    """A 3x3 convolution in ``groups`` groups (their number is ResNeXt's cardinality)."""

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(**spec.args())
