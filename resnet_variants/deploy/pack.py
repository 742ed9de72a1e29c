"""A network rewritten for inference with torch alone: folded, fused, packed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..blocks.attention_module import Mask, MixedMask
from ..blocks.inception import ResidualInception
from ..blocks.layers import ConvNormAct
from ..blocks.preactivation import PreActivation
from ..blocks.repvgg import RepConv
from ..blocks.shuffle import ShuffleUnit
from ..network.folding import as_conv, folds_into, sum_branches
from .branches import MergedBranches
from .cpu import FUSABLE, fastest
from .devices import current
from .gpu import GpuConv, MaxPool
from .units import FusedUnit, ShuffledStage, absorb_activation, absorb_scale


def pack(
    model: nn.Module,
    example: Tensor,
    *,
    channels_last: bool = True,
    measure: bool = True,
    dtype: torch.dtype | None = None,
    target: str | None = None,
) -> nn.Module:
    """A copy of a network for inference on a CPU or an NVIDIA GPU; the network stays as it is.

    Batch normalisation is folded into the convolution before it, channel shuffles into the
    weights beside them, and parallel convolutions of one input become one (also by addition:
    ``conv="repvgg"``). On a GPU, and in
    float32 on a CPU where torch has oneDNN, convolutions are packed, each in the form that is
    fastest for the sizes that ``example`` gives it (``measure=False``: the direct form), with the
    activation in the same pass and the addition of a residual unit, too. Any batch and image size
    works. Parts of the user's own, and what is in them, stay as they are. ``dtype`` (of a float32
    network: bfloat16, on a GPU also float16) is what it computes in, folded before it is rounded;
    images and outputs keep theirs. ``target`` is the kind of device, that of ``example`` if not
    given: what is packed for ``cuda`` runs on a CPU, too, slowly.
    """
    net = copy.deepcopy(model).eval().requires_grad_(False)
    own = dict.fromkeys(_own_modules(net))
    kind = target or example.device.type
    dtype = dtype or example.dtype
    with torch.no_grad(), current(example.device):
        sizes = _input_sizes(net, example) if kind == "cpu" else {}
        for module in own:
            _fold(module)
        _replace(net, own, ShuffledStage)
        _replace(net, own, MergedBranches)
        if channels_last:
            net = net.to(memory_format=torch.channels_last)
        if kind == "cuda":
            _pack(net, own, partial(GpuConv, measure=measure))
            if channels_last:
                _replace(net, own, MaxPool)
            net = net.to(dtype)
            packed = _Layout(net, channels_last, dtype)
            packed(example)  # at their first use convolutions choose their form
            return packed
        net = net.to(dtype)
        if kind == "cpu" and example.dtype == torch.float32 and _packs(dtype):
            measure = measure and channels_last and dtype == torch.float32
            make = partial(_for_cpu, sizes, measure)
            _pack(net, own, make)
            _pack_maps(net, own, sizes, make)
    return _Layout(net, channels_last, dtype)


Make = Callable[[nn.Conv2d, str], nn.Module]
"""a convolution and the activation behind it, packed"""


def _pack(net: nn.Module, own: Container[nn.Module], make: Make) -> None:
    for module in [each for each in net.modules() if each in own]:
        _pack_convs(module, make)
    _replace(net, own, FusedUnit)


def _packs(dtype: torch.dtype) -> bool:
    """Whether torch has oneDNN here, and with it kernels for this type: on processors with AVX2
    alone none for bfloat16, which torch's own, slow ones compute."""
    if not torch.backends.mkldnn.is_available():
        return False
    known: bool = dtype != torch.bfloat16 or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return known


def _pack_maps(
    net: nn.Module, own: Container[nn.Module], sizes: dict[nn.Module, tuple[int, ...]], make: Make
) -> None:
    """Pack what is left and sees more than one position: the convolutions of gates' maps."""
    for module in [each for each in net.modules() if each in own]:
        for slot, child in module.named_children():
            if type(child) is nn.Conv2d and max(sizes.get(child, (1,))[2:], default=1) > 1:
                setattr(module, slot, make(child, "none"))


def _for_cpu(
    sizes: dict[nn.Module, tuple[int, ...]], measure: bool, conv: nn.Conv2d, act: str
) -> nn.Module:
    return fastest(conv, sizes.get(conv), act=act, measure=measure)


class _Layout(nn.Module):
    """Puts images in the memory order and the type that the network was packed for, and its
    outputs in the type of the images."""

    def __init__(self, net: nn.Module, channels_last: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.net = net
        self.order = torch.channels_last if channels_last else torch.contiguous_format
        self.dtype = dtype

    def forward(self, x: Tensor) -> Any:
        y = self.net(x.contiguous(memory_format=self.order).to(self.dtype))
        if x.dtype == self.dtype:
            return y
        return y.to(x.dtype) if isinstance(y, Tensor) else [each.to(x.dtype) for each in y]


def _own_modules(module: nn.Module) -> Iterator[nn.Module]:
    """The module and all in it, but for parts of other origin than torch and this library."""
    if type(module).__module__.split(".")[0] in ("torch", __package__.split(".")[0]):
        yield module
        for child in module.children():
            yield from _own_modules(child)


def _replace(
    net: nn.Module,
    own: Container[nn.Module],
    kind: type[FusedUnit] | type[ShuffledStage] | type[MergedBranches] | type[MaxPool],
) -> None:
    for parent in list(net.modules()):
        for slot, child in parent.named_children():
            if child in own and kind.takes(child):
                setattr(parent, slot, kind(child))  # type: ignore[arg-type]


def _fold(module: nn.Module) -> None:
    """Fold normalisations, scales and activations into the convolutions before them."""
    if isinstance(module, ConvNormAct):
        if folds_into(module.conv, module.norm):
            module.norm = nn.Identity()
    elif isinstance(module, RepConv):
        sum_branches(module)
    elif isinstance(module, Mask):
        between = module.linear[2]
        if isinstance(between, PreActivation) and folds_into(module.linear[1], between.norm):
            between.norm = nn.Identity()
    elif isinstance(module, ResidualInception):
        absorb_scale(module)
    elif isinstance(module, ShuffleUnit):
        absorb_activation(module)


def _pack_convs(module: nn.Module, make: Make) -> None:
    """Pack a part's convolutions, with the activations behind them."""
    if isinstance(module, ConvNormAct):
        if type(module.conv) is nn.Conv2d:
            fuses = type(module.norm) is nn.Identity and type(module.act) in FUSABLE
            act = FUSABLE[type(module.act)] if fuses else "none"
            module.conv = make(module.conv, act)  # type: ignore[assignment]
            if fuses:
                module.act = nn.Identity()
    elif isinstance(module, PreActivation):
        # A depthwise convolution of one position: scale, shift and ReLU in one pass.
        scaling = as_conv(module.norm)
        if scaling is not None and type(module.act) is nn.ReLU:
            module.norm, module.act = make(scaling, "relu"), nn.Identity()
    elif isinstance(module, Mask):
        linear = module.linear
        between = linear[2]
        if isinstance(between, PreActivation) and type(between.norm) is nn.Identity:
            act = FUSABLE.get(type(between.act), "none")
            linear[1] = make(linear[1], act)  # type: ignore[arg-type]
            if act != "none":
                between.act = nn.Identity()
        act = "sigmoid" if type(module.gate) is MixedMask else "none"
        linear[3] = make(linear[3], act)  # type: ignore[arg-type]
        if act == "sigmoid":
            module.gate = nn.Identity()


def _input_sizes(net: nn.Module, example: Tensor) -> dict[nn.Module, tuple[int, ...]]:
    """The shape that each convolution sees."""
    sizes: dict[nn.Module, tuple[int, ...]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sizes[module] = tuple(inputs[0].shape)

    convs = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    handles = [conv.register_forward_pre_hook(note) for conv in convs]
    net(example)
    for handle in handles:
        handle.remove()
    return sizes
