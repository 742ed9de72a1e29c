"""See what a network does: its gates, its class activation maps, its receptive fields.

It watches a network through hooks, and may use all below ``training``. Begin with ``capture.py``.
"""

from .attach import Attachment, AttachReport, attach_attention
from .capture import AttentionRecord, capture_attention, gates
from .receptive import ReceptiveField, effective_receptive_field, receptive_field

__all__ = [
    "AttachReport",
    "Attachment",
    "AttentionRecord",
    "ReceptiveField",
    "attach_attention",
    "capture_attention",
    "effective_receptive_field",
    "gates",
    "receptive_field",
]
