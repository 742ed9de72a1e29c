"""What runs a deployed network: one file each, in a registry that a user can add to."""

from . import exported, inductor, packed
from .base import BACKENDS, Backend, Run

__all__ = ["BACKENDS", "Backend", "Run", "exported", "inductor", "packed"]
