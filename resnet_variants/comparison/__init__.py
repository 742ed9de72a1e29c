"""Comparison: a fair trial of networks, under one recipe, over several seeds."""

from .report import Report
from .trial import Trial, run_trial

__all__ = ["Report", "Trial", "run_trial"]
