"""How fast networks run on this machine, side by side with their peers.

It times what ``deploy``, ``export`` and ``quantize`` make, in interleaved rounds, and may use all
below ``training``. Begin with ``measure.py``; ``timing.py`` is one run, ``ways.py`` what can be
run.
"""

from .measure import Row, measure
from .ways import PEERS, known_ways, peer_network

__all__ = ["PEERS", "Row", "known_ways", "measure", "peer_network"]
