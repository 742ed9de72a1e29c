"""What can be wrong with a checkpoint, an exception each."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A checkpoint cannot be used. The network that it was meant for is as it was."""


class BrokenFileError(CheckpointError):
    """The file is no checkpoint: empty, cut off, a web page, or of an unknown format."""


class UnsafeFileError(CheckpointError):
    """The file would run code when it is read."""


class BadTensorError(CheckpointError):
    """A tensor cannot be weights: integers, not a number, quantised, complex."""


class MismatchError(CheckpointError):
    """The tensors are not those of the network."""


class UnknownDialectError(CheckpointError):
    """No dialect, or not the one asked for, can express the network."""


class HashError(CheckpointError):
    """A file's content is not what was published."""


class WeightsUnavailableError(CheckpointError, OSError):
    """Published weights are neither in the cache nor can they be downloaded."""
