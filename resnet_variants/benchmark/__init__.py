"""How fast networks run on this machine, side by side with their peers."""

from .measure import Row, measure
from .ways import PEERS, known_ways, peer_network

__all__ = ["PEERS", "Row", "known_ways", "measure", "peer_network"]
