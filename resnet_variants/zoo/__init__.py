"""The names: tables of configurations, only numbers and words."""

from . import attention, cifar, resnet
from .entry import Entry, with_cifar100

ENTRIES: list[Entry] = with_cifar100(
    [
        *resnet.ENTRIES,
        *attention.ENTRIES,
        *cifar.ENTRIES,
    ]
)
