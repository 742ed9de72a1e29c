"""Networks as files for other runtimes, checked against the network that they came from.

It takes any network, and may use ``network`` and ``choices``. Begin with ``write.py``;
``formats.py`` is the table of formats.
"""

from .check import Difference, check
from .formats import FORMATS, Format, Run, export_program
from .write import Export, export_model

__all__ = [
    "FORMATS",
    "Difference",
    "Export",
    "Format",
    "Run",
    "check",
    "export_model",
    "export_program",
]
