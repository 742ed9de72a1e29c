"""What runs a deployed network: one file each, in a registry that a user can add to."""

from . import aot, cuda_graphs, exported, inductor, packed, tensorrt
from .base import BACKENDS, Backend, FromFiles, Run, cannot_be_saved, through_files

__all__ = [
    "BACKENDS",
    "Backend",
    "FromFiles",
    "Run",
    "aot",
    "cannot_be_saved",
    "cuda_graphs",
    "exported",
    "inductor",
    "packed",
    "tensorrt",
    "through_files",
]
