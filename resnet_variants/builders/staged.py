"""Stem, stages of units, head: the one loop that builds every family.

A family gives the channels of its units, and a function that makes the unit of a ``Place``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import nn

from ..blocks.drop_path import drop_path_rates
from ..blocks.gates import GateFactory, check_gate, make_gate
from ..blocks.head import Head
from ..blocks.layers import ConvNormAct, TooLargeError, act_factory, norm_factory
from ..blocks.stems import POOLS, STEMS, Stem, make_stem
from ..config import NetworkConfig
from ..fields import MOST_UNITS, bounded, one_of
from ..network import Network, StageInfo


@dataclass(frozen=True, kw_only=True)
class StagedConfig(NetworkConfig):
    """What all families have: stages whose units may have a gate."""

    undilatable: ClassVar[str] = ""
    """why a family's stages cannot be dilated, where they cannot"""
    stage_field: ClassVar[str] = "layers"
    """the field that has a number for each stage"""

    attention: str | GateFactory | tuple[str | GateFactory | None, ...] | None = None
    """gate: a registered name, a module class, None, or one of these for each stage"""
    attention_args: Mapping[str, Any] | tuple[Mapping[str, Any], ...] = field(default_factory=dict)
    """the gate's own arguments, for instance ``{"reduction": 8}``, or one such for each stage"""
    attention_every: int | tuple[int, ...] = bounded(1, least=1, most=MOST_UNITS)
    """2: a gate in the first, third, … unit of a stage alone, and so on, or one such number for
    each stage. (A unit of a Residual Attention Network's stage is an attention module.)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.undilatable and self.output_stride != 32:
            raise ValueError(
                f"output_stride={self.output_stride}: {self.undilatable}, so its stages cannot be "
                "dilated."
            )
        self._check_shapes()
        gates = zip(self.per_stage("attention"), self.per_stage("attention_args"), strict=True)
        for gate, args in gates:
            check_gate(gate, args)
        if {*self.per_stage("attention_every")} != {1} and not self.has_attention:
            raise ValueError(
                f"attention_every={self.attention_every!r} leaves gates out, but attention is None."
            )

    def _check_shapes(self) -> None:
        """Refuse values from which no stages can be made."""

    def _check_widths(self, widths: tuple[int, ...]) -> None:
        """Refuse another number of widths than there are stages."""
        name, depths = self.stage_field, getattr(self, self.stage_field)
        if len(widths) != len(depths):
            raise ValueError(f"widths={widths} for the {len(depths)} stages of {name}={depths}.")

    @property
    def stage_count(self) -> int:
        """How many stages there are."""
        return len(getattr(self, self.stage_field))

    @property
    def has_attention(self) -> bool:
        """Whether any stage has a gate."""
        return any(gate not in (None, "none") for gate in self.per_stage("attention"))

    def gate_args(self, stage: int, in_channels: int) -> Mapping[str, Any]:
        """The arguments of the gate in a unit of ``in_channels``."""
        return self.of_stage("attention_args", stage)

    def of_stage(self, name: str, stage: int) -> Any:
        """The field ``name`` in one stage."""
        value = getattr(self, name)
        return value[stage] if isinstance(value, tuple) else value

    def per_stage(self, name: str) -> tuple[Any, ...]:
        """The field ``name`` as one value for each stage. ValueError for another number."""
        value, stages = getattr(self, name), self.stage_count
        if not isinstance(value, tuple):
            return (value,) * stages
        if len(value) != stages:
            raise ValueError(f"{name}={value!r} has {len(value)} values for {stages} stages.")
        return value


@dataclass(frozen=True, kw_only=True)
class StemmedConfig(StagedConfig):
    """What the families have that begin with one of ``blocks.stems``."""

    stem: str = one_of("conv7", STEMS)
    """``conv7``, ``deep`` (ResNet-C), ``deep64``, ``tiered``, ``conv3``,
    ``conv3_pool``, ``cifar``"""
    stem_width: int | None = bounded(None, least=3)  # a tiered stem has 3 / 8 of it
    """channels that the stem gives; None: the stem's own, or the paper's"""
    stem_pool: str = one_of("max", POOLS)
    """``max`` (padded, torch), ``max_ceil`` (unpadded, rounded up: Caffe) or ``none``"""

    @property
    def stem_channels(self) -> int:
        """Channels that the stem gives to the first stage."""
        return self.stem_width or self.own_stem_width

    @property
    def own_stem_width(self) -> int:
        """The stem's channels where ``stem_width`` does not say."""
        raise NotImplementedError(f"{type(self).__name__} must define own_stem_width")


@dataclass(frozen=True)
class Stage:
    """A stage as numbers: the channels that each of its units gives. See ``StageInfo``."""

    widths: tuple[int, ...]
    rounds_down: bool = False
    windows: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a unit stands, and what follows from it."""

    stage: int
    index: int
    """in its stage; the first unit strides and changes the width"""
    in_channels: int
    out_channels: int
    stride: int
    """1 where a dilation takes its place"""
    designed_stride: int
    """the paper's own"""
    dilation: int
    """of the unit's first 3x3"""
    inner_dilation: int
    """of what follows it, and of the stage's other units"""
    last: bool
    """whether it ends its stage"""
    last_stage: bool


class Parts:
    """The layers that a configuration asks for, for a network of ``branches`` residual ones."""

    def __init__(self, config: StagedConfig, branches: int) -> None:
        self.config: Any = config
        self.norm = norm_factory(config.norm_layer, config.norm_args)
        self.act = act_factory(config.act_layer)
        self._drop_paths = iter(drop_path_rates(config.drop_path_rate, branches))

    def conv(
        self, into: int, out: int, kernel: Any = 1, stride: int = 1, act: bool = True, **args: Any
    ) -> ConvNormAct:
        """Convolution, the network's normalisation and, unless told not to, activation."""
        act_layer = self.act if act else None
        return ConvNormAct(into, out, kernel, stride=stride, norm=self.norm, act=act_layer, **args)

    def stem(self) -> Stem:
        """The stem of a ``StemmedConfig``."""
        config = self.config
        return make_stem(
            config.stem,
            config.in_chans,
            width=config.stem_channels,
            pool=config.stem_pool,
            norm=self.norm,
            act=self.act,
        )

    def gate(self, channels: int, place: Place) -> nn.Module | None:
        """The gate of a unit, on a map of ``channels``; None where it is to have none."""
        if place.index % self.config.of_stage("attention_every", place.stage):
            return None
        gate = self.config.of_stage("attention", place.stage)
        args = self.config.gate_args(place.stage, place.in_channels)
        return make_gate(gate, args, channels, norm=self.norm)

    def drop_path(self) -> float:
        """The drop probability of the next residual branch: each one asks once."""
        return next(self._drop_paths)


def build_staged(
    parts: Parts,
    stages: Sequence[Stage],
    make_unit: Callable[[Parts, Place], nn.Module],
    *,
    stem: Stem | None = None,
    first_stride: int | None = None,
    final: Callable[[], nn.Module] | None = None,
    final_width: int | None = None,
) -> Network:
    """The network of ``stages``, whose units ``make_unit`` makes in order.

    ``first_stride`` is the first stage's; None: 2 behind a stem that reduces by 2 alone, else 1.
    The others stride by 2, or are dilated where they would reduce beyond ``output_stride``.
    ``final`` makes what stands before the pooling; it gives ``final_width`` channels, None: as
    many as the last stage.
    """
    config = parts.config
    stem = stem or parts.stem()
    limit = math.inf if config.undilatable else config.output_stride
    made: list[nn.Module] = []
    info: list[StageInfo] = []
    channels, reduction, dilation = stem.out_channels, stem.reduction, 1
    for s, stage in enumerate(stages):
        stride = 2 if s else first_stride or (2 if reduction == 2 else 1)
        # A stage that may not stride keeps the previous dilation in its first unit, and doubles
        # it in the others, as torchvision, timm and the ResNeSt authors do.
        before, dilate = dilation, stride > 1 and reduction * stride > limit
        dilation, reduction = (
            (dilation * stride, reduction) if dilate else (dilation, reduction * stride)
        )
        units = []
        for i, width in enumerate(stage.widths):
            place = Place(
                stage=s,
                index=i,
                in_channels=channels,
                out_channels=width,
                stride=1 if i or dilate else stride,
                designed_stride=1 if i else stride,
                dilation=dilation if i else before,
                inner_dilation=dilation,
                last=i == len(stage.widths) - 1,
                last_stage=s == len(stages) - 1,
            )
            try:
                units.append(make_unit(parts, place))
            except TooLargeError:
                raise
            except ValueError as error:  # of a part, which knows its own channels alone
                raise ValueError(f"{_told(s, width, config)}: {error}") from error
            channels = width
        made.append(nn.Sequential(*units))
        info.append(StageInfo(channels, reduction, stage.rounds_down, stage.windows))
    head = Head(
        final_width or channels,
        config.num_classes,
        final=final() if final else None,
        global_pool=config.global_pool,
        drop_rate=config.drop_rate,
    )
    return Network(stem, made, head, config, stage_info=info)


def _told(stage: int, width: int, config: StagedConfig) -> str:
    """A stage, with the fields that its channels may be of and that are not as usual."""
    usual = {each.name: each.default for each in dataclasses.fields(config) if "width" in each.name}
    now = {name: getattr(config, name) for name in usual}
    given = [f"{name}={now[name]}" for name in usual if now[name] != usual[name]]
    return f"Stage {stage} ({', '.join([f'{width} channels', *given])})"
