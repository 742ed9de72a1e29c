"""Feature levels: what maps a network gives on its way, how large and of which module."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..blocks.stems import Stem

TIMM_WORDS = {"num_chs": "channels", "reduction": "reduction", "module": "module", "index": "index"}
"""what timm calls the fields of a level"""


@dataclass(frozen=True)
class FeatureLevel(Mapping[str, Any]):
    """One level of the feature pyramid; in timm's words a mapping with ``num_chs``,
    ``reduction``, ``module`` and ``index``."""

    channels: int
    reduction: int
    """the map is the image over this, rounded up; exactly: ``size``"""
    module: str
    """name of the module that gives it"""
    rounded_down: tuple[int, ...] = ()
    """the reductions at which an odd size is rounded down: Caffe's unpadded poolings"""
    windows: tuple[tuple[int, int, int], ...] = ()
    """kernel, stride and padding of all layers on the way, where sizes do not simply halve"""
    index: int = 0
    """its place among the network's levels, the finest 0"""

    def __getitem__(self, key: str) -> Any:
        return getattr(self, TIMM_WORDS[key])

    def __iter__(self) -> Iterator[str]:
        return iter(TIMM_WORDS)

    def __len__(self) -> int:
        return len(TIMM_WORDS)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As a dictionary's, which timm calls; a level takes nothing new."""
        return self.get(key, default)

    def size(self, side: int) -> int:
        """Side of the map for an image of this side, in pixels.

        >>> FeatureLevel(64, 4, "stem").size(225), FeatureLevel(64, 4, "stem", (4,)).size(225)
        (57, 56)
        """
        for kernel, stride, padding in self.windows:
            side = max(side + 2 * padding - kernel, 0) // stride + 1
        if self.windows:
            return side
        done = 1
        for reduction in self.rounded_down:
            side = -(-side // (reduction // (2 * done))) // 2
            done = reduction
        return -(-side // (self.reduction // done))


class FeatureInfo(tuple[FeatureLevel, ...]):
    """The levels of a feature pyramid, finest first or in the order of ``out_indices``."""

    def channels(self) -> list[int]:
        """Channels of each level."""
        return [level.channels for level in self]

    def reduction(self) -> list[int]:
        """Reduction of each level."""
        return [level.reduction for level in self]

    def get_dicts(self, keys: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The levels as dictionaries in timm's words."""
        return [{key: level[key] for key in keys or level} for level in self]

    def module_name(self) -> list[str]:
        """Name of the module that gives each level."""
        return [level.module for level in self]


@dataclass(frozen=True)
class StageInfo:
    """What a builder says of a stage: its output's channels and total reduction, and whether
    it halves an odd size rounding down, as Caffe's unpadded pooling does. ``windows``: kernel,
    stride and padding of every layer from the image on, where sizes do not simply halve."""

    channels: int
    reduction: int
    rounds_down: bool = False
    windows: tuple[tuple[int, int, int], ...] = ()


def feature_levels(stem: Stem, stages: Sequence[StageInfo]) -> list[FeatureLevel]:
    """The stem's convolutions, its pooling where no stage has that resolution, the stages."""
    out, windows = stem.out_channels, stem.conv_windows
    levels = [FeatureLevel(out, stem.conv_reduction, "stem.convs", windows=windows)]
    down: tuple[int, ...] = (stem.reduction,) if stem.rounds_down else ()
    if stem.reduction not in (stem.conv_reduction, stages[0].reduction):
        windows = (*windows, (3, 2, 0)) if windows else ()
        levels.append(FeatureLevel(out, stem.reduction, "stem", down, windows))
    for i, info in enumerate(stages):
        down += (info.reduction,) if info.rounds_down else ()
        levels.append(
            FeatureLevel(info.channels, info.reduction, f"stages.{i}", down, info.windows)
        )
    return [dataclasses.replace(level, index=i) for i, level in enumerate(levels)]


def resolve_indices(indices: int | Sequence[int] | None, levels: int) -> tuple[int, ...]:
    """The places of the levels asked for: a number n is the last n, None all. Raises ValueError
    for one that is not there."""
    if indices is None:
        return tuple(range(levels))
    if isinstance(indices, int):
        indices = range(-indices, 0) if indices else ()
    for i in indices:
        if not isinstance(i, int) or not -levels <= i < levels:
            raise ValueError(
                f"out_indices={tuple(indices)}: {i!r} is not one of the {levels} feature levels, "
                f"0 to {levels - 1} (or -{levels} to -1)."
            )
    return tuple(i % levels for i in indices)
