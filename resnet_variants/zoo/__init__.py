"""The names: tables of configurations, only numbers and words.

Numbers and words alone, no code of a model; it may use the configurations of ``builders``. Begin
with ``resnet.py``.
"""

from . import attention, cifar, conv_parts, gates, inception, ran, regnet, resnet, shufflenet
from .entry import Entry, with_cifar100

_TABLES = (resnet, attention, gates, conv_parts, regnet, shufflenet, ran, inception, cifar)

ENTRIES: list[Entry] = with_cifar100(entry for table in _TABLES for entry in table.ENTRIES)
