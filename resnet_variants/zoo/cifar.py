"""Networks for 32x32 images: the ResNets of the paper's section 4.2 and what came of them."""

from ..builders.resnet import ResNetConfig
from .attention import HU, SALIENT, SSANET, WANG
from .entry import CIFAR, Entry, Row, table
from .resnet import D18, D34, D50, D101, HE, XIE

# 6n + 2 layers: three stages of n units; the parameter-free shortcut of the paper
SMALL: Row = {"layers": (3, 3, 3), "widths": (16, 32, 64), "shortcut": "pad"}
BASE = ResNetConfig(block="basic").replace(**CIFAR, **SMALL)
DEPTHS: dict[int, Row] = {
    depth: {"layers": ((depth - 2) // 6,) * 3} for depth in (20, 32, 44, 56, 110)
}

# The ImageNet networks' four stages of 64 to 512 channels on 32x32 images, the form that most
# papers on CIFAR use
FOUR_STAGES = ResNetConfig().replace(**CIFAR)
FOUR_STAGE_DEPTHS = {18: D18, 34: D34, 50: D50, 101: D101}

NEXT = FOUR_STAGES.replace(layers=(3, 3, 3), widths=(64, 128, 256), groups=32, base_width=4)
NEXTS: dict[str, Row] = {
    "resnext29_32x4d_cifar": {},
    "resnext29_8x64d_cifar": {"groups": 8, "base_width": 64},
    "resnext29_16x64d_cifar": {"groups": 16, "base_width": 64},
}

# What a network with a gate has before its name, family and paper
GATES = {
    "se": ("SE-ResNet", HU),
    "eca": ("ECA-Net", WANG),
    "ssa": ("SSANet", SSANET),
    "salient": ("Salient-Net", SALIENT),
}


def _gated(base: ResNetConfig, depths: dict[int, Row], gate: str) -> list[Entry]:
    """The networks of all these depths with a gate."""
    return table(*GATES[gate], base.replace(attention=gate), _rows(depths, gate))


def _rows(depths: dict[int, Row], prefix: str = "") -> dict[str, Row]:
    return {f"{prefix}resnet{depth}_cifar": changes for depth, changes in depths.items()}


ENTRIES = [
    *table("CIFAR ResNet", HE, BASE, _rows(DEPTHS | {1202: {"layers": (200, 200, 200)}})),
    *table("CIFAR ResNeXt", XIE, NEXT, NEXTS),
    *table("CIFAR ResNet", HE, FOUR_STAGES, _rows(FOUR_STAGE_DEPTHS)),
    *[each for gate in GATES for each in _gated(FOUR_STAGES, FOUR_STAGE_DEPTHS, gate)],
    *[each for gate in GATES for each in _gated(BASE, DEPTHS, gate)],
]
