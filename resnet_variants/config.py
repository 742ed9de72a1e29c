"""The configuration that every family shares, and its JSON form."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from torch import nn

from .blocks.convs import CONVS
from .blocks.gates import ATTENTION
from .blocks.head import pool_of
from .blocks.layers import ACTIVATIONS, NORMS, act_factory, norm_factory
from .choices import Registry, quoted, unknown
from .fields import bounded, check_fields, one_of

ModuleFactory = Callable[..., nn.Module]


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """What the networks of all families have in common. Every field is an argument of
    ``create_model``; values are checked when the configuration is made."""

    builder: ClassVar[str]

    num_classes: int = bounded(1000, least=0)
    """outputs of the classifier; 0: no classifier, the output is the pooled features"""
    in_chans: int = bounded(3, least=1)
    """channels of the image"""
    global_pool: str = "avg"
    """``avg``, ``max``, ``avgmax`` (their mean), ``catavgmax`` (both), ``gem``, ``""`` (none)"""
    drop_rate: float = 0.0
    """dropout before the classifier"""
    drop_path_rate: float = 0.0
    """stochastic depth: the last residual branch's drop probability; the others rise to it"""
    act_layer: str | ModuleFactory = "relu"
    """activation: a registered name, or a class or function without arguments"""
    norm_layer: str | ModuleFactory = "batchnorm"
    """normalisation: a registered name, or a class or function of the channel count"""
    norm_args: Mapping[str, Any] = field(default_factory=dict)
    """arguments of the normalisation, for instance ``{"eps": 1e-3}``"""
    zero_init_last: bool = False
    """start residual branches at zero (Goyal et al. 2017)"""
    output_stride: int = one_of(32, (8, 16, 32))
    """8, 16 or 32: stages that would reduce further are dilated instead"""
    features_only: bool = False
    """return a list of feature maps, without head"""
    out_indices: tuple[int, ...] | None = None
    """which feature levels, in the order wanted, negative ones from the end; None: all"""

    def __post_init__(self) -> None:
        check_fields(self)
        for each in dataclasses.fields(self):
            object.__setattr__(self, each.name, _by_name(each.name, getattr(self, each.name)))
        object.__setattr__(self, "global_pool", pool_of(self.global_pool))
        for name in ("drop_rate", "drop_path_rate"):
            rate = getattr(self, name)
            if not 0 <= rate < 1:
                raise ValueError(f"{name} must be in [0, 1), not {rate!r}.")
        act_factory(self.act_layer)
        norm_factory(self.norm_layer, self.norm_args)
        if not self.global_pool and self.num_classes and not self.features_only:
            raise ValueError(
                f"global_pool='' keeps the map, so num_classes must be 0, not {self.num_classes}."
            )
        if self.out_indices is not None and not self.features_only:
            raise ValueError(
                f"out_indices={self.out_indices} chooses feature levels: it needs "
                "features_only=True."
            )

    def replace(self, /, **changes: Any) -> Self:
        """A copy with other values. An unknown field is refused with the nearest one.

        The arguments of a part go with the part: another ``attention`` forgets
        ``attention_args`` unless new ones are given; the same one keeps those not named.
        """
        names = [each.name for each in dataclasses.fields(self)]
        for name in changes:
            if name not in names:
                raise TypeError(str(unknown(f"argument of {type(self).__name__}", name, names)))
        for name in names:
            part = name.removesuffix("_args")
            if part == name:
                continue
            part = part if part in names else f"{part}_layer"
            old, new = getattr(self, name), changes.get(name)
            if part in changes and _differs(changes[part], getattr(self, part)):
                changes.setdefault(name, {})
            elif isinstance(old, Mapping) and isinstance(new, Mapping):
                changes[name] = {**old, **new}
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON values, with the builder's name.

        Raises ValueError for a part that has no name: register it to give it one.
        """
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return {"builder": self.builder} | {k: _to_json(k, v) for k, v in values.items()}


def _differs(new: Any, old: Any) -> bool:
    """Whether two values of a field differ; an array, which has no one answer, does."""
    try:
        return bool(new != old)
    except Exception:
        return True


def check_count(name: str, value: object, least: int) -> None:
    """Refuse what is not a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {quoted(value)}.")


_PARTS: dict[str, Registry[Any]] = {
    "attention": ATTENTION,
    "conv": CONVS,
    "norm_layer": NORMS,
    "act_layer": ACTIVATIONS,
}


def _by_name(name: str, value: Any) -> Any:
    """Parts that have a name as their names, which is how JSON tells of them."""
    if isinstance(value, Mapping):
        return {key: _by_name(key, each) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(_by_name(name, each) for each in value)
    known = _PARTS[name].name_of(value) if name in _PARTS and callable(value) else None
    return value if known is None else known


def _to_json(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _to_json(key, each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(name, each) for each in value]
    if callable(value):
        raise ValueError(
            f"{name}={value!r} has no name, so it cannot be written down: register it "
            "(for a gate: @register_attention('my_gate')) and pass the name."
        )
    if not isinstance(value, (str, int, float, bool, types.NoneType)):
        raise ValueError(f"{name}={value!r} cannot be written down: JSON has no such value.")
    return value


BUILDERS: Registry[tuple[type[NetworkConfig], Callable[[Any], Any]]] = Registry("builder")


def register_builder(
    config: type[NetworkConfig],
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Make a function build the networks that ``config`` describes."""

    def add(build: Callable[[Any], Any]) -> Callable[[Any], Any]:
        BUILDERS.register(config.builder, (config, build))
        return build

    return add


def config_from_dict(values: Mapping[str, Any]) -> NetworkConfig:
    """The configuration that ``to_dict`` wrote."""
    if not isinstance(values, Mapping):
        raise ValueError(f"Not a network's configuration but a {type(values).__name__}.")
    values = dict(values)
    if "builder" not in values:
        raise ValueError(f"Not a network's configuration, no 'builder' in {list(values)}.")
    config, _ = BUILDERS[values.pop("builder")]
    names = [each.name for each in dataclasses.fields(config)]
    for name in values:
        if name not in names:
            raise unknown(f"field of {config.__name__}", name, names)
    return config(**values)
