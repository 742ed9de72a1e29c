"""Comparison: a fair trial of networks, under one recipe, over several seeds."""

from .report import Report
from .trial import Trial, run_trial
from .writing import save_report

__all__ = ["Report", "Trial", "run_trial", "save_report"]
