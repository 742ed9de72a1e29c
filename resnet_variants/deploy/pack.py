"""A network rewritten for inference with torch alone: folded, fused, packed."""

from __future__ import annotations

import copy
from collections.abc import Container, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..blocks.attention_module import Mask, MixedMask
from ..blocks.inception import ScaledResidual
from ..blocks.layers import ConvNormAct, FrozenBatchNorm2d
from ..blocks.preactivation import PreActivation
from ..blocks.shuffle import ShuffleUnit
from .branches import MergedBranches
from .convolutions import FUSABLE, PackedConv, fastest
from .units import FusedUnit, ShuffledStage, absorb_activation, absorb_scale

_NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d, nn.SyncBatchNorm)


def pack(
    model: nn.Module,
    example: Tensor,
    *,
    channels_last: bool = True,
    measure: bool = True,
    dtype: torch.dtype | None = None,
) -> nn.Module:
    """A copy of a network for inference on a CPU; the network itself stays as it is.

    Batch normalisation is folded into the convolution before it, channel shuffles into the
    weights beside them, and parallel convolutions of one input become one. In float32 where
    torch has oneDNN, convolutions are packed, each in the form that is fastest for the sizes
    that ``example`` gives it (``measure=False``: the direct form), with the activation in the
    same pass and the addition of a residual unit, too. Any batch and image size works. Parts of
    the user's own, and what is in them, stay as they are. ``dtype`` (bfloat16 of a float32
    network) is what it computes in, folded before it is rounded; images and outputs keep theirs.
    """
    net = copy.deepcopy(model).eval().requires_grad_(False)
    measure = measure and channels_last and dtype in (None, torch.float32)
    packs = (
        example.dtype == torch.float32
        and example.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
    )
    own = dict.fromkeys(_own_modules(net))
    dtype = dtype or example.dtype
    with torch.no_grad():
        sizes = _input_sizes(net, example)
        for module in own:
            _fold(module)
        _replace(net, own, ShuffledStage)
        _replace(net, own, MergedBranches)
        if channels_last:
            net = net.to(memory_format=torch.channels_last)
        net = net.to(dtype)
        if packs:
            for module in [each for each in net.modules() if each in own]:
                _pack_convs(module, sizes, measure=measure)
            _replace(net, own, FusedUnit)
    return _Layout(net, channels_last, dtype)


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
    kind: type[FusedUnit] | type[ShuffledStage] | type[MergedBranches],
) -> None:
    for parent in list(net.modules()):
        for slot, child in parent.named_children():
            if child in own and kind.takes(child):
                setattr(parent, slot, kind(child))  # type: ignore[arg-type]


def _fold(module: nn.Module) -> None:
    """Fold normalisations, scales and activations into the convolutions before them."""
    if isinstance(module, ConvNormAct):
        if _folds_into(module.conv, module.norm):
            module.norm = nn.Identity()
    elif isinstance(module, Mask):
        between = module.linear[2]
        if isinstance(between, PreActivation) and _folds_into(module.linear[1], between.norm):
            between.norm = nn.Identity()
    elif isinstance(module, ScaledResidual):
        absorb_scale(module)
    elif isinstance(module, ShuffleUnit):
        absorb_activation(module)


def _folds_into(conv: nn.Module, norm: nn.Module) -> bool:
    """Fold a normalisation by fixed statistics into a convolution, if it is one."""
    if type(conv) is not nn.Conv2d or type(norm) not in _NORMS or norm.running_mean is None:
        return False
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,  # type: ignore[arg-type]
        norm.running_var,  # type: ignore[arg-type]
        norm.eps,  # type: ignore[arg-type]
        norm.weight,  # type: ignore[arg-type]
        norm.bias,  # type: ignore[arg-type]
    )
    conv.requires_grad_(False)
    return True


def _pack_convs(
    module: nn.Module, sizes: dict[nn.Module, tuple[int, ...]], *, measure: bool
) -> None:
    """Pack a part's convolutions, with the activations behind them."""
    if isinstance(module, ConvNormAct):
        if type(module.conv) is nn.Conv2d:
            fuses = type(module.norm) is nn.Identity and type(module.act) in FUSABLE
            act = FUSABLE[type(module.act)] if fuses else "none"
            module.conv = _packed(module.conv, sizes, act, measure)  # type: ignore[assignment]
            if fuses:
                module.act = nn.Identity()
    elif isinstance(module, PreActivation):
        # A depthwise convolution of one position: scale, shift and ReLU in one pass.
        scaling = _scaling(module.norm)
        if scaling is not None and type(module.act) is nn.ReLU:
            module.norm, module.act = PackedConv(scaling, act="relu"), nn.Identity()
    elif isinstance(module, Mask):
        linear = module.linear
        between = linear[2]
        if isinstance(between, PreActivation) and type(between.norm) is nn.Identity:
            act = FUSABLE.get(type(between.act), "none")
            linear[1] = _packed(linear[1], sizes, act)
            if act != "none":
                between.act = nn.Identity()
        act = "sigmoid" if type(module.gate) is MixedMask else "none"
        linear[3] = _packed(linear[3], sizes, act)
        if act == "sigmoid":
            module.gate = nn.Identity()


def _packed(
    conv: nn.Module, sizes: dict[nn.Module, tuple[int, ...]], act: str, measure: bool = False
) -> nn.Module:
    assert isinstance(conv, nn.Conv2d)
    return fastest(conv, sizes.get(conv), act=act, measure=measure)


def _scaling(norm: nn.Module) -> nn.Conv2d | None:
    """A normalisation by fixed statistics as a depthwise convolution."""
    if type(norm) not in _NORMS:
        return None
    channels: int = norm.num_features  # type: ignore[assignment]
    conv = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
    nn.init.ones_(conv.weight)
    return conv if _folds_into(conv, norm) else None


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
