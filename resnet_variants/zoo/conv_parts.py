"""Networks that differ in the bottleneck's 3x3: SK-Net, Res2Net, ResNeSt, SCNet."""

from .entry import CIFAR, Row, series, table
from .resnet import D26, D50, D101, D152, DEPTHS, B, D, depths

LI = "Li et al., Selective Kernel Networks, CVPR 2019"
GAO = "Gao et al., Res2Net: A New Multi-scale Backbone Architecture, TPAMI 2021"
ZHANG = "Zhang et al., ResNeSt: Split-Attention Networks, 2020"
LIU = "Liu et al., Improving Convolutional Networks with Self-Calibrated Convolutions, CVPR 2020"

WIDE_STEM: Row = {"stem": "deep64"}
CIFAR29 = CIFAR | {"layers": (3, 3, 3)}
# This library's own: small enough to train on two cores and to ship with weights.
CIFAR20 = CIFAR | {"layers": (2, 2, 2), "widths": (16, 32, 64), "shortcut": "conv"}

SK = B.replace(conv="selective_kernel", groups=32, base_width=4)
SK_NETS = {
    "sknet26": D26,
    "sknet50 skresnext50_32x4d": D50,
    "sknet101": D101,
}
# The authors' own networks, trained in Caffe: the stem's pooling rounds up, unpadded, and the
# second stage of SKNet-101 leaves out the attention's least width.
SK_AUTHORS = depths("legacy_sknet{}", 26, 50) | {
    "legacy_sknet101": D101 | {"conv_args": ({}, {"min_width": 16}, {}, {})}
}
SK_CIFAR = {
    "sknet20_cifar": CIFAR20 | {"groups": 1, "base_width": 64},
    "sknet29_cifar": CIFAR29 | {"base_width": 16},
}


def _res2net(depth: int, width: int, scale: int) -> Row:
    """Res2Net's own notation: 50_26w_4s is depth 50, splits of 26 channels, 4 of them."""
    return DEPTHS[depth] | {"base_width": width, "conv_args": {"scale": scale}}


def _res2next29(groups: int, width: int, scale: int) -> Row:
    return CIFAR29 | {"groups": groups} | _res2net(50, width, scale)


RES2NET = B.replace(conv="res2net", base_width=26)
SE_RES2NET = RES2NET.replace(attention="se")
RES2NETS = series(
    "res2net{}_{}w_{}s",
    _res2net,
    ((50, 18, 4), (50, 26, 4), (50, 48, 2), (50, 14, 8), (50, 26, 6), (50, 26, 8), (101, 26, 4)),
)
RES2NEXTS_CIFAR = series(
    "res2next29_{}c{}w_{}s_cifar", _res2next29, ((6, 24, 4), (8, 25, 4), (6, 24, 6))
)
RES2NETS_CIFAR = {
    "res2net20_40w_4s_cifar": CIFAR20 | {"base_width": 40},
    "res2net50_26w_4s_cifar": CIFAR,
}
RES2NETS_V1B: dict[str, Row] = {
    "res2net50_v1b res2net50d res2net50_v1b_26w_4s": D50,
    "res2net101_v1b res2net101d res2net101_v1b_26w_4s": D101,
    "res2net152_v1b res2net152_v1b_26w_4s": D152,
    "res2net200_v1b": {"layers": (3, 12, 48, 3)},
}

RESNEST = D.replace(conv="split_attention", stride_with="avg_after")
RESNESTS: dict[str, Row] = {
    "resnest14 resnest14d": {"layers": (1, 1, 1, 1)},
    "resnest26 resnest26d": D26,
    "resnest50 resnest50d": D50,
    "resnest101 resnest101e": D101 | WIDE_STEM,
    "resnest200 resnest200e": {"layers": (3, 24, 36, 3)} | WIDE_STEM,
    "resnest269 resnest269e": {"layers": (3, 30, 48, 8)} | WIDE_STEM,
}
RESNESTS_CIFAR: dict[str, Row] = {
    "resnest20_cifar": CIFAR20 | {"stride_with": "conv"},
    "resnest50_cifar": CIFAR,
}


def _splat(radix: int, cardinality: int, width: int) -> Row:
    """ResNeSt's own notation: 2s1x64d is radix 2, cardinality 1, base width 64."""
    return {"conv_args": {"radix": radix}, "groups": cardinality, "base_width": width}


FASTS = series(
    "resnest50_fast_{}s{}x{}d",
    _splat,
    ((1, 1, 64), (2, 1, 64), (4, 1, 64), (1, 2, 40), (2, 2, 40)),
) | series("resnest50_fast_{0}s{1}x{2}d resnest50d_{0}s{1}x{2}d", _splat, ((4, 2, 40), (1, 4, 24)))

SC = B.replace(conv="self_calibrated")
SC_V1D = SC.replace(stem="deep", shortcut="avg", stride_with="avg_after")
SC_V1DS = {
    "scnet50_v1d scneta50": D50,
    "scnet101_v1d scneta101": D101 | WIDE_STEM,
}

ENTRIES = [
    *table("SK-Net", LI, SK, SK_NETS),
    *table("SK-Net (authors)", LI, SK.replace(stem_pool="max_ceil"), SK_AUTHORS),
    *table("SK-Net", LI, SK, SK_CIFAR),
    *table("Res2Net", GAO, RES2NET, RES2NETS),
    *table("Res2NeXt", GAO, RES2NET, {"res2next50 res2next50_4s": {"groups": 8, "base_width": 4}}),
    *table("Res2Net v1b", GAO, RES2NET.replace(stem="deep", shortcut="avg"), RES2NETS_V1B),
    *table("SE-Res2Net", GAO, SE_RES2NET, {"seres2net50_26w_4s": _res2net(50, 26, 4)}),
    *table("Res2NeXt", GAO, RES2NET, RES2NEXTS_CIFAR),
    *table("Res2Net", GAO, RES2NET, RES2NETS_CIFAR),
    *table("ResNeSt", ZHANG, RESNEST, RESNESTS),
    *table("ResNeSt-fast", ZHANG, RESNEST.replace(stride_with="avg_before"), FASTS),
    *table("ResNeSt", ZHANG, RESNEST, RESNESTS_CIFAR),
    *table("SCNet", LIU, SC, depths("scnet{}", 50, 101)),
    *table("SCNet", LIU, SC_V1D, SC_V1DS),
    *table("SCNet", LIU, SC, {"scnet20_cifar": CIFAR20, "scnet50_cifar": CIFAR}),
]
