"""The cases of the checkpoint fuzzer: files, tensors and dictionaries that are not as they should
be, each with what may come of it."""

# each registers its kinds, in this order, which the seeds draw by
from . import containers, pickled, tensors, wrapped
from .kinds import make
from .pickled import CODE

__all__ = ["CODE", "containers", "make", "pickled", "tensors", "wrapped"]
