"""More gates that look at places: at rows and columns, at single numbers, at groups of maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention_channels import reduced
from .gates import Gate, check_odd, deviation, over, register_attention
from .layers import GroupNorm, NormFactory, conv2d, largest_divisor


@register_attention("coordinate")
class CoordinateAttention(Gate):
    """Coordinate attention (Hou et al., CVPR 2021): a weight for each row and one for each
    column of each channel, (N, C, H, 1) and (N, C, 1, W), multiplied.

    The means of rows and columns pass one 1x1 convolution to max(``least``, C / ``reduction``)
    channels, normalised, hard swish, and one each back. "CA" of the paper is this, elsewhere it
    is channel attention.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 32,
        *,
        least: int = 8,
        norm_layer: NormFactory = nn.BatchNorm2d,
    ) -> None:
        super().__init__(gate=nn.Identity())
        hidden = reduced(channels, reduction, least)
        self.conv1 = conv2d(channels, hidden, 1)
        self.norm = norm_layer(hidden)
        self.act = nn.Hardswish(inplace=True)
        self.conv_h = conv2d(hidden, channels, 1)
        self.conv_w = conv2d(hidden, channels, 1)
        self.ends = ("conv_h", "conv_w")

    def weights(self, x: Tensor) -> Tensor:
        rows, columns = over(torch.mean, x, 3), over(torch.mean, x, 2)
        lines = torch.cat((rows, columns.transpose(2, 3)), 2)
        lines = self.act(self.norm(self.conv1(lines)))  # (N, C/r, H + W, 1)
        rows, columns = lines.split((x.shape[2], x.shape[3]), 2)
        rows = self.conv_h(rows).sigmoid()
        return self.gate(rows * self.conv_w(columns.transpose(2, 3)).sigmoid())


@register_attention("ela")
class ELA(Gate):
    """Efficient local attention (Xu and Wan, 2024): coordinate attention without its narrow
    layer; the means of rows and of columns pass the same convolution along the line, group
    normalisation and sigmoid.

    The paper's ELA-T has ``kernel_size`` 5, ``norm_groups`` 32; ELA-B, the default, 7 and 16,
    both with a kernel a channel; ELA-S and -L are 5 and 7 with ``groups = channels // 8``.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 7,
        *,
        groups: int | None = None,
        norm_groups: int = 16,
    ) -> None:
        super().__init__(gate=nn.Identity())
        groups = channels if groups is None else groups
        check_odd("ela: kernel_size", kernel_size)
        if groups < 1 or channels % groups:
            raise ValueError(f"ela: {channels} channels do not divide into {groups} groups.")
        self.conv = nn.Conv1d(
            channels, channels, kernel_size, padding=kernel_size // 2, groups=groups, bias=False
        )
        self.norm = GroupNorm(channels, norm_groups)

    def _line(self, means: Tensor) -> Tensor:
        return self.norm(self.conv(means)).sigmoid()

    def weights(self, x: Tensor) -> Tensor:
        rows, columns = over(torch.mean, x, 3).squeeze(3), over(torch.mean, x, 2).squeeze(2)
        return self.gate(self._line(rows)[..., None] * self._line(columns)[:, :, None])


@register_attention("simam")
class SimAM(Gate):
    """SimAM (Yang et al., ICML 2021): a weight for each number and no parameters,
    sigmoid(d / (4 (v + lambda)) + 1/2), d its squared distance from its channel's mean, v the
    channel's variance (over H W - 1). ``eps`` is lambda."""

    def __init__(self, channels: int, *, eps: float = 1e-4) -> None:
        super().__init__()
        if eps <= 0:
            raise ValueError(f"simam: eps must be positive, not {eps!r}.")
        self.eps = eps

    def weights(self, x: Tensor) -> Tensor:
        places = x.shape[2] * x.shape[3]
        free = places - 1 + 1 // places  # a map of one place has a variance of zero
        distance = (x - x.mean((2, 3), keepdim=True)).square()
        variance = distance.mean((2, 3), keepdim=True) * (places / free)
        return self.gate(distance / (4 * (variance + self.eps)) + 0.5)


@register_attention("sge")
class SGE(Gate):
    """Spatial group-wise enhance (Li, Hu and Yang, 2019): in each of ``groups`` groups of
    channels a map, the similarity of each place with the group's mean, normalised over the
    places, scaled and shifted by two numbers of the group, through a sigmoid.

    2 x 64 parameters; starts at sigmoid(1) everywhere. ``groups`` is lowered to a divisor of
    the channels. SSA is this without groups, with a normalisation over images.
    """

    def __init__(self, channels: int, groups: int = 64, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.groups = largest_divisor(channels, groups)
        self.eps = eps
        self.scale = nn.Parameter(torch.empty(self.groups, 1, 1))
        self.shift = nn.Parameter(torch.empty(self.groups, 1, 1))
        self.share = channels // self.groups
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Scale zero and shift one, as the paper found best."""
        nn.init.zeros_(self.scale)
        nn.init.ones_(self.shift)

    def weights(self, x: Tensor) -> Tensor:
        similar = x * x.mean((2, 3), keepdim=True)
        similar = similar.unflatten(1, (self.groups, self.share)).sum(2)  # (N, G, H, W)
        mean = similar.mean((2, 3), keepdim=True)
        relative = (similar - mean) / (deviation(similar, mean) + self.eps)
        maps = self.gate(relative * self.scale + self.shift)
        return maps.repeat_interleave(self.share, 1)


@register_attention("lsk")
class LSK(Gate):
    """Large selective kernel (Li et al., LSKNet, ICCV 2023): a 5x5 and upon it a dilated 7x7
    depthwise convolution; two maps, from the mean and the maximum over channels of both, say at
    each place which counts; the choice, back to C channels, multiplies.

    No sigmoid bounds what it multiplies with. (A ``conv`` with the same idea along channels is
    ``selective_kernel``.)
    """

    def __init__(self, channels: int) -> None:
        super().__init__(gate=nn.Identity())
        half = max(channels // 2, 1)
        self.near = conv2d(channels, channels, 5, padding=2, groups=channels)
        self.far = conv2d(channels, channels, 7, padding=9, dilation=3, groups=channels)
        self.near_reduce = conv2d(channels, half, 1)
        self.far_reduce = conv2d(channels, half, 1)
        self.select = conv2d(2, 2, 7, padding=3)
        self.expand = conv2d(half, channels, 1)

    def weights(self, x: Tensor) -> Tensor:
        near = self.near(x)
        far = self.far_reduce(self.far(near))
        near = self.near_reduce(near)
        both = torch.cat((near, far), 1)
        maps = torch.cat((both.mean(1, keepdim=True), both.amax(1, keepdim=True)), 1)
        for_near, for_far = self.select(maps).sigmoid().split(1, 1)
        return self.gate(self.expand(near * for_near + far * for_far))
