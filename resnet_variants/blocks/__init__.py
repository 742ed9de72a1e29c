"""Parts. A part knows tensors, never networks; each works alone as an ``nn.Module``.

A part knows tensors and its own arguments, never a network; it may use ``choices`` alone. Begin
with ``residual.py``, then ``gates.py`` and ``convs.py``: what can be put into a unit.
"""

from .attention import (
    ECA,
    ECANS,
    SE,
    SEGC,
    SSA,
    GroupSalient,
    Salient,
    SEVar1,
    SEVar2,
    SEVar3,
    eca_kernel_size,
)
from .attention_both import BAM, CBAM, EMA, ShuffleAttention, Triplet
from .attention_channels import FCA, GC, GCT, GE, NAM, SRM, GCScale
from .attention_places import ELA, LSK, SGE, CoordinateAttention, SimAM
from .convs import ConvSpec, PlainConv, register_conv
from .drop_path import DropPath
from .gates import ChannelGate, Gate, register_attention
from .head import Head
from .layers import ConvNormAct, FrozenBatchNorm2d, GroupNorm, conv2d, linear, skip_init
from .repvgg import RepConv
from .res2net import Res2Conv
from .residual import BasicUnit, Bottleneck, ResidualUnit
from .selective_kernel import SelectiveKernel
from .self_calibrated import SelfCalibratedConv
from .shortcuts import PadShortcut, Projection, make_shortcut
from .shuffle import ChannelShuffle, Join, ShuffleUnit, Split
from .split_attention import SplitAttention
from .stems import Stem, make_stem

__all__ = [
    "BAM",
    "CBAM",
    "ECA",
    "ECANS",
    "ELA",
    "EMA",
    "FCA",
    "GC",
    "GCT",
    "GE",
    "LSK",
    "NAM",
    "SE",
    "SEGC",
    "SGE",
    "SRM",
    "SSA",
    "BasicUnit",
    "Bottleneck",
    "ChannelGate",
    "ChannelShuffle",
    "ConvNormAct",
    "ConvSpec",
    "CoordinateAttention",
    "DropPath",
    "FrozenBatchNorm2d",
    "GCScale",
    "Gate",
    "GroupNorm",
    "GroupSalient",
    "Head",
    "Join",
    "PadShortcut",
    "PlainConv",
    "Projection",
    "RepConv",
    "Res2Conv",
    "ResidualUnit",
    "SEVar1",
    "SEVar2",
    "SEVar3",
    "Salient",
    "SelectiveKernel",
    "SelfCalibratedConv",
    "ShuffleAttention",
    "ShuffleUnit",
    "SimAM",
    "Split",
    "SplitAttention",
    "Stem",
    "Triplet",
    "conv2d",
    "eca_kernel_size",
    "linear",
    "make_shortcut",
    "make_stem",
    "register_attention",
    "register_conv",
    "skip_init",
]
