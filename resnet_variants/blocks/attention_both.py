"""Gates that look at channels and at places."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from ..choices import check_choice
from .attention_channels import reduced
from .gates import Gate, check_odd, over, register_attention
from .layers import GroupNorm, NormFactory, conv2d, excitation_linear, largest_divisor
from .shuffle import ChannelShuffle


class _Channels(nn.Module):
    """CBAM's channels: sigmoid(MLP(mean) + MLP(maximum)), one MLP for both."""

    def __init__(self, channels: int, reduction: int = 16, *, bias: bool = True) -> None:
        super().__init__()
        hidden = reduced(channels, reduction)
        self.fc1 = excitation_linear(channels, hidden, bias=bias)
        self.act = nn.ReLU(inplace=True)
        self.fc2 = excitation_linear(hidden, channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        mean, most = x.mean((2, 3)), x.amax((2, 3))
        y = self.fc2(self.act(self.fc1(mean))) + self.fc2(self.act(self.fc1(most)))
        return y.sigmoid()[:, :, None, None]


class _Map(nn.Module):
    """A map from the maximum and the mean over channels, or over another axis, whose place they
    take: sigmoid(BN(conv([max; mean])))."""

    def __init__(self, kernel_size: int = 7, *, norm_layer: NormFactory = nn.BatchNorm2d) -> None:
        super().__init__()
        check_odd("kernel_size", kernel_size)
        self.conv = conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = norm_layer(1)

    def forward(self, x: Tensor, axis: int = 1) -> Tensor:
        pooled = torch.cat((over(torch.amax, x, axis), over(torch.mean, x, axis)), axis)
        return self.norm(self.conv(pooled.transpose(1, axis))).sigmoid().transpose(1, axis)


@register_attention("cbam")
class CBAM(Gate):
    """Convolutional block attention module (Woo et al., ECCV 2018): a weight for each channel,
    from mean and maximum by SE's two layers, then a map, from mean and maximum over the weighted
    channels by a 7x7 convolution.

    ``order`` is ``"channel_spatial"``, or of the paper's ablation ``"spatial_channel"``,
    ``"channel"``, ``"spatial"``. The released code, whose weights are published, has biases and
    a normalisation after the 7x7; the text has neither (``bias=False``, timm's).
    """

    ORDERS = ("channel_spatial", "spatial_channel", "channel", "spatial")

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        *,
        kernel_size: int = 7,
        order: str = "channel_spatial",
        bias: bool = True,
        norm_layer: NormFactory = nn.BatchNorm2d,
    ) -> None:
        super().__init__(gate=nn.Identity())
        check_choice("cbam: order", order, self.ORDERS)
        self.order = order.split("_")
        if "channel" in self.order:
            self.channel = _Channels(channels, reduction, bias=bias)
        if "spatial" in self.order:
            self.spatial = _Map(kernel_size, norm_layer=norm_layer)
        last = {"channel": "channel.fc2", "spatial": "spatial.norm"}
        self.ends = tuple(last[name] for name in self.order)

    def weights(self, x: Tensor) -> Tensor:
        weights: Tensor = self.get_submodule(self.order[0])(x)
        for name in self.order[1:]:
            weights = weights * self.get_submodule(name)(x * weights)
        return self.gate(weights)


@register_attention("bam")
class BAM(Gate):
    """Bottleneck attention module (Park et al., BMVC 2018): 1 + sigmoid(channels + places), of
    two branches side by side: SE's two layers, and a 1x1, two dilated 3x3 and a 1x1 convolution
    to one map.

    The text adds the branches, the released code multiplies them, which the published weights
    need: ``combine`` is ``"product"`` or ``"sum"``. The paper puts it between stages. A batch of
    one cannot be trained with it: the channels' normalisation is over images alone.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        *,
        dilation: int = 4,
        combine: str = "product",
        norm_layer: NormFactory = nn.BatchNorm2d,
    ) -> None:
        super().__init__(gate=nn.Identity())
        check_choice("bam: combine", combine, ("product", "sum"))
        hidden = reduced(channels, reduction)
        self.combine = combine
        self.fc1 = excitation_linear(channels, hidden)
        self.norm = norm_layer(hidden)
        self.act = nn.ReLU(inplace=True)
        self.fc2 = excitation_linear(hidden, channels)
        around = partial(conv2d, hidden, hidden, 3, padding=dilation, dilation=dilation)
        layers: list[nn.Module] = []
        for conv in (conv2d(channels, hidden, 1), around(), around()):
            layers += [conv, norm_layer(hidden), nn.ReLU(inplace=True)]
        self.map = nn.Sequential(*layers, conv2d(hidden, 1, 1))

    def weights(self, x: Tensor) -> Tensor:
        y = self.norm(self.fc1(x.mean((2, 3)))[:, :, None, None])
        channels = self.fc2(self.act(y).flatten(1))[:, :, None, None]
        places = self.map(x)
        both = channels * places if self.combine == "product" else channels + places
        return self.gate(1 + both.sigmoid())


@register_attention("triplet")
class Triplet(Gate):
    """Triplet attention (Misra et al., WACV 2021): CBAM's map from three sides, over places,
    over channels and columns, over rows and channels; their mean multiplies. 300 parameters.

    Elsewhere called "TAM", which in video is the temporal adaptive module.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 7,
        *,
        norm_layer: NormFactory = nn.BatchNorm2d,
    ) -> None:
        super().__init__(gate=nn.Identity())
        self.places = _Map(kernel_size, norm_layer=norm_layer)
        self.columns = _Map(kernel_size, norm_layer=norm_layer)
        self.rows = _Map(kernel_size, norm_layer=norm_layer)
        self.ends = ("places.norm", "columns.norm", "rows.norm")

    def weights(self, x: Tensor) -> Tensor:
        columns = self.columns(x, 2)  # (N, C, 1, W)
        rows = self.rows(x, 3)  # (N, C, H, 1)
        return self.gate((self.places(x) + columns + rows) / 3)


@register_attention("ema")
class EMA(Gate):
    """Efficient multi-scale attention (Ouyang et al., ICASSP 2023): in each of ``groups`` groups
    of channels two branches, coordinate attention (1x1) and a 3x3 convolution; the softmax of
    each one's means weighs the other's channels into a map (N, groups, H, W).

    All groups share the weights. ``groups`` is lowered to a divisor of the channels. Not the
    moving average of weights; its paper's "SSA" is not this library's ``ssa``.
    """

    def __init__(self, channels: int, groups: int = 32) -> None:
        super().__init__()
        self.groups = largest_divisor(channels, groups)
        self.share = channels // self.groups
        self.conv1 = conv2d(self.share, self.share, 1)
        self.conv3 = conv2d(self.share, self.share, 3, padding=1)
        self.norm = GroupNorm(self.share, self.share)

    def weights(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        x = x.reshape(n * self.groups, self.share, h, w)
        lines = torch.cat((x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)), 2)
        rows, columns = self.conv1(lines).sigmoid().split((h, w), 2)
        one = self.norm(x * rows * columns.transpose(2, 3))
        three = self.conv3(x)
        maps = _cross(one, three) + _cross(three, one)
        maps = self.gate(maps.view(n, self.groups, h, w))
        return maps.repeat_interleave(self.share, 1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """A map from ``b`` whose channels are weighted by the softmax of the means of ``a``."""
    return a.mean((2, 3)).softmax(1)[:, None] @ b.flatten(2)  # (N, 1, H W)


@register_attention("shuffle")
class ShuffleAttention(nn.Module):
    """Shuffle attention (Zhang and Yang, SA-Net, ICASSP 2021): in each of ``groups`` groups one
    half of the channels is weighted by sigmoid(w mean + b), the other, normalised a channel at a
    time, by sigmoid(w GN(x) + b); then the channels are shuffled between two groups.

    3 C / ``groups`` parameters, shared by the groups. It shuffles, so it does not fuse.
    ``groups`` is lowered to a divisor of half of the channels. Raises ValueError for an odd
    number of channels. The paper's "SA" is elsewhere spatial or self-attention.
    """

    def __init__(self, channels: int, groups: int = 64) -> None:
        super().__init__()
        if channels % 2:
            raise ValueError(f"shuffle attention halves the channels: {channels} are odd.")
        self.groups = largest_divisor(channels // 2, groups)
        half = channels // 2 // self.groups
        self.gate = nn.Identity()
        self.weight = nn.Parameter(torch.empty(2, half, 1, 1))
        self.bias = nn.Parameter(torch.empty(2, half, 1, 1))
        self.norm = GroupNorm(half, half)
        self.shuffle = ChannelShuffle(2)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights zero and biases one: sigmoid(1) everywhere."""
        nn.init.zeros_(self.weight)
        nn.init.ones_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        parts = x.reshape(n * self.groups, c // self.groups, h, w)
        first, second = parts.chunk(2, 1)
        channels = first.mean((2, 3), keepdim=True) * self.weight[0] + self.bias[0]
        places = self.norm(second) * self.weight[1] + self.bias[1]
        weights = torch.cat((channels.expand_as(first), places), 1).sigmoid()
        return self.shuffle(x * self.gate(weights.view(n, c, h, w)))
