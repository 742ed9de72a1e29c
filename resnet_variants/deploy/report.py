"""What a deployed network says of itself."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ..fields import check_fields


@dataclass(frozen=True)
class DeployReport:
    """What was chosen, how exact it is, and what it gains where it was prepared."""

    backend: str
    precision: str
    layout: str
    max_difference: float
    """greatest difference from the network's own outputs, relative to their greatest value"""
    speedup: float
    """wall time of the eager network over this one's: median over rounds"""
    cpu_speedup: float
    """the same of process CPU time, all threads together"""
    tried: dict[str, float]
    """``speedup`` of all that was measured, by back end, precision and layout"""
    refused: dict[str, float]
    """the differences of what was too far off to be measured"""
    emulated: bool
    """whether this machine has no instructions for the precision, which is slow then"""
    keeps_memory: bool
    """whether the process was set to keep freed memory"""
    weights_mib: float | None
    """its weights: tensors, or files; None where the back end does not show them"""
    memory_mib: float | None
    """with the most that the first call on the example added; None where neither is known"""

    def __str__(self) -> str:
        return (
            f"{self.backend} ({self.precision}, {self.layout}): {self.speedup:.2f} times as fast "
            f"as eager float32 here, outputs within {self.max_difference:.1e}"
            + ("" if self.memory_mib is None else f", {self.memory_mib:.0f} MiB")
            + (f", {self.precision} emulated: slow on this machine" if self.emulated else "")
            + (", freed memory kept in the process" if self.keeps_memory else "")
        )

    def to_dict(self) -> dict[str, Any]:
        """All fields, as JSON values."""
        return dataclasses.asdict(self)


def report_from_dict(values: dict[str, Any]) -> DeployReport:
    """The report that ``to_dict`` wrote. Raises ValueError or TypeError for other fields."""
    report = DeployReport(**values)
    check_fields(report)
    return report
