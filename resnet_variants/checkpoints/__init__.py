"""The checkpoint bridge: everyone's weights in, and out again.

It knows names, files and published weights, and may use ``registry`` and all below, never
``factory``. Begin with ``loading.py``; ``dialects`` translates names, ``files.py`` reads.
"""

from __future__ import annotations

from .catalogue import Weights, list_weights, weights_info
from .dialects import DIALECTS
from .errors import CheckpointError, MismatchError
from .files import read_checkpoint, write_checkpoint
from .loading import export_state_dict, load_checkpoint
from .models import create_with_weights, load, save
from .report import LoadReport

__all__ = [
    "DIALECTS",
    "CheckpointError",
    "LoadReport",
    "MismatchError",
    "Weights",
    "create_with_weights",
    "export_state_dict",
    "list_weights",
    "load",
    "load_checkpoint",
    "read_checkpoint",
    "save",
    "weights_info",
    "write_checkpoint",
]
