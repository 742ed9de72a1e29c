"""What each gate adds to the time of ResNet-50: docs/gates_latency.json, which docs/gates.md shows.

    OMP_NUM_THREADS=1 python benchmarks/gates.py [--rounds 7] [--gates se eca]

One image of 224, float32, CPU. For each gate five networks in turns, in a random order each round:
plain and gated, as built and as ``optimize_for_inference(backend="torch")`` makes them, which fuses
the gate with the shortcut's addition where it can; and the gated one deployed the same but for that
fusion (``apart``). Process CPU time; medians over the rounds of the difference and the ratio of the
same round.
"""

from __future__ import annotations

import json
import platform
import random
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import tyro
from torch import Tensor
from tqdm import tqdm

from resnet_variants import create_model, optimize_for_inference
from resnet_variants.benchmark.timing import Times, median, ratio, timed
from resnet_variants.blocks.gates import ATTENTION
from resnet_variants.deploy.units import FusedUnit

OUT = Path(__file__).parents[1] / "docs" / "gates_latency.json"
Run = Callable[[], Any]


PLAIN = {"eager": "eager", "deployed": "deployed", "apart": "deployed"}
"""the form of the network without gate that a form of the gated one is compared with"""


def forms(attention: str | None, image: Tensor) -> dict[str, Run]:
    """A network as built, as deployed and, with a gate, deployed without fusing it."""
    model = create_model("resnet50", attention=attention).eval()

    def deploy() -> Run:
        made = optimize_for_inference(model, image, backend="torch", precision="float32", rounds=1)
        return lambda: made(image)

    made = {"eager": lambda: model(image), "deployed": deploy()}
    if attention is not None:
        fuses = FusedUnit.takes
        with patch.object(FusedUnit, "takes", lambda unit: fuses(unit) and _gate(unit) is None):
            made["apart"] = deploy()
    return made


def _gate(unit: torch.nn.Module) -> torch.nn.Module | None:
    return getattr(unit, "attention", None)


def added(plain: dict[str, Run], gated: dict[str, Run], rounds: int) -> dict[str, Any]:
    """Milliseconds and shares that the gate adds to each form."""
    runs = {(form, i): each[form] for i, each in enumerate((plain, gated)) for form in each}
    times: dict[tuple[str, int], Times] = {key: [] for key in runs}
    order = random.Random(0)
    with torch.inference_mode():
        for turn in range(rounds + 1):  # the first warms up
            for key in order.sample(list(runs), len(runs)):
                spent = timed(runs[key])
                if turn:
                    times[key].append(spent)
    found = {}
    for form in gated:
        before, after = times[PLAIN[form], 0], times[form, 1]
        more = [1e3 * (b[0] - a[0]) for a, b in zip(before, after, strict=True)]
        low, _, high = statistics.quantiles(more, n=4)
        found[form] = {
            "plain_ms": median(before) * 1e3,
            "added_ms": statistics.median(more),
            "quartiles_ms": [low, high],
            "ratio": ratio(after, before),
        }
    return found


def processor() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main(gates: tuple[str, ...] = (), rounds: int = 7, out: Path = OUT) -> None:
    """Measure all gates, or some."""
    torch.manual_seed(0)
    image = torch.randn(1, 3, 224, 224)
    plain = forms(None, image)
    found = {}
    for gate in tqdm(gates or list(ATTENTION)):
        found[gate] = added(plain, forms(gate, image), rounds)
    machine = {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "rounds": rounds,
    }
    out.write_text(json.dumps({"machine": machine, "gates": found}, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
