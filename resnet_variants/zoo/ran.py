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

# The paper gives every stage of its CIFAR networks as many modules (36 m + 20 layers for m of them)
# and says no more. This reconstruction has 1.89, 4.87 and 9.43 million parameters at depths 92,
# 236 and 452, where the paper has 1.9, 5.1 and 8.6.
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
        {f"ran{36 * m + 20}_cifar": {"modules": (m, m, m)} for m in (1, 2, 3, 4, 6)}
        | {"ran452_cifar": {"modules": (6, 6, 6), "p": 2, "t": 4, "r": 3}},
    ),
]
