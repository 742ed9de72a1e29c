"""The arguments of ``create_model`` that are fields of configurations, for editors and
type checkers: of each family, and ``Options``, which ``create_model`` says it takes. Which of them
the family of a name takes is checked when a network is made; a type checker knows it of a
dictionary:

    options: RegNetOptions = {"attention": "se", "w_0": 24}
    create_model("regnetx_032", **options)

(Overloads by name were tried: a misspelt argument was answered with 41 kB of possible variants.)

Long because written by ``python docs/options.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from torch import nn

ModuleFactory = Callable[..., nn.Module]


class BNInceptionOptions(TypedDict, total=False):
    """What networks of the builder ``bn_inception`` take."""

    act_layer: ModuleFactory | str
    attention: ModuleFactory | str | tuple[str | ModuleFactory | None, ...] | None
    attention_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    attention_every: int | tuple[int, ...]
    conv_bias: bool
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
    stem: str
    zero_init_last: bool


class InceptionResNetOptions(TypedDict, total=False):
    """What networks of the builder ``inception_resnet_v2`` take."""

    act_layer: ModuleFactory | str
    attention: ModuleFactory | str | tuple[str | ModuleFactory | None, ...] | None
    attention_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    attention_every: int | tuple[int, ...]
    drop_path_rate: float
    drop_rate: float
    features_only: bool
    global_pool: str
    in_chans: int
    layers: tuple[int, int, int]
    norm_args: Mapping[str, Any]
    norm_layer: ModuleFactory | str
    num_classes: int
    out_indices: tuple[int, ...] | None
    output_stride: int
    scales: tuple[float, float, float]
    stem: str
    zero_init_last: bool


class RANOptions(TypedDict, total=False):
    """What networks of the builder ``ran`` take."""

    act_layer: ModuleFactory | str
    attention: ModuleFactory | str | tuple[str | ModuleFactory | None, ...] | None
    attention_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    attention_every: int | tuple[int, ...]
    drop_path_rate: float
    drop_rate: float
    features_only: bool
    global_pool: str
    groups: int
    in_chans: int
    learning: str
    mask: str
    mask_depths: tuple[int, ...]
    modules: tuple[int, ...]
    norm_args: Mapping[str, Any]
    norm_layer: ModuleFactory | str
    num_classes: int
    out_indices: tuple[int, ...] | None
    output_stride: int
    p: int
    r: int
    stem: str
    stem_pool: str
    stem_width: int | None
    t: int
    tail: int
    unit: str
    widths: tuple[int, ...]
    zero_init_last: bool


class AnyNetOptions(TypedDict, total=False):
    """What networks of the builder ``anynet`` take."""

    act_layer: ModuleFactory | str
    attention: ModuleFactory | str | tuple[str | ModuleFactory | None, ...] | None
    attention_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    attention_at: str | tuple[str, ...]
    attention_every: int | tuple[int, ...]
    bottleneck_ratio: float | tuple[float, ...]
    conv: ModuleFactory | str
    conv_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    depths: tuple[int, ...]
    drop_path_rate: float
    drop_rate: float
    features_only: bool
    global_pool: str
    group_width: int | tuple[int, ...]
    in_chans: int
    norm_args: Mapping[str, Any]
    norm_layer: ModuleFactory | str
    num_classes: int
    out_indices: tuple[int, ...] | None
    output_stride: int
    se_ratio: float | None
    shortcut: str
    stem: str
    stem_pool: str
    stem_width: int | None
    stride_with: str
    widths: tuple[int, ...]
    zero_init_last: bool


class RegNetOptions(TypedDict, total=False):
    """What networks of the builder ``regnet`` take."""

    act_layer: ModuleFactory | str
    attention: ModuleFactory | str | tuple[str | ModuleFactory | None, ...] | None
    attention_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    attention_at: str | tuple[str, ...]
    attention_every: int | tuple[int, ...]
    bottleneck_ratio: float
    conv: ModuleFactory | str
    conv_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    depth: int
    drop_path_rate: float
    drop_rate: float
    features_only: bool
    global_pool: str
    group_width: int
    in_chans: int
    norm_args: Mapping[str, Any]
    norm_layer: ModuleFactory | str
    num_classes: int
    out_indices: tuple[int, ...] | None
    output_stride: int
    rounding: str
    se_ratio: float | None
    shortcut: str
    stem: str
    stem_pool: str
    stem_width: int | None
    stride_with: str
    w_0: int
    w_a: float
    w_m: float
    zero_init_last: bool


class ResNetOptions(TypedDict, total=False):
    """What networks of the builder ``resnet`` take."""

    act_layer: ModuleFactory | str
    attention: ModuleFactory | str | tuple[str | ModuleFactory | None, ...] | None
    attention_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    attention_at: str | tuple[str, ...]
    attention_every: int | tuple[int, ...]
    base_width: int
    block: str
    conv: ModuleFactory | str
    conv_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    drop_path_rate: float
    drop_rate: float
    features_only: bool
    global_pool: str
    groups: int
    in_chans: int
    layers: tuple[int, ...]
    norm_args: Mapping[str, Any]
    norm_layer: ModuleFactory | str
    num_classes: int
    out_indices: tuple[int, ...] | None
    output_stride: int
    reduce_first: int
    shortcut: str
    shortcut_kernel: int
    stem: str
    stem_pool: str
    stem_width: int | None
    stride_in: str
    stride_with: str
    widths: tuple[int, ...] | None
    zero_init_last: bool


class ShuffleNetV1Options(TypedDict, total=False):
    """What networks of the builder ``shufflenet_v1`` take."""

    act_layer: ModuleFactory | str
    attention: ModuleFactory | str | tuple[str | ModuleFactory | None, ...] | None
    attention_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    attention_every: int | tuple[int, ...]
    drop_path_rate: float
    drop_rate: float
    features_only: bool
    first_stride: int
    global_pool: str
    groups: int
    in_chans: int
    layers: tuple[int, ...]
    norm_args: Mapping[str, Any]
    norm_layer: ModuleFactory | str
    num_classes: int
    out_indices: tuple[int, ...] | None
    output_stride: int
    pool_first: bool
    shuffle_at: str
    shuffle_order: str
    stem: str
    stem_pool: str
    stem_width: int | None
    width: float
    widths: tuple[int, ...] | None
    zero_init_last: bool


class ShuffleNetV2Options(TypedDict, total=False):
    """What networks of the builder ``shufflenet_v2`` take."""

    act_layer: ModuleFactory | str
    attention: ModuleFactory | str | tuple[str | ModuleFactory | None, ...] | None
    attention_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    attention_every: int | tuple[int, ...]
    downsample: str
    drop_path_rate: float
    drop_rate: float
    features_only: bool
    first_stride: int
    global_pool: str
    head_width: int
    in_chans: int
    layers: tuple[int, ...]
    norm_args: Mapping[str, Any]
    norm_layer: ModuleFactory | str
    num_classes: int
    out_indices: tuple[int, ...] | None
    output_stride: int
    residual: bool
    shuffle_at: str
    stem: str
    stem_pool: str
    stem_width: int | None
    widths: tuple[int, ...]
    zero_init_last: bool


class Options(TypedDict, total=False):
    """What ``create_model`` takes beside its own arguments."""

    act_layer: ModuleFactory | str
    attention: ModuleFactory | str | tuple[str | ModuleFactory | None, ...] | None
    attention_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    attention_at: str | tuple[str, ...]
    attention_every: int | tuple[int, ...]
    base_width: int
    block: str
    bottleneck_ratio: float | tuple[float, ...]
    conv: ModuleFactory | str
    conv_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    conv_bias: bool
    depth: int
    depths: tuple[int, ...]
    downsample: str
    drop_path_rate: float
    drop_rate: float
    features_only: bool
    first_stride: int
    global_pool: str
    group_width: int | tuple[int, ...]
    groups: int
    head_width: int
    in_chans: int
    layers: tuple[int, ...] | tuple[int, int, int]
    learning: str
    mask: str
    mask_depths: tuple[int, ...]
    modules: tuple[int, ...]
    norm_args: Mapping[str, Any]
    norm_layer: ModuleFactory | str
    num_classes: int
    out_indices: tuple[int, ...] | None
    output_stride: int
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
    zero_init_last: bool
