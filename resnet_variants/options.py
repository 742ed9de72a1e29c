"""The arguments of ``create_model`` that are fields of configurations, for editors and
type checkers: of each family, and ``Options``, which ``create_model`` says it takes. Which of them
the family of a name takes is checked when a network is made; a type checker knows it of a
dictionary:

    options: RegNetOptions = {"attention": "se", "w_0": 24}
    create_model("regnetx_032", **options)

(Overloads by name were tried: a misspelt argument was answered with 41 kB of possible variants.)

Written by ``python docs/options.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from torch import nn

ModuleFactory = Callable[..., nn.Module]


class NetworkOptions(TypedDict, total=False):
    """The fields of ``NetworkConfig``."""

    act_layer: ModuleFactory | str
    drop_path_rate: float
    drop_rate: float
    features_only: bool
    global_pool: str
    in_chans: int
    norm_args: Mapping[str, Any]
    norm_layer: ModuleFactory | str
    num_classes: int
    out_indices: tuple[int, ...] | None
    output_stride: int
    zero_init_last: bool


class StagedOptions(NetworkOptions, total=False):
    """The fields of ``StagedConfig``."""

    attention: ModuleFactory | str | tuple[str | ModuleFactory | None, ...] | None
    attention_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    attention_every: int | tuple[int, ...]


class InceptionOptions(StagedOptions, total=False):
    """The fields of ``InceptionConfig``."""

    stem: str


class BNInceptionOptions(InceptionOptions, total=False):
    """What networks of the builder ``bn_inception`` take."""

    conv_bias: bool


class InceptionResNetOptions(InceptionOptions, total=False):
    """What networks of the builder ``inception_resnet_v2`` take."""

    layers: tuple[int, int, int]
    scales: tuple[float, float, float]


class StemmedOptions(StagedOptions, total=False):
    """The fields of ``StemmedConfig``."""

    stem: str
    stem_pool: str
    stem_width: int | None


class RANOptions(StemmedOptions, total=False):
    """What networks of the builder ``ran`` take."""

    groups: int
    learning: str
    mask: str
    mask_depths: tuple[int, ...]
    modules: tuple[int, ...]
    p: int
    r: int
    t: int
    tail: int
    unit: str
    widths: tuple[int, ...]


class ResidualOptions(StemmedOptions, total=False):
    """The fields of ``ResidualConfig``."""

    attention_at: str | tuple[str, ...]
    conv: ModuleFactory | str
    conv_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    shortcut: str
    stride_with: str


class GroupedOptions(ResidualOptions, total=False):
    """The fields of ``GroupedConfig``."""

    se_ratio: float | None


class AnyNetOptions(GroupedOptions, total=False):
    """What networks of the builder ``anynet`` take."""

    bottleneck_ratio: float | tuple[float, ...]
    depths: tuple[int, ...]
    group_width: int | tuple[int, ...]
    widths: tuple[int, ...]


class RegNetOptions(GroupedOptions, total=False):
    """What networks of the builder ``regnet`` take."""

    bottleneck_ratio: float
    depth: int
    group_width: int
    rounding: str
    w_0: int
    w_a: float
    w_m: float


class ResNetOptions(ResidualOptions, total=False):
    """What networks of the builder ``resnet`` take."""

    base_width: int
    block: str
    groups: int
    layers: tuple[int, ...]
    reduce_first: int
    shortcut_kernel: int
    stride_in: str
    widths: tuple[int, ...] | None


class ShuffleNetOptions(StemmedOptions, total=False):
    """The fields of ``ShuffleNetConfig``."""

    first_stride: int
    layers: tuple[int, ...]


class ShuffleNetV1Options(ShuffleNetOptions, total=False):
    """What networks of the builder ``shufflenet_v1`` take."""

    groups: int
    pool_first: bool
    shuffle_at: str
    shuffle_order: str
    width: float
    widths: tuple[int, ...] | None


class ShuffleNetV2Options(ShuffleNetOptions, total=False):
    """What networks of the builder ``shufflenet_v2`` take."""

    downsample: str
    head_width: int
    residual: bool
    shuffle_at: str
    widths: tuple[int, ...]


class Options(StagedOptions, total=False):
    """What ``create_model`` takes beside its own arguments."""

    attention_at: str | tuple[str, ...]
    base_width: int
    block: str
    bottleneck_ratio: float | tuple[float, ...]
    conv: ModuleFactory | str
    conv_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    conv_bias: bool
    depth: int
    depths: tuple[int, ...]
    downsample: str
    first_stride: int
    group_width: int | tuple[int, ...]
    groups: int
    head_width: int
    layers: tuple[int, ...] | tuple[int, int, int]
    learning: str
    mask: str
    mask_depths: tuple[int, ...]
    modules: tuple[int, ...]
    p: int
    pool_first: bool
    r: int
    reduce_first: int
    residual: bool
    rounding: str
    scales: tuple[float, float, float]
    se_ratio: float | None
    shortcut: str
    shortcut_kernel: int
    shuffle_at: str
    shuffle_order: str
    stem: str
    stem_pool: str
    stem_width: int | None
    stride_in: str
    stride_with: str
    t: int
    tail: int
    unit: str
    w_0: int
    w_a: float
    w_m: float
    width: float
    widths: tuple[int, ...] | None
