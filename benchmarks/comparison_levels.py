"""How often a trial finds a difference: without any true one, and with one that it should find.

Simulated trials: accuracies on 10,000 test images (counted, so rounded), a standard deviation over
seeds of 0.3 points, networks correlated by 0.5 under one seed. For each number of seeds and of
comparisons: the share of trials with any false positive (paired t tests, Holm), and the share
that finds a true difference, alone among the comparisons, of the size that is called detectable.

The same for trials that add seeds until every interval is narrow (``--until-width``): how many
seeds they take, how often they find what is not there, and how many intervals miss the truth.

    python benchmarks/comparison_levels.py [--trials 1000]

prints the tables of docs/comparison.md.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from resnet_variants.comparison.statistics import (
    LEVEL,
    Difference,
    detectable,
    holm,
    paired_difference,
)

SD, CORRELATION, QUANTUM = 0.3, 0.5, 0.01


Scores = list[dict[int, float]]


def simulated(draw: np.random.Generator, seeds: int, comparisons: int, effect: float) -> Scores:
    """Accuracies of the baseline and of the others by seed; the first other is better."""
    shared = draw.normal(0, SD * math.sqrt(CORRELATION), seeds)
    own = draw.normal(0, SD * math.sqrt(1 - CORRELATION), (comparisons + 1, seeds))
    scores = 90 + shared + own
    scores[1] += effect
    scores = np.round(scores / QUANTUM) * QUANTUM
    return [dict(enumerate(row.tolist())) for row in scores]


def differences(scores: Scores, seeds: int) -> list[Difference]:
    """Of each other from the baseline, over the first seeds."""
    base, *others = ({seed: row[seed] for seed in range(seeds)} for row in scores)
    found = [paired_difference(base, other, quantum=QUANTUM) for other in others]
    return [each for each in found if each is not None]


def verdicts(found: list[Difference]) -> list[bool]:
    """Which of them the trial calls differences."""
    return [p < LEVEL for p in holm([1.0 if each.p is None else each.p for each in found])]


def until(scores: Scores, first: int, width: float) -> tuple[int, list[Difference]]:
    """The seeds that ``--until-width`` takes of these, and the differences then."""
    for seeds in range(first, len(scores[0]) + 1):
        found = differences(scores, seeds)
        if all(each.width is not None and each.width <= width for each in found):
            break
    return seeds, found


def fixed(draw: np.random.Generator, trials: int) -> None:
    """The table of trials whose seeds are said before."""
    print("| seeds | comparisons | false positives | detectable (points) | found |")
    print("| ---: | ---: | ---: | ---: | ---: |")

    def share(seeds: int, comparisons: int, effect: float, only: slice) -> float:
        made = (simulated(draw, seeds, comparisons, effect) for _ in range(trials))
        return sum(any(verdicts(differences(each, seeds))[only]) for each in made) / trials

    for seeds in (2, 3, 5, 10):
        for comparisons in (1, 4, 8):
            line = f"| {seeds} | {comparisons} | {share(seeds, comparisons, 0.0, slice(None)):.1%} "
            effect = detectable(seeds, comparisons)
            if effect is None:
                print(line + "| none | - |")
                continue
            points = effect * SD * math.sqrt(2 * (1 - CORRELATION))
            print(line + f"| {points:.2f} | {share(seeds, comparisons, points, slice(1)):.1%} |")


def growing(draw: np.random.Generator, trials: int) -> None:
    """The table of trials that add seeds until all intervals are narrow, 20 at most."""
    print("| first seeds | comparisons | until width | seeds (mean) | false positives | outside |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for first in (3, 5):
        for comparisons in (1, 4):
            for width in (1.0, 0.5):
                ends = [
                    until(simulated(draw, 20, comparisons, 0.0), first, width)
                    for _ in range(trials)
                ]
                mean = sum(seeds for seeds, _ in ends) / trials
                false = sum(any(verdicts(found)) for _, found in ends) / trials
                missed = sum(
                    each.low > 0 or each.high < 0
                    for _, found in ends
                    for each in found
                    if each.low is not None and each.high is not None
                )
                print(
                    f"| {first} | {comparisons} | {width} | {mean:.1f} | {false:.1%} "
                    f"| {missed / trials / comparisons:.1%} |"
                )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    draw = np.random.default_rng(0)
    fixed(draw, trials)
    print()
    growing(draw, trials)


if __name__ == "__main__":
    main()
