"""Residual Attention Networks: how many attention modules each stage has."""

from ..builders.ran import RANConfig
from .entry import table

WANG = "Wang et al., Residual Attention Network for Image Classification, CVPR 2017"

BASE = RANConfig()
M56 = {"modules": (1, 1, 1)}
M92 = {"modules": (1, 2, 3)}
# The authors released -56 and -92; of the others only the number of modules is known, and they go
# on as -92 begins, each stage one module more than the one before.
M128 = {"modules": (2, 3, 4)}
M164 = {"modules": (3, 4, 5)}
M236 = {"modules": (5, 6, 7)}
M452 = M236 | {"p": 2, "t": 4, "r": 3}
NEXT = {"unit": "resnext"}

# The paper does not say how its CIFAR networks are made. This reconstruction has their depth.
CIFAR = BASE.replace(
    stem="cifar",
    stem_width=16,
    widths=(64, 128, 256, 256),
    mask_depths=(2, 1, 0),
    num_classes=10,
)

ENTRIES = [
    *table(
        "RAN",
        WANG,
        BASE,
        {
            "ran56": M56,
            "ran92": M92,
            "ran128": M128,
            "ran164": M164,
            "ran236": M236,
            "ran452": M452,
            "ranext56": M56 | NEXT,
            "ranext92": M92 | NEXT,
            "raninception56": M56 | {"unit": "inception"},
        },
    ),
    *table(
        "RAN",
        WANG,
        CIFAR,
        {
            "ran56_cifar": M56,
            "ran92_cifar": M92,
            "ran164_cifar": M164,
            "ran236_cifar": M236,
            "ran452_cifar": M452,
        },
        input_size=32,
    ),
]
