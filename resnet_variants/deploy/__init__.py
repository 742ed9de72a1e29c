"""One call from a network to a fast one: folded, packed, in the layout that measures best."""

from .memory import keep_freed_memory
from .optimize import BACKENDS, Deployed, DeployReport, optimize_for_inference
from .pack import pack

__all__ = [
    "BACKENDS",
    "DeployReport",
    "Deployed",
    "keep_freed_memory",
    "optimize_for_inference",
    "pack",
]
