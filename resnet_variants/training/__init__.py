"""Training: one typed recipe, one loop, on one process or many; nothing that was done is lost.

It takes names or configurations to a run's folder, and may use all but ``comparison`` and the
commands. Begin with ``recipe.py``, what a run is, then ``loop.py``, a run from beginning to end,
and ``trainer.py``, its steps.
"""

from .augmentations import register_augmentation
from .callbacks import Callback, Track, register_tracker
from .data import load_data
from .loop import train
from .optimizers import register_optimizer
from .presets import PRESETS
from .recipe import Recipe
from .result import Result
from .sources import register_data

__all__ = [
    "PRESETS",
    "Callback",
    "Recipe",
    "Result",
    "Track",
    "load_data",
    "register_augmentation",
    "register_data",
    "register_optimizer",
    "register_tracker",
    "train",
]
