"""Comparison: a fair trial of networks, under one recipe, over several seeds.

It concludes from what ``training`` wrote, and may use all but the commands. Begin with
``trial.py``, what is compared; ``control.py`` makes the networks of equal cost, ``running.py``
trains, ``report.py`` is data, ``writing.py`` its forms.
"""

from .control import Control, equal_cost
from .report import Report
from .running import run_trial
from .trial import Trial
from .writing import save_report

__all__ = ["Control", "Report", "Trial", "equal_cost", "run_trial", "save_report"]
