"""BN-Inception and Inception-ResNet-v2, plain and with squeeze-and-excitation."""

from ..builders.inception import BNInceptionConfig, InceptionResNetConfig
from .attention import HU
from .entry import CIFAR, table

IOFFE = "Ioffe and Szegedy, Batch Normalization, ICML 2015"
SZEGEDY = "Szegedy et al., Inception-v4, Inception-ResNet, AAAI 2017"

BN = BNInceptionConfig()
BN_SE = BN.replace(attention="se")
RESNET = InceptionResNetConfig(norm_args={"eps": 1e-3})
# The authors of SE published no definition: here the gate ends each residual branch.
RESNET_SE = RESNET.replace(attention="se")
SMALL = {"inception_resnet_v2_cifar": CIFAR | {"layers": (2, 4, 1)}}

ENTRIES = [
    *table("BN-Inception", IOFFE, BN, {"bn_inception": {}, "bn_inception_cifar": CIFAR}),
    *table("SE-Inception", HU, BN_SE, {"se_bn_inception": {}, "se_bn_inception_cifar": CIFAR}),
    *table("Inception-ResNet", SZEGEDY, RESNET, {"inception_resnet_v2": {}}, input_size=299),
    *table("Inception-ResNet", SZEGEDY, RESNET, SMALL),
    *table("SE-Inception", HU, RESNET_SE, {"se_inception_resnet_v2": {}}, input_size=299),
]
