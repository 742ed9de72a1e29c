"""Memory: what a network takes, and the C library's allocator, which asks a price for fresh one."""

from __future__ import annotations

import ctypes
import ctypes.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

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


def weight_bytes(run: Any) -> int | None:
    """Bytes of a prepared network: of all its tensors, or of its files; None of anything else."""
    if not isinstance(run, nn.Module):
        return getattr(run, "nbytes", None)
    tensors = {
        id(value): value
        for module in run.modules()
        for place in (vars(module), module._parameters, module._buffers)
        for value in place.values()
        if isinstance(value, Tensor)
    }
    return sum(each.numel() * each.element_size() for each in tensors.values())


def most_added(call: Callable[[], Any], device: torch.device) -> tuple[Any, int | None]:
    """What a call gives, and the most bytes that it added meanwhile: to the memory of a GPU, else
    to the process; None where the system does not tell. Memory that the process freed before is
    handed back first, so it counts."""
    if device.type == "cuda":
        held = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        found = call()
        return found, torch.cuda.max_memory_allocated(device) - held
    try:
        if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
            trim(0)
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten
    except (OSError, TypeError):  # not Linux, or not allowed
        before = None
    found = call()
    most = resident("VmHWM")
    return found, None if before is None or most is None else max(most - before, 0)


def resident(what: str) -> int | None:
    """Bytes of memory that this process has (``VmRSS``) or had at most (``VmHWM``); None where
    the system does not tell."""
    status = Path("/proc/self/status")
    found = re.search(rf"{what}:\s*(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else None
