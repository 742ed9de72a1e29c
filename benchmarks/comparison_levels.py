"""How often a trial finds a difference: without any true one, and with one that it should find.

Simulated trials: accuracies on 10,000 test images (counted, so rounded), a standard deviation over
seeds of 0.3 points, networks correlated by 0.5 under one seed. For each number of seeds and of
comparisons: the share of trials with any false positive (paired t tests, Holm), and the share
that finds a true difference, alone among the comparisons, of the size that is called detectable.

    python benchmarks/comparison_levels.py [--trials 1000]

prints the table of docs/comparison.md.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from resnet_variants.comparison.statistics import LEVEL, detectable, holm, paired_difference

SD, CORRELATION, QUANTUM = 0.3, 0.5, 0.01


def found(draw: np.random.Generator, seeds: int, comparisons: int, effect: float) -> list[bool]:
    """Whether each comparison of one trial is found; the first has a true difference."""
    shared = draw.normal(0, SD * math.sqrt(CORRELATION), seeds)
    own = draw.normal(0, SD * math.sqrt(1 - CORRELATION), (comparisons + 1, seeds))
    scores = 90 + shared + own
    scores[1] += effect
    scores = np.round(scores / QUANTUM) * QUANTUM
    base, *others = (dict(enumerate(row.tolist())) for row in scores)
    p_values = []
    for other in others:
        difference = paired_difference(base, other, quantum=QUANTUM)
        assert difference is not None
        p_values.append(1.0 if difference.p is None else difference.p)
    return [p < LEVEL for p in holm(p_values)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    draw = np.random.default_rng(0)
    print("| seeds | comparisons | false positives | detectable (points) | found |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for seeds in (2, 3, 5, 10):
        for comparisons in (1, 4, 8):
            false = sum(any(found(draw, seeds, comparisons, 0.0)) for _ in range(trials)) / trials
            effect = detectable(seeds, comparisons)
            line = f"| {seeds} | {comparisons} | {false:.1%} "
            if effect is None:
                print(line + "| none | - |")
                continue
            points = effect * SD * math.sqrt(2 * (1 - CORRELATION))
            hits = sum(found(draw, seeds, comparisons, points)[0] for _ in range(trials)) / trials
            print(line + f"| {points:.2f} | {hits:.1%} |")


if __name__ == "__main__":
    main()
