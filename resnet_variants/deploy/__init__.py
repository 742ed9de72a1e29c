"""One call from a network to a fast one: folded, packed, in the layout that measures best.

It rewrites a built network, and may use ``export``, ``quantize`` and ``checkpoints``, no
``factory``. Begin with ``optimize.py``.
"""

from .backends import BACKENDS, Backend, through_files
from .deployed import Deployed, load_deployed
from .devices import PRECISIONS, float32_as
from .memory import keep_freed_memory
from .optimize import optimize_for_inference
from .pack import pack
from .report import DeployReport

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "Backend",
    "DeployReport",
    "Deployed",
    "float32_as",
    "keep_freed_memory",
    "load_deployed",
    "optimize_for_inference",
    "pack",
    "through_files",
]
