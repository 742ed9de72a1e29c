"""Networks that differ in the bottleneck's 3x3: SK-Net, Res2Net, ResNeSt, SCNet."""

from .entry import Entry, table
from .resnet import D26, D50, D101, D152, B, D, depths

LI = "Li et al., Selective Kernel Networks, CVPR 2019"
GAO = "Gao et al., Res2Net: A New Multi-scale Backbone Architecture, TPAMI 2021"
ZHANG = "Zhang et al., ResNeSt: Split-Attention Networks, 2020"
LIU = "Liu et al., Improving Convolutional Networks with Self-Calibrated Convolutions, CVPR 2020"

SK = B.replace(conv="selective_kernel", groups=32, base_width=4)
RES2NET = B.replace(conv="res2net", base_width=26)
RES2NET_V1B = RES2NET.replace(stem="deep", shortcut="avg")
RESNEST = D.replace(conv="split_attention", stride_with="avg_after")
SC = B.replace(conv="self_calibrated")
SC_V1D = SC.replace(stem="deep", shortcut="avg", stride_with="avg_after")

WIDE_STEM = {"stem": "deep64"}
CIFAR = {"stem": "cifar", "num_classes": 10}
CIFAR29 = CIFAR | {"layers": (3, 3, 3)}
# This library's own: small enough to train on two cores and to ship with weights.
CIFAR20 = CIFAR | {"layers": (2, 2, 2), "widths": (16, 32, 64), "shortcut": "conv"}


def _res2(width: int, scale: int) -> dict[str, object]:
    return {"base_width": width, "conv_args": {"scale": scale}}


def _splat(radix: int, cardinality: int, width: int) -> dict[str, object]:
    """ResNeSt's own notation: 2s1x64d is radix 2, cardinality 1, base width 64."""
    return {"conv_args": {"radix": radix}, "groups": cardinality, "base_width": width}


SK_ENTRIES: list[Entry] = [
    *table(
        "SK-Net",
        LI,
        SK,
        depths("sknet{}", 26, 50, 101),
        aliases={"sknet50": ["skresnext50_32x4d"]},
    ),
    # The authors' own networks, trained in Caffe: the stem's pooling rounds up, unpadded, and the
    # second stage of SKNet-101 leaves out the attention's least width.
    *table(
        "SK-Net (authors)",
        LI,
        SK.replace(stem_pool="max_ceil"),
        {
            "legacy_sknet26": D26,
            "legacy_sknet50": D50,
            "legacy_sknet101": D101 | {"conv_args": ({}, {"min_width": 16}, {}, {})},
        },
    ),
    *table(
        "SK-Net",
        LI,
        SK,
        {
            "sknet20_cifar": CIFAR20 | {"groups": 1, "base_width": 64},
            "sknet29_cifar": CIFAR29 | {"base_width": 16},
        },
    ),
]

RES2NET_ENTRIES: list[Entry] = [
    *table(
        "Res2Net",
        GAO,
        RES2NET,
        {
            "res2net50_18w_4s": _res2(18, 4),
            "res2net50_26w_4s": _res2(26, 4),
            "res2net50_48w_2s": _res2(48, 2),
            "res2net50_14w_8s": _res2(14, 8),
            "res2net50_26w_6s": _res2(26, 6),
            "res2net50_26w_8s": _res2(26, 8),
            "res2net101_26w_4s": D101 | _res2(26, 4),
        },
    ),
    *table(
        "Res2NeXt",
        GAO,
        RES2NET,
        {"res2next50": {"groups": 8, "base_width": 4}},
        aliases={"res2next50": ["res2next50_4s"]},
    ),
    *table(
        "Res2Net v1b",
        GAO,
        RES2NET_V1B,
        {
            "res2net50_v1b": D50,
            "res2net101_v1b": D101,
            "res2net152_v1b": D152,
            "res2net200_v1b": {"layers": (3, 12, 48, 3)},
        },
        aliases={
            "res2net50_v1b": ["res2net50d", "res2net50_v1b_26w_4s"],
            "res2net101_v1b": ["res2net101d", "res2net101_v1b_26w_4s"],
            "res2net152_v1b": ["res2net152_v1b_26w_4s"],
        },
    ),
    *table(
        "SE-Res2Net", GAO, RES2NET.replace(attention="se"), {"seres2net50_26w_4s": _res2(26, 4)}
    ),
    *table(
        "Res2NeXt",
        GAO,
        RES2NET,
        {
            "res2next29_6c24w_4s_cifar": CIFAR29 | {"groups": 6} | _res2(24, 4),
            "res2next29_8c25w_4s_cifar": CIFAR29 | {"groups": 8} | _res2(25, 4),
            "res2next29_6c24w_6s_cifar": CIFAR29 | {"groups": 6} | _res2(24, 6),
        },
    ),
    *table(
        "Res2Net",
        GAO,
        RES2NET,
        {
            "res2net20_40w_4s_cifar": CIFAR20 | {"base_width": 40},
            "res2net50_26w_4s_cifar": CIFAR,
        },
    ),
]

RESNEST_ENTRIES: list[Entry] = [
    *table(
        "ResNeSt",
        ZHANG,
        RESNEST,
        {
            "resnest14": {"layers": (1, 1, 1, 1)},
            "resnest26": D26,
            "resnest50": D50,
            "resnest101": D101 | WIDE_STEM,
            "resnest200": {"layers": (3, 24, 36, 3)} | WIDE_STEM,
            "resnest269": {"layers": (3, 30, 48, 8)} | WIDE_STEM,
        },
        aliases={
            "resnest14": ["resnest14d"],
            "resnest26": ["resnest26d"],
            "resnest50": ["resnest50d"],
            "resnest101": ["resnest101e"],
            "resnest200": ["resnest200e"],
            "resnest269": ["resnest269e"],
        },
    ),
    *table(
        "ResNeSt-fast",
        ZHANG,
        RESNEST.replace(stride_with="avg_before"),
        {
            "resnest50_fast_1s1x64d": _splat(1, 1, 64),
            "resnest50_fast_2s1x64d": _splat(2, 1, 64),
            "resnest50_fast_4s1x64d": _splat(4, 1, 64),
            "resnest50_fast_1s2x40d": _splat(1, 2, 40),
            "resnest50_fast_2s2x40d": _splat(2, 2, 40),
            "resnest50_fast_4s2x40d": _splat(4, 2, 40),
            "resnest50_fast_1s4x24d": _splat(1, 4, 24),
        },
        aliases={
            "resnest50_fast_4s2x40d": ["resnest50d_4s2x40d"],
            "resnest50_fast_1s4x24d": ["resnest50d_1s4x24d"],
        },
    ),
    *table(
        "ResNeSt",
        ZHANG,
        RESNEST,
        {"resnest20_cifar": CIFAR20 | {"stride_with": "conv"}, "resnest50_cifar": CIFAR},
    ),
]

SC_ENTRIES: list[Entry] = [
    *table("SCNet", LIU, SC, depths("scnet{}", 50, 101)),
    *table(
        "SCNet",
        LIU,
        SC_V1D,
        {"scnet50_v1d": D50, "scnet101_v1d": D101 | WIDE_STEM},
        aliases={"scnet50_v1d": ["scneta50"], "scnet101_v1d": ["scneta101"]},
    ),
    *table("SCNet", LIU, SC, {"scnet20_cifar": CIFAR20, "scnet50_cifar": CIFAR}),
]

ENTRIES = [*SK_ENTRIES, *RES2NET_ENTRIES, *RESNEST_ENTRIES, *SC_ENTRIES]
