"""The C library's allocator: giving freed memory back, and getting it again, has a price."""

from __future__ import annotations

import ctypes
import ctypes.util
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Let this process keep large freed blocks instead of returning them to the system.

    At batch sizes over 1 much of a CPU's time goes into fresh pages for each activation. The
    setting is that of the whole process and lasts as long as it; peak memory stays about the
    same, memory at rest does not shrink. Raises OSError where the C library is not glibc.
    """
    name = ctypes.util.find_library("c")
    mallopt = getattr(ctypes.CDLL(name), "mallopt", None) if name else None
    if mallopt is None or not sys.platform.startswith("linux"):
        raise OSError(
            "keep_memory=True sets glibc's mallopt, and this process runs on another C library: "
            "leave it out."
        )
    if not (mallopt(_M_MMAP_THRESHOLD, 1 << 30) and mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)):
        raise OSError("glibc refused to change the allocator's thresholds.")
