"""What every network is, whatever its family: stem, stages, head and the contract of a model.

It knows parts and configurations, not builders, and may use ``blocks`` and ``config``. Begin with
``skeleton.py``; ``features.py`` is what levels there are, ``inputs.py`` which images are refused.
"""

from .features import FeatureInfo, FeatureLevel, StageInfo
from .skeleton import Network, initialise, network_of

__all__ = ["FeatureInfo", "FeatureLevel", "Network", "StageInfo", "initialise", "network_of"]
