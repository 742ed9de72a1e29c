"""The names: tables of configurations, only numbers and words.

Numbers and words alone, no code of a model; it may use the configurations of ``builders``. Begin
with ``resnet.py``.
"""

from . import attention, cifar, conv_parts, gates, inception, ran, regnet, resnet, shufflenet
from .entry import Entry, with_cifar100

ENTRIES: list[Entry] = with_cifar100(
    [
        *resnet.ENTRIES,
        *attention.ENTRIES,
        *gates.ENTRIES,
        *conv_parts.ENTRIES,
        *regnet.ENTRIES,
        *shufflenet.ENTRIES,
        *ran.ENTRIES,
        *inception.ENTRIES,
        *cifar.ENTRIES,
    ]
)
