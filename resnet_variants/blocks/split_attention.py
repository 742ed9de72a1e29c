"""Split attention: ResNeSt's convolution (Zhang et al., 2020)."""

from __future__ import annotations

from torch import Tensor, nn

from .convs import register_conv
from .layers import ActFactory, ConvNormAct, NormFactory, chunk
from .selection import Selection


@register_conv("split_attention")
class SplitAttention(ConvNormAct):
    """A 3x3 convolution makes ``radix`` maps, and attention mixes them channel by channel.

    ``groups`` is the cardinality; the convolution has groups * radix groups. The attention's
    hidden width is max(in_channels * radix // reduction, 32). ``radix=1`` leaves a sigmoid gate
    on one map, ``radix=0`` a plain grouped convolution. Channels are ordered radix first, as in
    the released code; the paper's figure orders them by cardinality, the same network with its
    channels permuted. Raises ValueError when the channels do not divide.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        first: bool = False,
        radix: int = 2,
        reduction: int = 4,
        norm: NormFactory,
        act: ActFactory,
    ) -> None:
        if radix < 0 or reduction < 1:
            raise ValueError(
                "split_attention: radix must be at least 0 and reduction 1, not "
                f"{radix!r} and {reduction!r}."
            )
        maps = max(radix, 1)
        if in_channels % (groups * maps) or out_channels % groups:
            raise ValueError(
                f"conv='split_attention': {in_channels} channels do not divide into "
                f"groups={groups} times radix={radix}."
            )
        super().__init__(
            in_channels,
            out_channels * maps,
            3,
            stride=stride,
            dilation=dilation,
            groups=groups * maps,
            norm=norm,
            act=act,
        )
        self.radix = radix
        self.selection: nn.Module | None = None
        if radix:
            hidden = max(in_channels * radix // reduction, 32)
            if hidden % groups:
                raise ValueError(
                    f"conv='split_attention': its hidden width {hidden} does not divide into "
                    f"groups={groups}."
                )
            self.selection = Selection(
                out_channels, hidden, radix, groups=groups, bias=True, norm=norm, act=act
            )

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return self.selection(chunk(x, self.radix)) if self.selection is not None else x
