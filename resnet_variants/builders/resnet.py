"""ResNets: one basic unit and one bottleneck, and what each paper changed in them.

ResNet-B moves the stride to the 3x3, C deepens the stem, D pools in the shortcut (He et al.,
CVPR 2019); Wide ResNets widen the 3x3, ResNeXt groups it; SE-, ECA-, SSA- and Salient-ResNet
put a gate on the branch; SK-Net, ResNeSt, Res2Net and SCNet replace the 3x3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..blocks.stems import STEMS
from ..config import register_builder
from ..fields import MOST_UNITS, bounded, one_of
from .residual import ResidualConfig, StageShape, build_residual

BLOCKS = ("basic", "bottleneck")


@dataclass(frozen=True, kw_only=True)
class ResNetConfig(ResidualConfig):
    """A ResNet of any kind."""

    builder: ClassVar[str] = "resnet"

    layers: tuple[int, ...] = bounded((3, 4, 6, 3), least=1, most=MOST_UNITS)
    """units of each stage"""
    widths: tuple[int, ...] | None = bounded(None, least=1)
    """width of each stage, before the bottleneck's expansion; None: 64, doubling"""
    block: str = one_of("bottleneck", BLOCKS)
    """``basic`` (two 3x3) or ``bottleneck`` (1x1, 3x3, 1x1 to four times the width)"""
    groups: int = bounded(1, least=1)
    """groups of the 3x3: ResNeXt's cardinality"""
    base_width: int = bounded(64, least=1)
    """channels of a group in a stage of width 64; the 3x3 has groups * width * this / 64"""
    stride_in: str = one_of("conv2", ("conv1", "conv2"))
    """the bottleneck's convolution that strides: ``conv1`` (2016) or ``conv2`` (ResNet-B)"""
    shortcut_kernel: int = bounded(1, least=1)
    """kernel of the projections that stride (SENet-154: 3)"""
    reduce_first: int = bounded(1, least=1)
    """the first 1x1 is narrower than the 3x3 by this (SENet-154: 2)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shortcut_kernel % 2 == 0:
            raise ValueError(f"shortcut_kernel must be odd, not {self.shortcut_kernel}.")
        for stage, shape in enumerate(self.stage_shapes):
            if shape.mid < self.reduce_first or shape.mid < 1:
                raise ValueError(
                    f"base_width={self.base_width} and reduce_first={self.reduce_first} leave no "
                    f"channels to stage {stage} of width {self.stage_widths[stage]} (widths)."
                )
            narrow = shape.mid // self.reduce_first
            if self.reduce_first > 1 and narrow % shape.groups:
                raise ValueError(
                    f"reduce_first={self.reduce_first} leaves {narrow} channels to stage {stage} "
                    f"of width {self.stage_widths[stage]} (widths), which are no multiple of its "
                    f"3x3's {shape.groups} groups (groups)."
                )
        if self.block == "basic":
            plain = dict(groups=1, base_width=64, conv="plain", stride_with="conv", reduce_first=1)
            for name, value in plain.items():
                if getattr(self, name) != value:
                    raise ValueError(
                        f"{name}={getattr(self, name)!r} changes the 3x3 of a bottleneck, and "
                        "block='basic' has none: use block='bottleneck'."
                    )
        if self.stride_with != "conv" and self.stride_in == "conv1":
            raise ValueError(
                f"stride_with={self.stride_with!r} lets a pooling beside the 3x3 stride, "
                "stride_in='conv1' the 1x1 before it: use stride_in='conv2'."
            )
        if self.attention_at != "standard" and not self.has_attention:
            raise ValueError(
                f"attention_at={self.attention_at!r} places a gate, but attention is None."
            )

    def _check_shapes(self) -> None:
        self._check_widths(self.stage_widths)

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Width of each stage, before the expansion."""
        return self.widths or tuple(64 * 2**i for i in range(len(self.layers)))

    @property
    def own_stem_width(self) -> int:
        return STEMS[self.stem].width or self.stage_widths[0]

    @property
    def stage_shapes(self) -> tuple[StageShape, ...]:
        return tuple(
            StageShape(
                depth=depth,
                out=width * (1 if self.block == "basic" else 4),
                mid=int(width * self.base_width / 64) * self.groups,
                groups=self.groups,
            )
            for depth, width in zip(self.layers, self.stage_widths, strict=True)
        )


register_builder(ResNetConfig)(build_residual)
