"""The arguments of ``create_model`` that are fields of some family's configuration, for
editors and type checkers. Which of them a family takes is checked when a network is made.

Written by ``python docs/options.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from torch import nn

ModuleFactory = Callable[..., nn.Module]


class Options(TypedDict, total=False):
    """What ``create_model`` takes beside its own arguments: the fields of all configurations."""

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
