"""One call from a network to a fast one: folded, packed, in the layout that measures best.

It rewrites a built network, and may use ``export``, ``quantize`` and ``checkpoints``, no
``factory``. To read it, in this order:

1. What is called. ``optimize``: the candidates, how far each is off, the race between them, the
   report. Beside it ``race`` (the fastest by the clock), ``report``, ``devices`` (which precision
   which device has), ``memory``, and ``deployed`` (the result, and the file that keeps it).
2. What runs it. ``backends``: ``base`` says what a back end is; then a file each, of which
   ``packed`` is the shortest.
3. The network rewritten, once for all of them. ``pack`` goes over the modules:
   ``network.folding`` (normalisation into convolutions, summed branches as one), ``branches``
   (those side by side), ``units`` (additions and gates into the last convolution, shuffles into
   weights).
4. What a convolution becomes: on a CPU a form of ``cpu``; on an NVIDIA GPU ``gpu`` chooses among
   those of ``forms``, with a gate of its input from ``gated``. What stands between convolutions
   is stated in ``passes``, and is a Triton kernel of ``kernels`` there. ``captured`` records the
   whole as a CUDA graph for each shape.
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
