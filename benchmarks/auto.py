"""Whether ``backend="auto"`` takes the fastest: its choices, beside each back end by itself.

    OMP_NUM_THREADS=2 python benchmarks/auto.py resnet50 seresnet50 --batch 1 4

Every back end that ``auto`` tries is timed by the clock in processes of its own, in turns, over
calls in a row; so is what ``auto`` chooses, in processes that ask it anew. What a choice costs is
the time of the back end chosen over that of the fastest, both by themselves.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from tqdm import tqdm

from resnet_variants import create_model
from resnet_variants.deploy import BACKENDS, optimize_for_inference

CALLS = 20
"""timed in each process, behind as many that are not"""


def ask(name: str, batch: int, backend: str) -> tuple[str, float]:
    """The back end that was taken, and the median seconds of a call."""
    network = create_model(name).eval()
    images = torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    fast = optimize_for_inference(network, images, backend)
    times = []
    for _ in range(2 * CALLS):
        start = time.perf_counter()
        fast(images)
        times.append(time.perf_counter() - start)
    return fast.report.backend, statistics.median(times[CALLS:])


def main() -> None:
    """Print a line for each network and batch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--batch", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    able = [each for each in BACKENDS if BACKENDS[each].automatic and BACKENDS[each].installed()]
    ways = [name for name in able if "cpu" in BACKENDS[name].devices]
    print(f"| network | batch | {' | '.join(f'{way}, ms' for way in ways)} | chosen | costs |")
    print("| --- " * (len(ways) + 4) + "|")
    # a process for each task: what one has loaded must not help or hinder the next
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        for name, batch in itertools.product(options.names, options.batch):
            times, chosen = defaultdict(list), []
            for _ in tqdm(range(options.rounds), desc=f"{name}, {batch}", leave=False):
                for way in ways:
                    times[way].append(pool.submit(ask, name, batch, way).result()[1])
                chosen.append(pool.submit(ask, name, batch, "auto").result()[0])
            alone = {way: statistics.median(each) for way, each in times.items()}
            costs = [alone[way] / min(alone.values()) for way in chosen]
            cells = [f"{1e3 * alone[way]:.1f}" for way in ways]
            cells += [", ".join(chosen), ", ".join(f"{cost:.2f}" for cost in costs)]
            print(f"| {name} | {batch} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
