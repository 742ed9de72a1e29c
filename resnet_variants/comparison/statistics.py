"""Means over seeds, and differences paired by seed with Student's confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy import stats  # type: ignore[import-untyped]


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation over seeds."""

    mean: float
    sd: float | None
    """None for one seed"""
    n: int


def summarise(values: Sequence[float]) -> Summary:
    """Mean and standard deviation (n - 1) of what the seeds gave."""
    if not values:
        raise ValueError("No values to summarise.")
    sd = stdev(values) if len(values) > 1 else None
    return Summary(fmean(values), sd, len(values))


@dataclass(frozen=True)
class Difference:
    """Mean of the differences that a network makes to the baseline under the same seeds."""

    mean: float
    low: float | None
    """lower end of the confidence interval; None for one common seed"""
    high: float | None
    p: float | None
    """two-sided p value of the paired t test"""
    p_holm: float | None
    """the same, corrected for all networks of the comparison (Holm 1979)"""
    n: int

    @property
    def clear(self) -> bool:
        """Whether it stays under 5 % after the correction."""
        return self.p_holm is not None and self.p_holm < 0.05


def paired_difference(
    baseline: Mapping[int, float], other: Mapping[int, float], confidence: float = 0.95
) -> Difference | None:
    """Compare two networks over the seeds that both have; None if there is no such seed.

    Networks under one seed share data order, augmentation and the start values of shared
    weights, so the difference within a seed varies less than either.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), not {confidence!r}.")
    seeds = sorted({*baseline} & {*other})
    if not seeds:
        return None
    differences = [other[seed] - baseline[seed] for seed in seeds]
    mean, n = fmean(differences), len(differences)
    if n == 1:
        return Difference(mean, None, None, None, None, n)
    error = stdev(differences) / math.sqrt(n)
    if error == 0:  # the t test divides by it
        p = 1.0 if mean == 0 else 0.0
        return Difference(mean, mean, mean, p, p, n)
    reach = stats.t.ppf((1 + confidence) / 2, n - 1) * error
    p = float(2 * stats.t.sf(abs(mean / error), n - 1))
    return Difference(mean, float(mean - reach), float(mean + reach), p, p, n)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number (Holm 1979): the family's error stays at its level."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected
