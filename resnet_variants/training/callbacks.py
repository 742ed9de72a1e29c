"""What else happens while a network trains: a person's own functions, and trackers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..choices import check_choice

if TYPE_CHECKING:
    from torch import Tensor, nn, optim

    from .recipe import Recipe
    from .result import Result

TRACKERS = ("tensorboard", "trackio", "wandb", "mlflow")


class Training(Protocol):
    """What a callback sees of a training."""

    network: nn.Module
    optimizer: optim.Optimizer
    recipe: Recipe
    accelerator: Any
    step: int
    """steps taken"""
    total_steps: int
    history: list[dict[str, Any]]
    """the lines of log.csv"""
    loss: Tensor
    """the sum of the epoch's losses in this process, on the device"""


class Callback:
    """Called while a network trains, in every process; each method may be left out.

    What a callback changes in the training is not part of the run's identity.
    """

    def on_step(self, trainer: Training) -> None:
        """After a step of the optimiser; ``trainer.loss`` sums the epoch's losses on the device."""

    def on_epoch(self, trainer: Training, line: dict[str, Any]) -> None:
        """After an epoch and its test: ``line`` is that of log.csv."""

    def on_end(self, trainer: Training, result: Result) -> None:
        """When the run is finished."""


class Track(Callback):
    """Sends each epoch to trackers, through accelerate, from the main process.

    ``names`` are of ``tensorboard``, ``trackio``, ``wandb`` and ``mlflow``, each of which must be
    installed; ``folder`` is where those that write files do. Raises ValueError for others.
    """

    def __init__(self, names: Sequence[str], folder: str | Path, run: str) -> None:
        for name in names:
            check_choice("track", name, TRACKERS)
        self.names, self.folder, self.run = tuple(names), str(folder), run
        self._open: list[Any] | None = None

    def _trackers(self, trainer: Training) -> list[Any]:
        if self._open is None:
            from accelerate.tracking import LOGGER_TYPE_TO_CLASS, filter_trackers

            self._open = []
            if trainer.accelerator.is_main_process:
                for kind in filter_trackers(list(self.names), self.folder):
                    make = LOGGER_TYPE_TO_CLASS[str(kind)]
                    where = {"logging_dir": self.folder} if make.requires_logging_directory else {}
                    tracker = make(self.run, **where)
                    if hasattr(tracker, "start"):
                        tracker.start()
                    plain = trainer.recipe.to_dict().items()
                    tracker.store_init_configuration({k: _plain(v) for k, v in plain})
                    self._open.append(tracker)
                if len(self._open) < len(self.names):
                    raise ValueError(f"Not all of {', '.join(self.names)} are installed.")
        return self._open

    def on_epoch(self, trainer: Training, line: dict[str, Any]) -> None:
        """Send the line's numbers."""
        values = {name: value for name, value in line.items() if value is not None}
        for tracker in self._trackers(trainer):
            tracker.log(values, step=line["step"])

    def on_end(self, trainer: Training, result: Result) -> None:
        """Send the accuracy and close."""
        for tracker in self._trackers(trainer):
            tracker.log({"final_top1": result.top1}, step=trainer.step)
            tracker.finish()


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) else str(value)
