"""One call from a network to a fast one: folded, packed, in the layout that measures best.

It rewrites a built network, and may use ``blocks``, ``network`` and ``export``, no names. Begin
with ``optimize.py``.
"""

from .backends import BACKENDS, Backend
from .memory import keep_freed_memory
from .optimize import PRECISIONS, Deployed, DeployReport, optimize_for_inference
from .pack import pack

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "Backend",
    "DeployReport",
    "Deployed",
    "keep_freed_memory",
    "optimize_for_inference",
    "pack",
]
