"""Networks from parts. A builder knows the papers, never a checkpoint or a file."""

from typing import Any

from ..config import BUILDERS, NetworkConfig, config_from_dict, register_builder
from ..network import Network
from .inception import (
    BNInceptionConfig,
    InceptionResNetConfig,
    build_bn_inception,
    build_inception_resnet_v2,
)
from .ran import RANConfig, build_ran
from .regnet import (
    AnyNetConfig,
    RegNetConfig,
    build_anynet,
    build_regnet,
    fit_groups,
    linear_width,
    quantised_width,
    regnet_widths,
)
from .resnet import ResNetConfig, build_resnet
from .shufflenet import (
    ShuffleNetV1Config,
    ShuffleNetV2Config,
    build_shufflenet_v1,
    build_shufflenet_v2,
)

__all__ = [
    "AnyNetConfig",
    "BNInceptionConfig",
    "InceptionResNetConfig",
    "NetworkConfig",
    "RANConfig",
    "RegNetConfig",
    "ResNetConfig",
    "ShuffleNetV1Config",
    "ShuffleNetV2Config",
    "build",
    "build_anynet",
    "build_bn_inception",
    "build_inception_resnet_v2",
    "build_ran",
    "build_regnet",
    "build_resnet",
    "build_shufflenet_v1",
    "build_shufflenet_v2",
    "config_from_dict",
    "fit_groups",
    "linear_width",
    "quantised_width",
    "register_builder",
    "regnet_widths",
]


def build(config: NetworkConfig) -> Any:
    """The network that a configuration of any family describes."""
    if not isinstance(config, NetworkConfig):
        raise TypeError(f"Expected a NetworkConfig, not {type(config).__name__}: {config!r}.")
    make = BUILDERS[config.builder][1]
    network = make(config)
    assert isinstance(network, Network)
    return network
