"""Residual Attention Networks: how many attention modules each stage has."""

from ..builders.ran import RANConfig
from .entry import CIFAR, Row, table

WANG = "Wang et al., Residual Attention Network for Image Classification, CVPR 2017"

BASE = RANConfig()
M56: Row = {"modules": (1, 1, 1)}
M92: Row = {"modules": (1, 2, 3)}
DEEPEST: Row = {"p": 2, "t": 4, "r": 3}
NEXT: Row = {"unit": "resnext"}

# The authors released -56 and -92; of the others only the number of modules is known, and they go
# on as -92 begins, each stage one module more than the one before.
ROWS: dict[str, Row] = {
    "ran56": M56,
    "ran92": M92,
    "ran128": {"modules": (2, 3, 4)},
    "ran164": {"modules": (3, 4, 5)},
    "ran236": {"modules": (5, 6, 7)},
    "ran452": {"modules": (5, 6, 7)} | DEEPEST,
    "ranext56": M56 | NEXT,
    "ranext92": M92 | NEXT,
    "raninception56": M56 | {"unit": "inception"},
}

# The paper gives every stage of its CIFAR networks as many modules (36 m + 20 layers for m of them)
# and says no more. This reconstruction has 1.89, 4.87 and 9.43 million parameters at depths 92,
# 236 and 452, where the paper has 1.9, 5.1 and 8.6.
SMALL = BASE.replace(**CIFAR, stem_width=16, widths=(64, 128, 256, 256), mask_depths=(2, 1, 0))
SMALL_ROWS: dict[str, Row] = {
    f"ran{36 * m + 20}_cifar": {"modules": (m, m, m)} for m in (1, 2, 3, 4, 6)
}
SMALL_ROWS["ran452_cifar"] = {"modules": (6, 6, 6)} | DEEPEST
# Not of the paper: half as wide, a quarter of the weights.
SMALL_ROWS["ran56_x0_5_cifar"] = {"stem_width": 8, "widths": (32, 64, 128, 128)}

ENTRIES = [*table("RAN", WANG, BASE, ROWS), *table("RAN", WANG, SMALL, SMALL_ROWS)]
