"""ResNet, its A to D and s forms, Wide ResNet, ResNeXt."""

from ..builders.resnet import ResNetConfig
from .entry import Row, series, table

D18: Row = {"block": "basic", "layers": (2, 2, 2, 2)}
D34: Row = {"block": "basic", "layers": (3, 4, 6, 3)}
D26: Row = {"layers": (2, 2, 2, 2)}
D50: Row = {}
D101: Row = {"layers": (3, 4, 23, 3)}
D152: Row = {"layers": (3, 8, 36, 3)}
D200: Row = {"layers": (3, 24, 36, 3)}

DEPTHS = {18: D18, 26: D26, 34: D34, 50: D50, 101: D101, 152: D152, 200: D200}

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
    return series(name, DEPTHS.__getitem__, [(depth,) for depth in of])


def grouped(depth: int, groups: int, base_width: int) -> Row:
    """ResNeXt's own notation: 50_32x4d is depth 50, and 32 groups of 4 channels."""
    return DEPTHS[depth] | {"groups": groups, "base_width": base_width}


NEXTS = ((50, 32, 4), (101, 32, 4), (101, 32, 8), (101, 64, 4), (152, 32, 4))
# the paper's Table 3: the same cost, from one wide path to 32 narrow ones
NARROWING = ((50, 1, 64), (50, 2, 40), (50, 4, 24), (50, 8, 14))
RESNEXTS = series("resnext{}_{}x{}d", grouped, (*NEXTS, *NARROWING))

ENTRIES = [
    *table("ResNet", HE, B, depths("resnet{}", 18, 34)),
    *table("ResNet-A", HE, A, depths("resnet{}a", 50, 101, 152)),
    *table("ResNet-B", BAG, B, depths("resnet{0} resnet{0}b", 26, 50, 101, 152, 200)),
    *table("ResNet-C", BAG, C, depths("resnet{}c", 50, 101, 152)),
    *table("ResNet-D", BAG, D, depths("resnet{}d", 18, 26, 34, 50, 101, 152, 200)),
    *table("ResNet-S", BAG, S, depths("resnet{}s", 50, 101, 152)),
    *table("Wide ResNet", WIDE, B.replace(base_width=128), depths("wide_resnet{}_2", 50, 101)),
    *table("ResNeXt", XIE, B, RESNEXTS),
]
