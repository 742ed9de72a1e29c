"""The runs of a trial in one process: one after another, or several that take turns."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..storage import make_folder, write_json
from ..training.callbacks import Callback
from ..training.data import Data, load_data
from ..training.engine import from_main
from ..training.loop import RunBusy, own_random_state, training
from ..training.recipe import Recipe
from ..training.rundir import FAILED
from .trial import Variant

RunCallbacks = Callable[[str, int, Path], Sequence[Callback]]
"""gives the callbacks of a run, by the name of its row, its seed and its folder"""

_LOG = logging.getLogger(__name__)


class TrialImages:
    """The images of each recipe, loaded once: seeds share what is decoded."""

    def __init__(self, sets: Mapping[str, Any]) -> None:
        self.sets = sets
        self.loaded: dict[str, Data] = {}

    def of(self, recipe: Recipe) -> Data:
        """The images of a recipe, in the order and augmentation of its seed."""
        key = json.dumps((recipe if recipe.label_noise else recipe.replace(seed=0)).to_dict())
        if key not in self.loaded:
            self.loaded[key] = load_data(recipe, **self.sets)
        return self.loaded[key].for_seed(recipe.seed)


class _Run:
    """A network with a seed, on a stream of its own where it is not alone on a GPU."""

    def __init__(self, variant: Variant, seed: int, folder: Path) -> None:
        self.variant, self.seed = variant, seed
        self.recipe = variant.recipe.replace(seed=seed)
        self.path = folder / variant.folder(seed)
        self.steps: Generator[None, None, Any] | None = None
        self.stream: Any = None

    def step(self) -> bool:
        """Do a step; whether the run goes on."""
        assert self.steps is not None
        with contextlib.nullcontext() if self.stream is None else torch.cuda.stream(self.stream):
            return next(self.steps, self) is not self

    def fails(self, error: Exception, images: TrialImages) -> None:
        """Write down why, and which row of a report it belongs to."""
        said: dict[str, Any] = {"label": self.variant.label, "seed": self.seed}
        said |= {"why": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        said |= {"recipe": self.recipe.to_dict(), "data": images.of(self.recipe).digests}
        with contextlib.suppress(OSError):  # a file that is gone is known by its name
            said["start"] = self.variant.start and self.variant.start.digest
        make_folder(self.path)
        write_json(self.path / FAILED, said)
        gc.collect()  # what the failed run held
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def train_all(
    waiting: list[tuple[Variant, int]],
    folder: Path,
    lengths: Mapping[str, float],
    images: TrialImages,
    bar: tqdm[Any],
    progress: bool,
    accelerator: Any,
    at_once: int,
    callbacks: RunCallbacks | None = None,
) -> None:
    """Do all the runs, ``at_once`` in turns, step by step; one that fails is written down, and
    the others go on. Speeds of runs that take turns are those of each beside the others.

    Those that take turns have the same recipe: settings of torch and accelerate are a process's.
    """
    runs = [_Run(variant, seed, folder) for variant, seed in waiting]
    failed_before = from_main([(run.path / FAILED).exists() for run in runs])
    order = sorted(range(len(runs)), key=lambda i: failed_before[i])
    left = deque(runs[i] for i in order)  # what failed the last time comes last
    active: list[_Run] = []
    with own_random_state():
        while left:
            busy: deque[_Run] = deque()
            while left or active:
                while left and len(active) < _places(at_once, accelerator, left[0], active):
                    run = left.popleft()
                    if at_once > 1 and accelerator.device.type == "cuda":
                        torch.cuda.synchronize()  # what others decoded is there
                        run.stream = torch.cuda.Stream()
                    run.steps = training(
                        run.variant.config, run.recipe, run.path, images.of,
                        label=run.variant.label, length=lengths[run.variant.name],
                        progress=progress,
                        callbacks=callbacks(run.variant.name, run.seed, run.path)
                        if callbacks else (),
                    )  # fmt: skip
                    active.append(run)
                for run in list(active):
                    try:
                        if run.step():
                            continue
                        bar.update()
                    except RunBusy:
                        busy.append(run)
                    except OSError:
                        raise  # the disk's fault, which all runs would meet
                    except Exception as error:
                        run.fails(error, images)
                        if accelerator.num_processes > 1:
                            raise  # the other processes wait for this one's part of a step
                        bar.update()
                    active.remove(run)
                    run.steps = None
            if busy:
                time.sleep(2)
            left = busy


def _places(at_once: int, accelerator: Any, run: _Run, active: list[_Run]) -> int:
    """How many runs may take turns, were ``run`` the next."""
    if not active:
        return 1
    config = run.variant.config
    rates = [run.recipe.drop_rate, run.recipe.drop_path_rate]
    rates += [getattr(config, "drop_rate", 0), getattr(config, "drop_path_rate", 0)]
    if accelerator.num_processes > 1 or run.variant.recipe != active[0].variant.recipe:
        return 0
    if run.recipe.capture and accelerator.device.type == "cuda" and any(rates):
        _LOG.info("%s runs alone: graphs share the generator of dropout", run.variant.name)
        return 0
    return at_once
