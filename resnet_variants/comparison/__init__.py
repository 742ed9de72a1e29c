"""Comparison: a fair trial of networks, under one recipe, over several seeds.

It concludes from what ``training`` wrote, and may use all but the commands. Begin with
``trial.py``, what is compared; ``running.py`` trains it, ``report.py`` is data, ``writing.py`` its
forms.
"""

from .report import Report
from .running import run_trial
from .trial import Trial
from .writing import save_report

__all__ = ["Report", "Trial", "run_trial", "save_report"]
