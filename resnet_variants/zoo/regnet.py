"""RegNetX and RegNetY: depth, w_0, w_a, w_m and group width say all."""

from ..builders.regnet import RegNetConfig
from .entry import CIFAR, Row, table

RADOSAVOVIC = "Radosavovic et al., Designing Network Design Spaces, CVPR 2020"

X = RegNetConfig()
Y = X.replace(attention="se")
TV = {"rounding": "torchvision"}


def _line(depth: int, w_0: int, w_a: float, w_m: float, group_width: int) -> Row:
    return {"depth": depth, "w_0": w_0, "w_a": w_a, "w_m": w_m, "group_width": group_width}


# Behind a name torchvision's, where its rounding makes no other network.
# 002 has 0.2 billion multiply-accumulates, 320 has 32.
X_LINES = {
    "regnetx_002": _line(13, 24, 36.44, 2.49, 8),
    "regnetx_004": _line(22, 24, 24.48, 2.54, 16),
    "regnetx_006": _line(16, 48, 36.97, 2.24, 24),
    "regnetx_008 regnet_x_800mf": _line(16, 56, 35.73, 2.28, 16),
    "regnetx_016 regnet_x_1_6gf": _line(18, 80, 34.01, 2.25, 24),
    "regnetx_032 regnet_x_3_2gf": _line(25, 88, 26.31, 2.25, 48),
    "regnetx_040": _line(23, 96, 38.65, 2.43, 40),
    "regnetx_064": _line(17, 184, 60.83, 2.07, 56),
    "regnetx_080 regnet_x_8gf": _line(23, 80, 49.56, 2.88, 120),
    "regnetx_120": _line(19, 168, 73.36, 2.37, 112),
    "regnetx_160 regnet_x_16gf": _line(22, 216, 55.59, 2.1, 128),
    "regnetx_320 regnet_x_32gf": _line(23, 320, 69.86, 2.0, 168),
}
Y_LINES = {
    "regnety_002": _line(13, 24, 36.44, 2.49, 8),
    "regnety_004 regnet_y_400mf": _line(16, 48, 27.89, 2.09, 8),
    "regnety_006": _line(15, 48, 32.54, 2.32, 16),
    "regnety_008": _line(14, 56, 38.84, 2.4, 16),
    "regnety_016 regnet_y_1_6gf": _line(27, 48, 20.71, 2.65, 24),
    "regnety_032 regnet_y_3_2gf": _line(21, 80, 42.63, 2.66, 24),
    "regnety_040": _line(22, 96, 31.41, 2.24, 64),
    "regnety_064": _line(25, 112, 33.22, 2.27, 72),
    "regnety_080": _line(17, 192, 76.82, 2.19, 56),
    "regnety_120": _line(19, 168, 73.36, 2.37, 112),
    "regnety_160 regnet_y_16gf": _line(18, 200, 106.23, 2.48, 112),
    "regnety_320 regnet_y_32gf": _line(20, 232, 115.89, 2.53, 232),
    # torchvision's and SEER's, not the paper's
    "regnety_1280 regnet_y_128gf": _line(27, 456, 160.83, 2.52, 264),
}

# torchvision's own
TV_X = {"regnetx_004_tv regnet_x_400mf": X_LINES["regnetx_004"] | TV}
TV_Y = {
    "regnety_008_tv regnet_y_800mf": Y_LINES["regnety_008"] | TV,
    "regnety_080_tv regnet_y_8gf": Y_LINES["regnety_080"] | TV,
}

ENTRIES = [
    *table("RegNetX", RADOSAVOVIC, X, X_LINES),
    *table("RegNetY", RADOSAVOVIC, Y, Y_LINES),
    *table("RegNet (torchvision rounding)", RADOSAVOVIC, X, TV_X),
    *table("RegNet (torchvision rounding)", RADOSAVOVIC, Y, TV_Y),
    *table("RegNetX", RADOSAVOVIC, X, {"regnetx_002_cifar": X_LINES["regnetx_002"] | CIFAR}),
    *table("RegNetY", RADOSAVOVIC, Y, {"regnety_002_cifar": Y_LINES["regnety_002"] | CIFAR}),
]
