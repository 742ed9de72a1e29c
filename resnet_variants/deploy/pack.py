"""A network rewritten for inference with torch alone: folded, fused, packed."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..blocks.layers import ConvNormAct
from ..blocks.preactivation import PreActUnit
from ..blocks.residual import BasicUnit, Bottleneck


class PackedConv(nn.Module):
    """A convolution of oneDNN with its weights in the order that its kernels read, and an
    activation or an addition in the same pass."""

    def __init__(self, conv: nn.Conv2d, *, relu: bool, input_size: tuple[int, ...] | None) -> None:
        super().__init__()
        self.args = (
            list(conv.padding),
            list(conv.stride),
            list(conv.dilation),
            conv.groups,
        )
        weight = conv.weight.detach()
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            weight, *self.args, list(input_size) if input_size else None
        )
        self.bias = None if conv.bias is None else conv.bias.detach()
        self.relu = "relu" if relu else "none"

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self.args, self.relu, [], ""
        )

    def add_relu(self, x: Tensor, other: Tensor, relu: bool) -> Tensor:
        """The convolution of ``x``, plus ``other``, then ReLU if asked."""
        return torch.ops.mkldnn._convolution_pointwise.binary(
            x,
            other,
            self.weight,
            self.bias,
            *self.args,
            "add",
            1.0,
            "relu" if relu else None,
            [],
            None,
        )


class FusedUnit(nn.Module):
    """A residual unit whose last convolution adds the shortcut and activates."""

    def __init__(self, unit: BasicUnit | Bottleneck | PreActUnit) -> None:
        super().__init__()
        self.unit = unit
        last = unit.conv2 if isinstance(unit, BasicUnit) else unit.conv3
        assert isinstance(last, ConvNormAct)
        self.last = last
        self.relu = not isinstance(unit, PreActUnit)

    def forward(self, x: Tensor) -> Tensor:
        unit = self.unit
        if isinstance(unit, PreActUnit):
            y = unit.before(x)
            shortcut = unit.shortcut(y if unit.projects else x)
            y = unit.conv2(unit.conv1(y))
        else:
            shortcut = unit.shortcut(x)
            y = unit.conv1(x)
            if isinstance(unit, Bottleneck):
                y = unit.pool_after(unit.conv2(unit.pool_before(y)))
        packed = self.last.conv
        assert isinstance(packed, PackedConv)
        return packed.add_relu(y, shortcut, self.relu)


def pack(model: nn.Module, example: Tensor, *, channels_last: bool = True) -> nn.Module:
    """A copy of a network for inference on a CPU; the network itself stays as it is.

    Batch normalisation is folded into the convolution before it. In float32 where torch has
    oneDNN, convolutions are packed with ReLU in the same pass, and where no gate stands between,
    residual units add their shortcut there, too. Any batch and image size works; ``example``
    tells the sizes to pack for.
    """
    net = copy.deepcopy(model).eval().requires_grad_(False)
    sizes = _input_sizes(net, example)
    packs = (
        example.dtype == torch.float32
        and example.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
    )
    for module in list(net.modules()):
        if isinstance(module, ConvNormAct):
            _fold(module)
    if channels_last:
        net = net.to(memory_format=torch.channels_last)
    if not packs:
        return _Layout(net, channels_last)
    names = {module: name for name, module in net.named_modules()}
    for module in list(net.modules()):
        if isinstance(module, ConvNormAct) and type(module.conv) in _PLAIN:
            relu = isinstance(module.norm, nn.Identity) and isinstance(module.act, nn.ReLU)
            size = sizes.get(names[module.conv])
            setattr(module, "conv", PackedConv(module.conv, relu=relu, input_size=size))  # noqa: B010
            if relu:
                module.act = nn.Identity()
    for parent in list(net.modules()):
        for slot, child in parent.named_children():
            if isinstance(child, (BasicUnit, Bottleneck, PreActUnit)) and _fusable(child):
                setattr(parent, slot, FusedUnit(child))
    return _Layout(net, channels_last)


class _Layout(nn.Module):
    """Puts images in the memory order that the network was packed for."""

    def __init__(self, net: nn.Module, channels_last: bool) -> None:
        super().__init__()
        self.net = net
        self.order = torch.channels_last if channels_last else torch.contiguous_format

    def forward(self, x: Tensor) -> Any:
        return self.net(x.contiguous(memory_format=self.order))


_PLAIN = tuple({nn.Conv2d, *nn.Conv2d.__subclasses__()})


def _fold(module: ConvNormAct) -> None:
    if isinstance(module.norm, nn.BatchNorm2d) and module.norm.track_running_stats:
        module.conv = fuse_conv_bn_eval(module.conv, module.norm)
        module.norm = nn.Identity()


def _fusable(unit: nn.Module) -> bool:
    if isinstance(unit, PreActUnit):
        return unit.attention is None and isinstance(unit.conv3.conv, PackedConv)
    if not isinstance(unit, (BasicUnit, Bottleneck)) or unit.attention is not None:
        return False
    last = unit.conv2 if isinstance(unit, BasicUnit) else unit.conv3
    return (
        isinstance(unit.act, nn.ReLU)
        and isinstance(last, ConvNormAct)
        and isinstance(last.conv, PackedConv)
        and isinstance(last.norm, nn.Identity)
    )


def _input_sizes(net: nn.Module, example: Tensor) -> dict[str, tuple[int, ...]]:
    """The shape that each convolution sees."""
    sizes: dict[str, tuple[int, ...]] = {}

    def watch(name: str, module: nn.Module) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            sizes[name] = tuple(inputs[0].shape)

        return module.register_forward_pre_hook(hook)

    handles = [
        watch(name, module) for name, module in net.named_modules() if isinstance(module, nn.Conv2d)
    ]
    with torch.no_grad():
        net(example)
    for handle in handles:
        handle.remove()
    return sizes
