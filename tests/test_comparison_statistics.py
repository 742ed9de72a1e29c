"""Paired differences against scipy's own tests and textbook numbers."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from resnet_variants.comparison.statistics import holm, paired_difference, summarise

BASE = {0: 90.1, 1: 91.0, 2: 89.7, 3: 90.4, 4: 90.9}
OTHER = {0: 90.6, 1: 91.2, 2: 90.5, 3: 90.3, 4: 91.6}


def test_summary() -> None:
    summary = summarise([1.0, 2.0, 4.0])
    assert summary.mean == pytest.approx(7 / 3) and summary.sd == pytest.approx(math.sqrt(7 / 3))
    assert summarise([3.0]).sd is None
    with pytest.raises(ValueError, match="No values"):
        summarise([])


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_difference_is_that_of_scipy(confidence: float) -> None:
    difference = paired_difference(BASE, OTHER, confidence)
    known = stats.ttest_rel(list(OTHER.values()), list(BASE.values()))
    interval = known.confidence_interval(confidence)
    assert difference is not None
    assert difference.mean == pytest.approx(0.42)
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high))
    assert difference.p == pytest.approx(known.pvalue) and difference.n == 5


def test_only_common_seeds_count() -> None:
    difference = paired_difference(BASE, {4: 91.0, 3: 90.9, 7: 10.0})
    assert difference is not None and difference.n == 2
    assert difference.mean == pytest.approx(0.3)
    assert paired_difference(BASE, {9: 1.0}) is None
    one = paired_difference(BASE, {0: 91.0})
    assert one is not None and one.low is None and one.p is None and not one.clear


def test_equal_differences() -> None:
    same = paired_difference(BASE, BASE)
    assert same is not None and (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_confidence_is_checked() -> None:
    with pytest.raises(ValueError, match="confidence"):
        paired_difference(BASE, OTHER, 95)


def test_holm() -> None:
    # Holm (1979): the smallest times m, then non-decreasing
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []
