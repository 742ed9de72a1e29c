"""The gates: attention that multiplies a feature map, (N, C, H, W) to the same shape.

A gate is an ordinary module and works alone: ``SE(256)(torch.rand(2, 256, 14, 14))``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .gates import ChannelGate, Gate, check_odd, register_attention
from .layers import NormFactory, conv2d, excitation_linear


@register_attention("se")
class SE(ChannelGate):
    """Squeeze-and-excitation (Hu et al., CVPR 2018): sigmoid(W2 relu(W1 mean(x))).

    ``hidden`` is channels // reduction unless given; ``divisor`` rounds it to the nearest
    multiple, as timm does with 8 (Hu et al. do not round). The authors' released weights have
    biases; their journal ablations and the ECA paper's baseline have none (``bias=False``).
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        *,
        hidden: int | None = None,
        divisor: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if reduction < 1:
            raise ValueError(f"reduction must be at least 1, not {reduction!r}.")
        if hidden is None:
            hidden = max(divisor, (channels // reduction + divisor // 2) // divisor * divisor)
        self.fc1 = excitation_linear(channels, hidden, bias=bias)
        self.act = nn.ReLU(inplace=True)
        self.fc2 = excitation_linear(hidden, channels, bias=bias)

    def excitation(self, y: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(y)))


@register_attention("se_var1")
class SEVar1(ChannelGate):
    """SE without parameters: sigmoid(mean(x)) (SE-Var1; Wang et al., CVPR 2020, Table 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def excitation(self, y: Tensor) -> Tensor:
        return y


@register_attention("se_var2")
class SEVar2(ChannelGate):
    """One weight a channel, no interaction: sigmoid(w * mean(x)) (SE-Var2, as SE-Var1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as SE-Var1."""
        nn.init.ones_(self.weight)

    def excitation(self, y: Tensor) -> Tensor:
        return self.weight * y


@register_attention("se_var3")
class SEVar3(ChannelGate):
    """SE without the reduction: sigmoid(W mean(x)), W a full C x C matrix (SE-Var3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = excitation_linear(channels, channels, bias=False)

    def excitation(self, y: Tensor) -> Tensor:
        return self.fc(y)


@register_attention("se_gc")
class SEGC(ChannelGate):
    """Interaction inside groups of channels: W block-diagonal (SE-GC, as SE-Var1).

    Give ``groups`` (the paper's SE-GC1 has 16) or ``group_width``, the channels of a group
    (SE-GC2: 16, SE-GC3: 8). Raises ValueError when the channels do not divide.
    """

    def __init__(
        self, channels: int, groups: int | None = None, *, group_width: int | None = None
    ) -> None:
        super().__init__()
        if groups is not None and group_width is not None:
            raise ValueError(f"Give groups={groups} or group_width={group_width}, not both.")
        if groups is None:
            groups = channels // group_width if group_width else 16
        if groups < 1 or channels % groups:
            raise ValueError(f"se_gc: {channels} channels do not divide into {groups} groups.")
        self.conv = conv2d(channels, channels, 1, groups=groups, bias=False)

    def excitation(self, y: Tensor) -> Tensor:
        return self.conv(y[:, :, None, None]).flatten(1)


def eca_kernel_size(channels: int, gamma: float = 2, b: float = 1) -> int:
    """The adaptive kernel of ECA-Net, the odd number at |log2(C) / gamma + b / gamma|.

    Rounded as the authors' and timm's code do: truncated, then up to the next odd one.
    """
    size = int(abs((math.log2(channels) + b) / gamma))
    return max(size if size % 2 else size + 1, 3)


@register_attention("eca")
class ECA(ChannelGate):
    """Efficient channel attention (Wang et al., CVPR 2020): SE's matrices become one
    convolution over neighbouring channels, k parameters in all.

    ``kernel_size=None`` takes the adaptive formula; the authors' released weights have kernels
    chosen by hand, a stage each (3, 5, 5, 7 in ECA-ResNet-50).
    """

    def __init__(self, channels: int, kernel_size: int | None = None) -> None:
        super().__init__()
        kernel_size = eca_kernel_size(channels) if kernel_size is None else kernel_size
        check_odd("eca: kernel_size", kernel_size)
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def excitation(self, y: Tensor) -> Tensor:
        return self.conv(y[:, None]).squeeze(1)


@register_attention("eca_ns")
class ECANS(ChannelGate):
    """ECA with weights not shared: each channel has its own k taps (ECA-NS, ECA repository)."""

    def __init__(self, channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        check_odd("eca_ns: kernel_size", kernel_size)
        self.kernel_size = kernel_size
        self.conv = nn.Conv1d(channels, channels, kernel_size, groups=channels, bias=False)

    def excitation(self, y: Tensor) -> Tensor:
        pad = self.kernel_size // 2
        neighbours = F.pad(y, (pad, pad)).unfold(1, self.kernel_size, 1)  # (N, C, k)
        return self.conv(neighbours).squeeze(2)


@register_attention("ssa")
class SSA(Gate):
    """Squeeze and spatial attention (SSANet): a map of (N, 1, H, W), each position's mean of
    the channels weighted by their global means, normalised, through a sigmoid.

    Two parameters, those of the normalisation. The author's code takes the mean over the
    channels, the text a sum: ``reduce="sum"``. With ``channels_per_map`` the channels are cut
    into groups of that many, a map each. The "SSA" of EMA's paper is another module.
    """

    def __init__(
        self,
        channels: int,
        *,
        channels_per_map: int | None = None,
        reduce: str = "mean",
        norm_layer: NormFactory = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        if reduce not in ("mean", "sum"):
            raise ValueError(f"ssa: reduce must be 'mean' or 'sum', not {reduce!r}.")
        width = min(channels_per_map or channels, channels)
        if width < 1 or channels % width:
            raise ValueError(f"{channels} channels do not divide into maps of {width} channels.")
        self.groups = channels // width
        self.scale = 1 / width if reduce == "mean" else 1.0
        self.norm = norm_layer(self.groups)

    def weights(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        # A product of matrices instead of a weighted map and its mean: no copy of x.
        features = x.flatten(2).unflatten(1, (self.groups, c // self.groups))  # (N, G, C/G, HW)
        squeezed = features.mean(3, keepdim=True).transpose(2, 3) * self.scale  # (N, G, 1, C/G)
        maps = (squeezed @ features).view(n, self.groups, h, w)
        maps = self.gate(self.norm(maps))
        return maps if self.groups == 1 else maps.repeat_interleave(c // self.groups, 1)


@register_attention("group_salient")
class GroupSalient(SSA):
    """SSA with one map for every 32 channels (the Salient-Net repository's grouped block)."""

    def __init__(
        self,
        channels: int,
        channels_per_map: int = 32,
        *,
        reduce: str = "mean",
        norm_layer: NormFactory = nn.BatchNorm2d,
    ) -> None:
        super().__init__(
            channels, channels_per_map=channels_per_map, reduce=reduce, norm_layer=norm_layer
        )


@register_attention("salient")
class Salient(Gate):
    """Salient-Net: a saliency map of (N, 1, H, W), a learned 1x1 convolution to one channel,
    normalised, through a sigmoid. C + 2 parameters."""

    def __init__(self, channels: int, *, norm_layer: NormFactory = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv = conv2d(channels, 1, 1, bias=False)
        self.norm = norm_layer(1)

    def weights(self, x: Tensor) -> Tensor:
        return self.gate(self.norm(self.conv(x)))
