"""ResNets with the collection of gates: the networks that their papers name."""

from .entry import table
from .resnet import D50, B, depths

WOO = "Woo et al., CBAM: Convolutional Block Attention Module, ECCV 2018"
PARK = "Park et al., BAM: Bottleneck Attention Module, BMVC 2018"
QIN = "Qin et al., FcaNet: Frequency Channel Attention Networks, ICCV 2021"
CAO = "Cao et al., GCNet: Non-local Networks Meet Squeeze-Excitation, ICCVW 2019"
MISRA = "Misra et al., Rotate to Attend: Convolutional Triplet Attention, WACV 2021"
YANG = "Yang et al., SimAM: A Simple, Parameter-Free Attention Module, ICML 2021"
LI = "Li, Hu and Yang, Spatial Group-wise Enhance, 2019"
ZHANG = "Zhang and Yang, SA-Net: Shuffle Attention, ICASSP 2021"
LEE = "Lee et al., SRM: A Style-based Recalibration Module, ICCV 2019"
HU = "Hu et al., Gather-Excite, NeurIPS 2018"
GATED = "Yang et al., Gated Channel Transformation, CVPR 2020"

FAMILY = "Gates"
# The side of the map whose frequencies are meant, as in the authors' released networks
SIDES = tuple({"size": size} for size in (56, 28, 14, 7))

BAM = B.replace(attention="bam", attention_at="between")
FCA = B.replace(attention="fca", attention_args=SIDES)
SIMAM = B.replace(attention="simam", attention_args={"eps": 0.1})  # the authors' on ImageNet

ENTRIES = [
    *table(FAMILY, WOO, B.replace(attention="cbam"), depths("cbam_resnet{}", 18, 34, 50, 101, 152)),
    *table(FAMILY, PARK, BAM, depths("bam_resnet{}", 18, 34, 50, 101, 152)),
    *table(FAMILY, QIN, FCA, depths("fcaresnet{}", 34, 50, 101, 152)),
    *table(FAMILY, CAO, B.replace(attention="gc"), {"gcnet_resnet50": D50}),
    *table(FAMILY, MISRA, B.replace(attention="triplet"), depths("triplet_resnet{}", 18, 50, 101)),
    *table(FAMILY, YANG, SIMAM, depths("simam_resnet{}", 18, 34, 50, 101)),
    *table(FAMILY, LI, B.replace(attention="sge"), depths("sge_resnet{}", 50, 101)),
    *table(FAMILY, ZHANG, B.replace(attention="shuffle"), depths("sa_resnet{}", 50, 101)),
    *table(FAMILY, LEE, B.replace(attention="srm"), {"srm_resnet50": D50}),
    *table(FAMILY, HU, B.replace(attention="ge"), {"ge_theta_minus_resnet50": D50}),
    *table(FAMILY, GATED, B.replace(attention="gct", attention_at="pre"), {"gct_resnet50": D50}),
]
