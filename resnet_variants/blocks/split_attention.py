"""Split attention: ResNeSt's convolution (Zhang et al., 2020)."""

from __future__ import annotations

from torch import Tensor, nn

from .convs import ConvSpec, register_conv
from .layers import ConvNormAct, chunk
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

    def __init__(self, spec: ConvSpec, *, radix: int = 2, reduction: int = 4) -> None:
        if radix < 0 or reduction < 1:
            raise ValueError(
                "split_attention: radix must be at least 0 and reduction 1, not "
                f"{radix!r} and {reduction!r}."
            )
        channels, out, groups = spec.in_channels, spec.out_channels, spec.groups
        maps = max(radix, 1)
        if channels % (groups * maps) or out % groups:
            raise ValueError(
                f"conv='split_attention': {channels} channels do not divide into "
                f"groups={groups} times radix={radix}."
            )
        super().__init__(**spec.args(out_channels=out * maps, groups=groups * maps))
        self.radix = radix
        self.selection: nn.Module | None = None
        if radix:
            hidden = max(channels * radix // reduction, 32)
            if hidden % groups:
                raise ValueError(
                    f"conv='split_attention': its hidden width {hidden} does not divide into "
                    f"groups={groups}."
                )
            self.selection = Selection(
                out, hidden, radix, groups=groups, bias=True, norm=spec.norm, act=spec.act
            )

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return self.selection(chunk(x, self.radix)) if self.selection is not None else x
