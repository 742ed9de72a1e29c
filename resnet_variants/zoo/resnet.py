"""ResNet, its A to D and s forms, Wide ResNet, ResNeXt."""

from collections.abc import Mapping

from ..builders.resnet import ResNetConfig
from .entry import table

Row = Mapping[str, object]

D18 = {"block": "basic", "layers": (2, 2, 2, 2)}
D34 = {"block": "basic", "layers": (3, 4, 6, 3)}
D26 = {"layers": (2, 2, 2, 2)}
D50: dict[str, object] = {}
D101 = {"layers": (3, 4, 23, 3)}
D152 = {"layers": (3, 8, 36, 3)}
D200 = {"layers": (3, 24, 36, 3)}

DEPTHS: dict[int, Row] = {18: D18, 26: D26, 34: D34, 50: D50, 101: D101, 152: D152, 200: D200}

HE = "He et al., Deep Residual Learning for Image Recognition, CVPR 2016"
BAG = "He et al., Bag of Tricks for Image Classification, CVPR 2019"
WIDE = "Zagoruyko and Komodakis, Wide Residual Networks, BMVC 2016"
XIE = "Xie et al., Aggregated Residual Transformations, CVPR 2017"

B = ResNetConfig()
A = B.replace(stride_in="conv1")
C = B.replace(stem="deep")
D = C.replace(shortcut="avg")
S = B.replace(stem="deep64")


def depths(name: str, *of: int) -> dict[str, Row]:
    """A row for each of these depths, which stands in the network's name for ``{}``."""
    return {name.format(depth): DEPTHS[depth] for depth in of}


ENTRIES = [
    *table("ResNet", HE, B, depths("resnet{}", 18, 34)),
    *table("ResNet-A", HE, A, depths("resnet{}a", 50, 101, 152)),
    *table(
        "ResNet-B",
        BAG,
        B,
        depths("resnet{}", 26, 50, 101, 152, 200),
        aliases={f"resnet{depth}": (f"resnet{depth}b",) for depth in (26, 50, 101, 152, 200)},
    ),
    *table("ResNet-C", BAG, C, depths("resnet{}c", 50, 101, 152)),
    *table("ResNet-D", BAG, D, depths("resnet{}d", 18, 26, 34, 50, 101, 152, 200)),
    *table("ResNet-S", BAG, S, depths("resnet{}s", 50, 101, 152)),
    *table("Wide ResNet", WIDE, B.replace(base_width=128), depths("wide_resnet{}_2", 50, 101)),
    *table(
        "ResNeXt",
        XIE,
        B,
        {
            "resnext50_32x4d": D50 | {"groups": 32, "base_width": 4},
            "resnext101_32x4d": D101 | {"groups": 32, "base_width": 4},
            "resnext101_32x8d": D101 | {"groups": 32, "base_width": 8},
            "resnext101_64x4d": D101 | {"groups": 64, "base_width": 4},
            "resnext152_32x4d": D152 | {"groups": 32, "base_width": 4},
            # the paper's Table 3: the same cost, from one wide path to 32 narrow ones
            "resnext50_1x64d": D50,
            "resnext50_2x40d": D50 | {"groups": 2, "base_width": 40},
            "resnext50_4x24d": D50 | {"groups": 4, "base_width": 24},
            "resnext50_8x14d": D50 | {"groups": 8, "base_width": 14},
        },
    ),
]
