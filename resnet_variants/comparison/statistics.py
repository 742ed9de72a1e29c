"""Differences paired by seed: intervals, tests, equivalence, and what a trial can detect."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats  # type: ignore[import-untyped]

LEVEL = 0.05
"""the share of trials without any true difference that may find one"""
POWER = 0.8
"""the share of trials that find a difference which counts as detectable"""
FEWEST_SEEDS = 3
"""under so many there is no test: two differences that are equal by rounding prove anything"""


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
    """lower end of the confidence interval over seeds; None for one common seed"""
    high: float | None
    p: float | None
    """two-sided p value of the paired t test; None under three seeds"""
    p_holm: float | None
    """the same, corrected for all comparisons of the report (Holm 1979)"""
    n: int
    """pairs: seeds that both have"""
    sd: float | None = None
    """of the differences, at least what the rounding of accuracies alone gives"""
    p_signs: float | None = None
    """two-sided p value of the exact sign-flip test, which assumes no distribution"""
    better: float | None = None
    """probability of improvement: that a run is above one of the baseline, ties as a half"""
    image_low: float | None = None
    """lower end of the interval over seeds and test images; None without predictions"""
    image_high: float | None = None
    p_equal: float | None = None
    """p value of the two one-sided tests against a difference as large as the margin"""
    p_equal_holm: float | None = None
    """the same, corrected for all comparisons of the report"""

    @property
    def width(self) -> float | None:
        """Of the interval over seeds."""
        return None if self.low is None or self.high is None else self.high - self.low

    @property
    def clear(self) -> bool:
        """Whether it stays under 5 % after the correction."""
        return self.p_holm is not None and self.p_holm < LEVEL

    @property
    def equivalent(self) -> bool:
        """Whether a difference as large as the margin is ruled out at 5 %, after correction."""
        return self.p_equal_holm is not None and self.p_equal_holm < LEVEL


def paired_difference(
    baseline: Mapping[int, float],
    other: Mapping[int, float],
    confidence: float = 0.95,
    *,
    quantum: float = 0.0,
    margin: float | None = None,
) -> Difference | None:
    """Compare two networks over the seeds that both have; None if there is no such seed.

    Networks under one seed share data order, augmentation and the start values of shared
    weights, so the difference within a seed varies less than either. ``quantum`` is the step in
    which the values are counted (100 / images for an accuracy): differences that rounding makes
    equal have the deviation of rounding, not none. ``margin`` asks for the test of equivalence.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), not {confidence!r}.")
    if margin is not None and not margin > 0:
        raise ValueError(f"margin must be more than 0 points, not {margin!r}.")
    seeds = sorted({*baseline} & {*other})
    if not seeds:
        return None
    differences = [other[seed] - baseline[seed] for seed in seeds]
    mean, n = fmean(differences), len(differences)
    better = probability_of_improvement(list(baseline.values()), list(other.values()))
    if n == 1:
        return Difference(mean, None, None, None, None, n, better=better)
    # a difference of two rounded values carries the variance of both roundings, quantum^2 / 6
    sd = max(stdev(differences), quantum / math.sqrt(6))
    error = sd / math.sqrt(n)
    reach = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * error
    tested = n >= FEWEST_SEEDS
    p = t_test(mean, error, n) if tested else None
    return Difference(
        mean,
        mean - reach,
        mean + reach,
        p,
        p,
        n,
        sd=sd,
        p_signs=sign_flips(differences) if tested else None,
        better=better,
        p_equal=equivalence(mean, error, n, margin) if tested and margin is not None else None,
    )


def t_test(mean: float, error: float, n: int) -> float:
    """Two-sided p value of a mean with a standard error over n seeds."""
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean / error), n - 1))


def equivalence(mean: float, error: float, n: int, margin: float) -> float:
    """P value of the two one-sided t tests (Schuirmann 1987): small if |difference| < margin."""
    distance = margin - abs(mean)
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(stats.t.sf(distance / error, n - 1))


def sign_flips(differences: Sequence[float]) -> float:
    """Exact two-sided p value: the share of all 2^n choices of signs (over 16 differences, of
    65,536 drawn ones) whose mean is as far from zero. It cannot be under 2 / 2^n.
    """
    values, n = np.asarray(differences, dtype=float), len(differences)
    if n <= 16:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    else:
        signs = np.random.default_rng(0).choice((-1, 1), (2**16, n))
        signs[0] = 1  # what was seen is one of them
    means = np.abs(signs @ values)
    return float((means >= abs(values.sum()) * (1 - 1e-12)).mean())


def probability_of_improvement(baseline: Sequence[float], other: Sequence[float]) -> float:
    """How often a run of the one is above a run of the other (Agarwal et al. 2021, eq. 3)."""
    wins = [float(b > a) + (b == a) / 2 for a in baseline for b in other]
    return fmean(wins)


def seeds_and_images(differences: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """The interval of the mean of (seeds, images) differences over other seeds and other images.

    Seeds and images are crossed random effects: the variance of the mean is that over seeds plus
    that over images less what both count twice, with Satterthwaite's degrees of freedom. These
    are the readers and cases of Obuchowski and Rockette (1995) and Hillis (2007).
    """
    n, images = differences.shape
    of_seeds, of_images = differences.mean(axis=1), differences.mean(axis=0)
    mean = float(differences.mean())
    seed_part = float(of_seeds.var(ddof=1)) / n
    image_part = float(of_images.var(ddof=1)) / images
    rest = differences - of_seeds[:, None] - of_images[None, :] + mean
    both = float((rest**2).sum()) / ((n - 1) * (images - 1)) / (n * images)
    more = max(image_part - both, 0.0)
    error = math.sqrt(seed_part + more)
    if error == 0:
        return mean, mean
    freedom = (seed_part + more) ** 2 / (
        seed_part**2 / (n - 1) + image_part**2 / (images - 1) or math.inf
    )
    reach = float(stats.t.ppf((1 + confidence) / 2, max(freedom, 1.0))) * error
    return mean - reach, mean + reach


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number (Holm 1979): the family's error stays at its level."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def power(effect: float, seeds: int, comparisons: int = 1) -> float:
    """The share of trials that find a true difference of ``effect`` standard deviations of a
    paired difference, alone among ``comparisons``: two-sided t tests, Holm's first step."""
    if seeds < FEWEST_SEEDS:
        return 0.0
    limit = float(stats.t.isf(LEVEL / comparisons / 2, seeds - 1))
    shift = effect * math.sqrt(seeds)
    # over the deviation that the trial itself will estimate; scipy's nct has gaps for few seeds
    parts = (np.arange(4096) + 0.5) / 4096
    estimated = limit * np.sqrt(stats.chi2.ppf(parts, seeds - 1) / (seeds - 1))
    found = stats.norm.sf(estimated - shift) + stats.norm.cdf(-estimated - shift)
    return float(found.mean())


def detectable(seeds: int, comparisons: int = 1) -> float | None:
    """The smallest true difference that 80 % of such trials find, in standard deviations of a
    paired difference; None under three seeds, which find none."""
    if seeds < FEWEST_SEEDS:
        return None
    high = 1.0
    while power(high, seeds, comparisons) < POWER:
        high *= 2
    found = optimize.brentq(lambda e: power(e, seeds, comparisons) - POWER, 0.0, high)
    return float(found)


def seeds_needed(effect: float, comparisons: int = 1, most: int = 1000) -> int | None:
    """How many seeds find a difference of ``effect`` standard deviations in 80 % of trials."""
    if effect <= 0:
        return None
    low, high = FEWEST_SEEDS, most
    if power(effect, high, comparisons) < POWER:
        return None
    while low < high:
        middle = (low + high) // 2
        if power(effect, middle, comparisons) < POWER:
            low = middle + 1
        else:
            high = middle
    return low


def pooled_sd(differences: Sequence[Difference]) -> float | None:
    """The standard deviation of a paired difference, over all of a trial's comparisons."""
    known = [(each.n - 1, each.sd**2) for each in differences if each.sd is not None and each.n > 1]
    freedom = sum(n for n, _ in known)
    return math.sqrt(sum(n * v for n, v in known) / freedom) if freedom else None
