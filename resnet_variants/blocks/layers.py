"""Convolution, normalisation, activation: the layers that every part is made of."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, get_args

import torch
from torch import Tensor, nn
from torch.fx import Proxy
from torch.nn.modules.utils import _pair

from ..choices import Registry, unknown
from ..fields import arguments_of, checked

NormFactory = Callable[[int], nn.Module]
ActFactory = Callable[[], nn.Module]
T = TypeVar("T")

MOST_PARAMETERS = 2**33
LARGE = 2**26
"""parameters that are made without being counted first"""
MOST_LAYERS = 5_000
"""convolutions and linear layers"""


class TooLargeError(ValueError):
    """A network of over ``MOST_PARAMETERS`` or ``MOST_LAYERS``."""


@dataclass
class _Size:
    count_all: Callable[[], None] | None
    parameters: int = 0
    layers: int = 0


_size: ContextVar[_Size | None] = ContextVar("size", default=None)


@contextlib.contextmanager
def _set(variable: ContextVar[T], value: T) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def bounded_size(count_all: Callable[[], None] | None = None) -> AbstractContextManager[None]:
    """Refuse, by TooLargeError, the layer with which a network becomes too large, before it takes
    memory. ``count_all``, called once where a network turns out to be large, makes all of it
    without memory, so that one too large is refused there."""
    return _set(_size, _Size(count_all))


def _count(parameters: int) -> None:
    size = _size.get()
    if size is None:
        return
    size.parameters += parameters
    size.layers += 1
    if size.parameters > MOST_PARAMETERS:
        raise TooLargeError(f"the network would have over {MOST_PARAMETERS:,} parameters.")
    if size.layers > MOST_LAYERS:
        raise TooLargeError(f"the network would have over {MOST_LAYERS:,} layers.")
    if size.parameters > LARGE and size.count_all is not None:
        count_all, size.count_all = size.count_all, None
        count_all()


_initialise: ContextVar[bool] = ContextVar("initialise", default=True)


def skip_init() -> AbstractContextManager[None]:
    """Leave the weights of layers made inside uninitialised, for a checkpoint to fill."""
    return _set(_initialise, False)


_he_normal = partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="relu")
_normal = partial(nn.init.normal_, std=0.01)


class _Conv2d(nn.Conv2d):
    def reset_parameters(self) -> None:
        """Nothing: torch's own draw would be overwritten, and is most of a network's creation."""


class _Linear(nn.Linear):
    def reset_parameters(self) -> None:
        """Nothing, as above."""


def conv2d(
    in_channels: int, out_channels: int, kernel_size: int | tuple[int, int], **args: Any
) -> nn.Conv2d:
    """A plain ``torch.nn.Conv2d`` that is initialised once, He-normal over its outputs (He et
    al. 2015), bias zero."""
    height, width = _pair(kernel_size)
    _count(in_channels * out_channels * height * width // args.get("groups", 1))
    return _initialised(_Conv2d(in_channels, out_channels, kernel_size, **args), _he_normal)


def linear(in_features: int, out_features: int, *, bias: bool = True) -> nn.Linear:
    """A classifier: a plain ``torch.nn.Linear``, initialised N(0, 0.01) with bias zero."""
    _count(in_features * out_features)
    return _initialised(_Linear(in_features, out_features, bias=bias), _normal)


def excitation_linear(in_features: int, out_features: int, *, bias: bool = True) -> nn.Linear:
    """A layer inside a gate, initialised as the 1x1 convolution that it is on one position."""
    _count(in_features * out_features)
    return _initialised(_Linear(in_features, out_features, bias=bias), _he_normal)


L = TypeVar("L", nn.Conv2d, nn.Linear)


def _initialised(layer: L, draw: Callable[[Tensor], object]) -> L:
    # Others' tools look layers up by their exact type: what leaves here is torch's own class.
    layer.__class__ = type(layer).__base__  # type: ignore[assignment]
    layer.draw = draw  # type: ignore[assignment]
    # Torch draws on the meta device through Python, which was half of a network's creation there.
    if _initialise.get() and not layer.weight.is_meta:
        reset_parameters(layer)
    return layer


def reset_parameters(module: nn.Module) -> None:
    """Draw a module's own parameters anew: as this library made them, else as the module says."""
    draw = getattr(module, "draw", None)
    if draw is None:
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
        return
    draw(module.weight)
    if isinstance(module.bias, Tensor):
        nn.init.zeros_(module.bias)


def is_traced(x: Tensor) -> bool:
    """Whether a graph is being made: sizes may be symbols, layouts are the graph's to choose."""
    return isinstance(x, Proxy) or torch.compiler.is_compiling() or torch.jit.is_tracing()


def is_exported() -> bool:
    """Whether a graph is made to be exported, which torch 2.11 says of what it compiles, too."""
    return torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling()


def at_most(side: int, most: int) -> Any:
    """The smaller one, also where a graph is made and sizes are symbols or tensors."""
    if torch.compiler.is_dynamo_compiling():  # torch 2.11's takes no sym_min of numbers
        return min(side, most)
    if torch.jit.is_tracing():  # min would fix its answer
        return torch.as_tensor(side).clamp(max=most)
    return torch.sym_min(side, most)


def is_writable(x: Tensor) -> bool:
    """Whether autograd lets a module's output be overwritten: a view, which backward hooks make
    of it, may not be."""
    return is_traced(x) or not x._is_view()


def chunk(x: Tensor, chunks: int) -> list[Tensor]:
    """The channels in ``chunks`` equal parts. A list, also of a traced map, whose parts cannot be
    counted."""
    if chunks == 1:  # a split into one, which converters (LiteRT's) do not take for a map
        return [x]
    parts = x.chunk(chunks, 1)
    return [parts[i] for i in range(chunks)]


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with fixed statistics and affine: for fine-tuning on small batches.

    State-dict keys are those of ``BatchNorm2d``, so any checkpoint fits.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        super().__init__(num_features, eps, momentum)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        assert self.running_mean is not None and self.running_var is not None
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of ``number`` that is at most ``most``."""
    return next(each for each in range(min(number, most), 0, -1) if number % each == 0)


class GroupNorm(nn.GroupNorm):
    """Group normalisation (Wu and He 2018) that takes its channel count first.

    ``num_groups`` is lowered to the largest divisor of the channels where it does not divide
    them, so that narrow layers (a gate's one-channel map) work.
    """

    def __init__(self, num_channels: int, num_groups: int = 32, **args: Any) -> None:
        super().__init__(largest_divisor(num_channels, num_groups), num_channels, **args)


NORMS: Registry[Callable[..., nn.Module]] = Registry("norm_layer")
NORMS.register("batchnorm", nn.BatchNorm2d)
NORMS.register("frozen_batchnorm", FrozenBatchNorm2d)
NORMS.register("sync_batchnorm", nn.SyncBatchNorm)
NORMS.register("groupnorm", GroupNorm)
NORMS.register("instancenorm", partial(nn.InstanceNorm2d, affine=True))
NORMS.register("identity", nn.Identity)

ACTIVATIONS: Registry[Callable[..., nn.Module]] = Registry("act_layer")
ACTIVATIONS.register("relu", partial(nn.ReLU, inplace=True))
ACTIVATIONS.register("leaky_relu", partial(nn.LeakyReLU, 0.01, inplace=True))
ACTIVATIONS.register("silu", partial(nn.SiLU, inplace=True))
ACTIVATIONS.register("gelu", nn.GELU)
ACTIVATIONS.register("hardswish", partial(nn.Hardswish, inplace=True))
ACTIVATIONS.register("mish", partial(nn.Mish, inplace=True))
ACTIVATIONS.register("elu", partial(nn.ELU, inplace=True))
ACTIVATIONS.register("identity", nn.Identity)


def norm_factory(
    norm: str | Callable[..., nn.Module], args: Mapping[str, Any] | None = None
) -> NormFactory:
    """``channels -> module`` for a registered name, or for a class or function of the user's."""
    make = NORMS.resolve(norm)
    check_args("norm_layer", norm, make, args or {})
    if args or not isinstance(norm, str):
        _check_makes("norm_layer", norm, partial(make, **(args or {})), 8)
    return partial(make, **args) if args else make


def act_factory(act: str | Callable[[], nn.Module]) -> ActFactory:
    """``() -> module`` for a registered name, or for a class or function of the user's."""
    make = ACTIVATIONS.resolve(act)
    if not isinstance(act, str):
        _check_makes("act_layer", act, make)
    return make


def _check_makes(kind: str, name: object, make: Callable[..., Any], *args: Any) -> None:
    """Refuse what does not make a module of ``args``."""
    try:
        with torch.device("meta"):
            made = make(*args)
        if isinstance(made, nn.Module) and type(made).forward is not nn.Module.forward:
            return
        why = f"it makes a {type(made).__name__}, not a module that can run"
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
    takes = "the channel count" if args else "no arguments"
    raise ValueError(f"{kind}={name!r} must be a class or function of {takes}: {why}")


def check_args(kind: str, name: object, make: Callable[..., Any], args: Mapping[str, Any]) -> None:
    """Refuse arguments that ``make`` does not take. The first one is the builder's to give."""
    if not args and isinstance(name, str):
        return
    try:
        parameters = list(inspect.signature(make).parameters.values())[1:]
    except (TypeError, ValueError):
        raise ValueError(f"{kind}={name!r} is no class or function of modules.") from None
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    valid = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for key in args:
        if key not in valid and not takes_all:
            raise unknown(f"argument of {kind}={name!r}", key, valid)
    types = arguments_of(make) if args else {}
    for key, value in args.items():
        if key in types:
            bounds = _BOUNDS.get(key)
            if bounds is None and int in (types[key], *get_args(types[key])) and _is_ours(make):
                bounds = {"least": 1}  # all of them count something
            checked(f"{key} of {kind}={name!r}", value, types[key], bounds)


def _is_ours(make: Callable[..., Any]) -> bool:
    return getattr(make, "__module__", "").startswith(f"{__package__}.")


_BOUNDS: dict[str, dict[str, float]] = {
    "eps": {"least": 1e-30, "most": 1.0},
    "momentum": {"least": 0.0, "most": 1.0},
    "radix": {"least": 0},
}
"""of the arguments of parts, where they are not those of their type"""


class ConvNormAct(nn.Module):
    """Convolution, normalisation, activation: (N, C, H, W) to (N, C', ceil(H/s), ceil(W/s)).

    ``padding`` defaults to what keeps the size at stride 1. ``act=None`` leaves the activation
    out, ``norm=None`` the normalisation (the convolution then has a bias).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 1,
        *,
        stride: int = 1,
        padding: int | tuple[int, int] | None = None,
        dilation: int = 1,
        groups: int = 1,
        bias: bool | None = None,
        norm: NormFactory | None,
        act: ActFactory | None,
    ) -> None:
        super().__init__()
        if padding is None:
            height, width = _pair(kernel_size)
            padding = (dilation * (height // 2), dilation * (width // 2))
        self.conv = conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=norm is None if bias is None else bias,
        )
        self.norm = norm(out_channels) if norm else nn.Identity()
        self.act = act() if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


def make_divisible(value: float, divisor: int) -> int:
    """The multiple of ``divisor`` nearest to ``value``, and never under 90 % of it."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
