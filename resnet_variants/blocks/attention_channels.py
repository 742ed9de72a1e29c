"""More gates that look at channels: what a squeeze can be other than a mean."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..choices import check_choice
from .attention import SE
from .gates import Gate, deviation, over, register_attention
from .layers import NormFactory, conv2d, excitation_linear, largest_divisor, reset_parameters

# The frequencies (of 7 x 7) by their accuracy alone, best first (FcaNet, Figure 4 and code)
# fmt: off
_TOP_ROWS = (0, 0, 6, 0, 0, 1, 1, 4, 5, 1, 3, 0, 0, 0, 3, 2,
             4, 6, 3, 5, 5, 2, 6, 5, 5, 3, 3, 4, 2, 2, 6, 1)
_TOP_COLUMNS = (0, 1, 0, 5, 2, 0, 2, 0, 0, 6, 0, 4, 6, 3, 5, 2,
                6, 3, 3, 3, 5, 1, 1, 2, 4, 2, 1, 1, 3, 0, 5, 3)
# fmt: on


def reduced(channels: int, reduction: int, least: int = 1) -> int:
    """``channels // reduction``, at least ``least``. Raises ValueError for a reduction under 1."""
    if isinstance(reduction, bool) or not isinstance(reduction, int) or reduction < 1:
        raise ValueError(f"reduction must be a whole number of at least 1, not {reduction!r}.")
    return max(least, channels // reduction)


class _Context(nn.Module):
    """GC's context: a softmax over the places says where to squeeze; two layers with layer
    normalisation transform what is squeezed, (N, C, H, W) to (N, C)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = reduced(channels, reduction)
        self.conv = conv2d(channels, 1, 1)
        self.fc1 = excitation_linear(channels, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.act = nn.ReLU(inplace=True)
        self.fc2 = excitation_linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        where = self.conv(x).flatten(1).softmax(1)[:, :, None]  # (N, H W, 1)
        context = (x.flatten(2) @ where).flatten(1)
        return self.fc2(self.act(self.norm(self.fc1(context))))


@register_attention("gc")
class GC(nn.Module):
    """Global context (Cao et al., GCNet, ICCVW 2019): x + W2 relu(LN(W1 context)), the same
    vector at every place, where context is a mean weighted by a softmax over the places.

    It adds where others multiply, so it does not fuse. Starts as the identity,
    the last layer zero (mmcv's; timm calls this ``gca``). A capture records what it adds.
    Not SE-GC, which is ``se_gc``.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.context = _Context(channels, reduction)
        self.gate = nn.Identity()
        self.context.fc2.draw = nn.init.zeros_  # type: ignore[assignment]
        reset_parameters(self.context.fc2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gate(self.context(x))[:, :, None, None]


@register_attention("gc_scale")
class GCScale(Gate):
    """Global context that multiplies: x * sigmoid(W2 relu(LN(W1 context))) (GCNet, Table 3e,
    "scale"; timm calls it ``gc``). All else as ``gc``."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.context = _Context(channels, reduction)

    def weights(self, x: Tensor) -> Tensor:
        return self.gate(self.context(x))[:, :, None, None]


class _Spectrum(nn.Module):
    """One frequency a channel, (N, C, H, W) to (N, C). The cosines are made where the map is,
    so they are in no state dict, and a map of any size is pooled to ``size`` within them."""

    def __init__(self, channels: int, frequencies: int, size: int) -> None:
        super().__init__()
        count = largest_divisor(channels, frequencies)
        step = max(size // 7, 1)
        self.share, self.size = channels // count, size
        self.rows = tuple(step * each for each in _TOP_ROWS[:count])
        self.columns = tuple(step * each for each in _TOP_COLUMNS[:count])

    def _along(self, frequencies: tuple[int, ...], x: Tensor, axis: int) -> Tensor:
        """What each of the L places along an axis of ``x`` weighs in each channel, (C, L)."""
        ends = x.new_ones(x.shape[axis], dtype=torch.float64).cumsum(0)  # 1 to L
        bins = torch.ones_like(ends[:1]).expand(self.size).cumsum(0)[:, None]  # 1 to size
        start = torch.floor((bins - 1) * ends[-1] / self.size)
        stop = torch.ceil(bins * ends[-1] / self.size)
        pool = ((ends > start) & (ends <= stop)) / (stop - start)  # adaptive pooling, (size, L)
        angle = math.pi / self.size * (bins[:, 0] - 0.5)
        cosines = [
            torch.cos(f * angle) * math.sqrt((2 if f else 1) / self.size) for f in frequencies
        ]
        lines = (torch.stack(cosines) @ pool).to(x.dtype)
        return lines.repeat_interleave(self.share, 0)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self._along(self.rows, x, 2), self._along(self.columns, x, 3)
        return (over(torch.sum, x * columns[:, None], 3).squeeze(3) * rows).sum(2)


@register_attention("fca")
class FCA(SE):
    """Frequency channel attention (Qin et al., FcaNet, ICCV 2021): SE whose squeeze is a
    discrete cosine transform, another frequency for each sixteenth of the channels; the mean is
    the lowest one. 2 C^2 / ``reduction`` parameters, no biases.

    ``frequencies`` are the authors' best ones ("top16"), as many as divide the channels. ``size``
    is the side of the map whose frequencies are meant: 7, or as in the released networks 56, 28,
    14, 7 stage by stage, with frequencies size / 7 times as high; another map is pooled to it.
    """

    def __init__(
        self, channels: int, reduction: int = 16, *, frequencies: int = 16, size: int = 7
    ) -> None:
        super().__init__(channels, reduction, bias=False)
        if not 1 <= frequencies <= len(_TOP_ROWS):
            raise ValueError(f"fca: frequencies must be from 1 to 32, not {frequencies!r}.")
        if size < 7:
            raise ValueError(f"fca: size must be at least 7, the frequencies', not {size!r}.")
        self.spectrum = _Spectrum(channels, frequencies, size)

    def weights(self, x: Tensor) -> Tensor:
        return self.gate(self.excitation(self.spectrum(x)))[:, :, None, None]


@register_attention("srm")
class SRM(Gate):
    """Style-based recalibration (Lee et al., SRM, ICCV 2019): each channel's mean and deviation,
    weighted by two numbers of its own, normalised, through a sigmoid. 4 C parameters.

    The normalisation is over images alone, so a batch of one cannot be trained with it.
    """

    def __init__(self, channels: int, *, norm_layer: NormFactory = nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2, channels))
        self.norm = norm_layer(channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Both zero: every channel starts at one half."""
        nn.init.zeros_(self.weight)

    def weights(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        of_mean, of_deviation = self.weight[:, :, None, None]
        return self.gate(self.norm(mean * of_mean + deviation(x, mean) * of_deviation))


@register_attention("gct")
class GCT(Gate):
    """Gated channel transformation (Yang et al., CVPR 2020): 1 + tanh(gamma s + beta), s a
    channel's length ``alpha |x|`` over the root mean square of all channels'. 3 C parameters.

    Starts as the identity (gamma and beta zero). The paper puts it before convolutions
    (``attention_at="pre"``). Another GCT, the Gaussian context transformer, is not this one.
    """

    def __init__(self, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__(gate=nn.Identity())
        self.eps = eps
        self.alpha = nn.Parameter(torch.empty(channels))
        self.gamma = nn.Parameter(torch.empty(channels))
        self.beta = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as the identity."""
        nn.init.ones_(self.alpha)
        nn.init.zeros_(self.gamma)
        nn.init.zeros_(self.beta)

    def weights(self, x: Tensor) -> Tensor:
        # Of squares the mean instead of the sum, eps divided alike: the same ratio, and half
        # precision does not overflow.
        eps = self.eps / (x.shape[2] * x.shape[3])
        length = self.alpha * (x.square().mean((2, 3)) + eps).sqrt()
        relative = length / (length.square().mean(1, keepdim=True) + eps).sqrt()
        return self.gate(1 + torch.tanh(self.gamma * relative + self.beta))[:, :, None, None]


@register_attention("nam")
class NAM(Gate):
    """Normalisation-based attention (Liu et al., 2021): sigmoid(w BN(x)), w each channel's share
    of the normalisation's scales, ``|gamma| / sum |gamma|``. 2 C parameters; a weight a number.

    The paper trains with a penalty on the scales, which is the recipe's, not the gate's. Raises
    ValueError for a normalisation without scales.
    """

    def __init__(self, channels: int, *, norm_layer: NormFactory = nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm_layer(channels)
        if getattr(self.norm, "weight", None) is None:
            raise ValueError(f"nam weighs with the scales of norm_layer; {self.norm} has none.")

    def weights(self, x: Tensor) -> Tensor:
        scales: Tensor = self.norm.weight.abs()  # type: ignore[operator]
        return self.gate(self.norm(x) * (scales / scales.sum())[:, None, None])


@register_attention("ge")
class GE(Gate):
    """Gather-excite (Hu et al., NeurIPS 2018): gather a mean over ``extent`` places, and excite
    by its sigmoid, spread over the places again (nearest).

    ``kind`` is the paper's: ``"theta_minus"`` has no parameters (mean over the whole map without
    ``extent``); ``"theta"`` gathers by log2(extent) depthwise 3x3 convolutions of stride 2,
    normalised; ``"theta_plus"`` excites by two 1x1 convolutions, too. Extents are 2, 4, 8. The
    paper's global theta, a depthwise kernel as large as the map, fixes the image's size: refused.
    """

    KINDS = ("theta_minus", "theta", "theta_plus")

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        *,
        kind: str = "theta_minus",
        extent: int | None = None,
        norm_layer: NormFactory = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        check_choice("ge: kind", kind, self.KINDS)
        if extent not in (None, 2, 4, 8):
            raise ValueError(f"ge: extent must be 2, 4, 8 or None (the map), not {extent!r}.")
        if extent is None and kind != "theta_minus":
            raise ValueError(
                f"ge: kind={kind!r} over the whole map fixes the image's size: give extent 2, 4, 8."
            )
        layers: list[nn.Module] = []
        if extent is None:
            layers = [nn.AdaptiveAvgPool2d(1)]
        elif kind == "theta_minus":
            window = 2 * extent - 1
            layers = [nn.AvgPool2d(window, extent, extent - 1, count_include_pad=False)]
        else:
            for i in range(int(math.log2(extent))):
                layers += [nn.ReLU(inplace=True)] if i else []
                layers += [
                    conv2d(channels, channels, 3, stride=2, padding=1, groups=channels, bias=False),
                    norm_layer(channels),
                ]
        if kind == "theta_plus":
            hidden = reduced(channels, reduction)
            layers += [conv2d(channels, hidden, 1), nn.ReLU(True), conv2d(hidden, channels, 1)]
        self.gather = nn.Sequential(*layers)
        self.local = extent is not None

    def weights(self, x: Tensor) -> Tensor:
        gathered = self.gather(x)
        return self.gate(F.interpolate(gathered, size=x.shape[2:]) if self.local else gathered)
