"""ShuffleNetV1 and V2, V2 with residual and SE, their deep forms, CIFAR forms."""

from ..builders.shufflenet import V1_WIDTHS, ShuffleNetV1Config, ShuffleNetV2Config
from .entry import CIFAR, Row, table

ZHANG = "Zhang et al., ShuffleNet: An Extremely Efficient CNN for Mobile Devices, CVPR 2018"
MA = "Ma et al., ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture, ECCV 2018"

V1 = ShuffleNetV1Config()
V2 = ShuffleNetV2Config()

V1_ROWS: dict[str, Row] = {
    f"shufflenet_v1_g{groups}_x{width}".replace(".", "_"): {"groups": groups, "width": width}
    for groups in V1_WIDTHS
    for width in (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
}
V2_SIZES: dict[str, Row] = {
    "x0_5": {"widths": (48, 96, 192)},
    "x1_0": {"widths": (116, 232, 464)},
    "x1_5": {"widths": (176, 352, 704)},
    "x2_0": {"widths": (244, 488, 976), "head_width": 2048},
}
# the authors' released networks
MEGVII: Row = {"downsample": "keep", "shuffle_at": "start"}

RESIDUAL: Row = {"residual": True}
SE: Row = {"attention": "se"}

# the deep ones of the paper's appendix: four stages, the first at the stem's resolution
DEEP: Row = {"first_stride": 1, "stem_width": 64, "head_width": 2048}
DEEP_50 = DEEP | {"layers": (3, 4, 6, 3), "widths": (244, 488, 976, 1952)}
DEEP_164 = DEEP | {"layers": (10, 10, 23, 10), "widths": (340, 680, 1360, 2720)} | RESIDUAL
DEEP_164 |= {"stem": "deep64", "stem_width": 128}
DEEP_ROWS = {
    "shufflenet_v2_50": DEEP_50,
    "shufflenet_v2_164": DEEP_164,
    "shufflenet_v2_se_164": DEEP_164 | SE | {"attention_args": {"reduction": 2}},
}


def _v2(name: str, changes: Row) -> dict[str, Row]:
    """A line for each width; ``name`` says where the width stands in the network's name."""
    return {name.format(size): row | changes for size, row in V2_SIZES.items()}


ENTRIES = [
    *table("ShuffleNetV1", ZHANG, V1, V1_ROWS),
    *table("ShuffleNetV2", MA, V2, _v2("shufflenet_v2_{}", {})),
    *table("ShuffleNetV2", MA, V2, _v2("shufflenet_v2_{}_megvii", MEGVII)),
    *table("Residual ShuffleNetV2", MA, V2, _v2("shufflenet_v2_res_{}", RESIDUAL)),
    *table("SE-ShuffleNetV2", MA, V2, _v2("shufflenet_v2_se_{}", SE)),
    *table("SE-ShuffleNetV2", MA, V2, _v2("shufflenet_v2_se_res_{}", SE | RESIDUAL)),
    *table("ShuffleNetV2", MA, V2, DEEP_ROWS),
    *table("ShuffleNetV1", ZHANG, V1, {"shufflenet_v1_g3_cifar": CIFAR}),
    *table("ShuffleNetV2", MA, V2, {"shufflenet_v2_cifar": CIFAR}),
]
