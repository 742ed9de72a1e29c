"""Networks from parts. A builder knows the papers, never a checkpoint or a file."""

from typing import Any

from ..config import BUILDERS, NetworkConfig, config_from_dict, register_builder
from ..network import Network
from .resnet import ResNetConfig, build_resnet

__all__ = [
    "NetworkConfig",
    "ResNetConfig",
    "build",
    "build_resnet",
    "config_from_dict",
    "register_builder",
]


def build(config: NetworkConfig) -> Any:
    """The network that a configuration of any family describes."""
    if not isinstance(config, NetworkConfig):
        raise TypeError(f"Expected a NetworkConfig, not {type(config).__name__}: {config!r}.")
    make = BUILDERS[config.builder][1]
    network = make(config)
    assert isinstance(network, Network)
    return network
