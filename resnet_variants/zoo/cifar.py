"""Networks for 32x32 images: the ResNets of the paper's section 4.2 and what came of them."""

from typing import Any

from ..builders.resnet import ResNetConfig
from .attention import HU, SALIENT, SSANET, WANG
from .entry import Entry, table
from .resnet import D18, D34, D50, D101, HE, XIE

# 6n + 2 layers: three stages of n units; the parameter-free shortcut of the paper
BASE = ResNetConfig(
    block="basic",
    layers=(3, 3, 3),
    widths=(16, 32, 64),
    stem="cifar",
    shortcut="pad",
    num_classes=10,
)
DEPTHS = {depth: {"layers": ((depth - 2) // 6,) * 3} for depth in (20, 32, 44, 56, 110, 1202)}

# The ImageNet networks' four stages of 64 to 512 channels on 32x32 images, the form that most
# papers on CIFAR use
FOUR_STAGES = ResNetConfig(stem="cifar", num_classes=10)
FOUR_STAGE_DEPTHS: dict[int, dict[str, Any]] = {18: D18, 34: D34, 50: D50, 101: D101}

NEXT = ResNetConfig(
    layers=(3, 3, 3), widths=(64, 128, 256), stem="cifar", num_classes=10, groups=32, base_width=4
)


def _twins(prefix: str, family: str, paper: str, attention: str) -> list[Entry]:
    """The CIFAR ResNets of all depths but the deepest with a gate."""
    base = BASE.replace(attention=attention)
    rows = {f"{prefix}resnet{depth}_cifar": DEPTHS[depth] for depth in DEPTHS if depth < 1202}
    return table(family, paper, base, rows)


def _four_stages(prefix: str, family: str, paper: str, attention: str | None) -> list[Entry]:
    """The four-stage networks of all depths, with a gate or none."""
    rows = {f"{prefix}resnet{depth}_cifar": changes for depth, changes in FOUR_STAGE_DEPTHS.items()}
    return table(family, paper, FOUR_STAGES.replace(attention=attention), rows)


ENTRIES = [
    *table(
        "CIFAR ResNet",
        HE,
        BASE,
        {f"resnet{depth}_cifar": changes for depth, changes in DEPTHS.items()},
    ),
    *table(
        "CIFAR ResNeXt",
        XIE,
        NEXT,
        {
            "resnext29_32x4d_cifar": {},
            "resnext29_8x64d_cifar": {"groups": 8, "base_width": 64},
            "resnext29_16x64d_cifar": {"groups": 16, "base_width": 64},
        },
    ),
    *_four_stages("", "CIFAR ResNet", HE, None),
    *_four_stages("se", "SE-ResNet", HU, "se"),
    *_four_stages("eca", "ECA-Net", WANG, "eca"),
    *_four_stages("ssa", "SSANet", SSANET, "ssa"),
    *_four_stages("salient", "Salient-Net", SALIENT, "salient"),
    *_twins("se", "SE-ResNet", HU, "se"),
    *_twins("eca", "ECA-Net", WANG, "eca"),
    *_twins("ssa", "SSANet", SSANET, "ssa"),
    *_twins("salient", "Salient-Net", SALIENT, "salient"),
]
