"""What else happens while a network trains: a person's own functions, and trackers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..choices import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn, optim

    from .recipe import Recipe
    from .result import Result


class Tracker(Protocol):
    """What a training's numbers are sent to, in accelerate's words."""

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """The recipe, as numbers and texts."""

    def log(self, values: dict[str, Any], step: int) -> None:
        """Numbers by name, after so many steps of the optimiser."""

    def finish(self) -> None:
        """Nothing more will come."""


MakeTracker = Callable[[str, str], Tracker]
TRACKERS: Registry[MakeTracker] = Registry("track")


def register_tracker(name: str) -> Callable[[MakeTracker], MakeTracker]:
    """Decorate what makes a tracker of a run's name and folder; ``track`` asks for it."""
    return TRACKERS.register(name)


def _of_accelerate(name: str) -> MakeTracker:
    def make(run: str, folder: str) -> Tracker:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        of_kind = LOGGER_TYPE_TO_CLASS[name]
        where = {"logging_dir": folder} if of_kind.requires_logging_directory else {}
        tracker: Any = of_kind(run, **where)
        if hasattr(tracker, "start"):
            tracker.start()
        return cast(Tracker, tracker)

    return make


def _check_installed(name: str) -> None:
    from accelerate.tracking import get_available_trackers

    if name not in map(str, get_available_trackers()):
        raise ValueError(f"track={name!r} needs the package {name} installed.")


_OF_ACCELERATE = ("tensorboard", "trackio", "wandb", "mlflow")
for _name in _OF_ACCELERATE:
    TRACKERS.register(_name, _of_accelerate(_name))


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
    """Sends each epoch to trackers, from the main process.

    ``names`` are registered: ``tensorboard``, ``trackio``, ``wandb`` and ``mlflow``, each of which
    must be installed, and one's own; ``folder`` is where those that write files do. Raises
    ValueError for others, and where a package is missing.
    """

    def __init__(self, names: Sequence[str], folder: str | Path, run: str) -> None:
        self.makers = [TRACKERS[name] for name in names]
        self.folder, self.run = str(folder), run
        for name in {*names}.intersection(_OF_ACCELERATE):
            _check_installed(name)
        self._open: list[Tracker] | None = None

    def _trackers(self, trainer: Training) -> list[Tracker]:
        if self._open is None:
            main = trainer.accelerator.is_main_process
            self._open = [make(self.run, self.folder) for make in self.makers if main]
            values = {name: _plain(value) for name, value in trainer.recipe.to_dict().items()}
            for tracker in self._open:
                tracker.store_init_configuration(values)
        return self._open

    def on_epoch(self, trainer: Training, line: dict[str, Any]) -> None:
        """Send the line's numbers."""
        values = {k: v for k, v in line.items() if v is not None and k != "step"}
        for tracker in self._trackers(trainer):
            tracker.log(values, step=line["step"])

    def on_end(self, trainer: Training, result: Result) -> None:
        """Send the accuracy and close."""
        for tracker in self._trackers(trainer):
            tracker.log({"final_top1": result.top1}, step=trainer.step)
            tracker.finish()


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) else str(value)
