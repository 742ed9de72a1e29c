"""The names in the authors' own code; ``translate`` explains how to read the tables."""

from __future__ import annotations

from . import inception, shared

ECANET = (
    """
[resnet: attention=eca|eca_ns]
stages.{s}.{b}.attention.conv = layer{s+1}.{b}.eca.conv
"""
    + shared.STEM
    + shared.UNIT
    + shared.SHORTCUT
    + shared.FC
)

RES2NET = shared.STEM + shared.RES2NET + shared.SHORTCUT + shared.FC

RESNEST = shared.STEM + shared.RESNEST + shared.UNIT + shared.SHORTCUT + shared.FC

SCNET = (
    shared.STEM
    + """
[resnet: conv=self_calibrated]
in stages.{s}.{b}. = layer{s+1}.{b}.
conv1.conv = conv1_a + conv1_b
conv1.norm = bn1_a + bn1_b
conv2.k1.conv = k1.0
conv2.k1.norm = k1.1
conv2.k2.conv = scconv.k2.1
conv2.k2.norm = scconv.k2.2
conv2.k{i}.conv = scconv.k{i}.0
conv2.k{i}.norm = scconv.k{i}.1
conv3.conv = conv3
conv3.norm = bn3
"""
    + shared.SHORTCUT
    + shared.FC
)

# The spelling differs between the repository's networks for CIFAR and for ImageNet.
SALIENTNET = (
    """
[resnet: attention=salient|ssa]
in stages.{s}.{b}.attention. = layer{s+1}.{b}.Salient.
conv = conv
norm = bn
"""
    + shared.STEM
    + shared.UNIT
    + shared.SHORTCUT
    + shared.FC
)
# SSANet's class kept the convolution of Salient-Net, and its forward does without.
SALIENTNET_EXTRA = r"layer\d+\.\d+\.Salient\.conv\.weight"

KUANGLIU = (
    """
[resnet: attention=salient]        # AmigoCDT/Salient-Net
in stages.{s}.{b}.attention. = layer{s+1}.{b}.sailent.
conv = conv
norm = bn
"""
    + shared.STEM
    + shared.UNIT
    + """
[resnet]
stages.{s}.{b}.shortcut.conv = layer{s+1}.{b}.shortcut.0
stages.{s}.{b}.shortcut.norm = layer{s+1}.{b}.shortcut.1
head.fc = linear
"""
)

# CBAM is in every unit, BAM behind each stage but the last.
ATTENTION_MODULE = (
    """
[resnet: attention=cbam]
in stages.{s}.{b}.attention. = layer{s+1}.{b}.cbam.
channel.fc1 = ChannelGate.mlp.1
channel.fc2 = ChannelGate.mlp.3
spatial.conv = SpatialGate.spatial.conv
spatial.norm = SpatialGate.spatial.bn
[resnet: attention=bam attention_at=between]
in stages.{s}.{b}.attention. = bam{s+1}.
fc1 = channel_att.gate_c.gate_c_fc_0
norm = channel_att.gate_c.gate_c_bn_1
fc2 = channel_att.gate_c.gate_c_fc_final
map.0 = spatial_att.gate_s.gate_s_conv_reduce0
map.1 = spatial_att.gate_s.gate_s_bn_reduce0
map.3 = spatial_att.gate_s.gate_s_conv_di_0
map.4 = spatial_att.gate_s.gate_s_bn_di_0
map.6 = spatial_att.gate_s.gate_s_conv_di_1
map.7 = spatial_att.gate_s.gate_s_bn_di_1
map.9 = spatial_att.gate_s.gate_s_conv_final
"""
    + shared.STEM
    + shared.UNIT
    + shared.SHORTCUT
    + shared.FC
)

FCANET = (
    """
[resnet: attention=fca]
stages.{s}.{b}.attention.fc1 = layer{s+1}.{b}.att.fc.0
stages.{s}.{b}.attention.fc2 = layer{s+1}.{b}.att.fc.2
"""
    + shared.STEM
    + shared.UNIT
    + shared.SHORTCUT
    + shared.FC
)
# The cosines, which are made where the map is here
FCANET_EXTRA = r"layer\d+\.\d+\.att\.dct_layer\.weight"

TRIPLET = (
    """
[resnet: attention=triplet]
in stages.{s}.{b}.attention. = layer{s+1}.{b}.triplet_attention.
columns.conv = ChannelGateH.spatial.conv
columns.norm = ChannelGateH.spatial.bn
rows.conv = ChannelGateW.spatial.conv
rows.norm = ChannelGateW.spatial.bn
places.conv = SpatialGate.spatial.conv
places.norm = SpatialGate.spatial.bn
"""
    + shared.STEM
    + shared.UNIT
    + shared.SHORTCUT
    + shared.FC
)

MEGVII = """
[shufflenet_v1|shufflenet_v2]
stem.convs.0.conv = first_conv.0
stem.convs.0.norm = first_conv.1
head.final.conv = conv_last.0
head.final.norm = conv_last.1
head.fc.bias = (zero)
head.fc = classifier.0
[shufflenet_v1: shuffle_at=after shuffle_order=released pool_first=True attention=None]
in stages.{s}.{b}. = features.{n}.
conv1.conv = branch_main_1.0
conv1.norm = branch_main_1.1
conv2.conv = branch_main_1.3
conv2.norm = branch_main_1.4
conv3.conv = branch_main_2.0
conv3.norm = branch_main_2.1
[shufflenet_v2: downsample=keep shuffle_at=start residual=False attention=None]
in stages.{s}.{b}. = features.{n}.
projection.0.conv = branch_proj.0
projection.0.norm = branch_proj.1
projection.1.conv = branch_proj.2
projection.1.norm = branch_proj.3
conv1.conv = branch_main.0
conv1.norm = branch_main.1
conv2.conv = branch_main.3
conv2.norm = branch_main.4
conv3.conv = branch_main.5
conv3.norm = branch_main.6
"""

# In Caffe excitation is 1x1 convolutions.
CAFFE_SENET = (
    inception.caffe(
        """
[resnet: stem=conv7]
stem.convs.0 = conv1/7x7_s2
[resnet: stem=deep64]
stem.convs.0 = conv1_1/3x3_s2
stem.convs.{i} = conv1_{i+1}/3x3
[resnet: attention=se block=bottleneck conv=plain]
in stages.{s}.{b}. = conv{s+2}_{b+1}_
conv1 = 1x1_reduce
conv2 = 3x3
conv3 = 1x1_increase
shortcut = 1x1_proj
"""
    )
    + """
[resnet: attention=se]
stages.{s}.{b}.attention.fc1 = conv{s+2}_{b+1}_1x1_down (1x1)
stages.{s}.{b}.attention.fc2 = conv{s+2}_{b+1}_1x1_up (1x1)
head.fc = classifier
"""
    + inception.CAFFE
)

CAFFE_SKNET = """
[resnet: stem=conv7 conv=selective_kernel]
stem.convs.0.conv = conv1/7x7_s2
stem.convs.0.norm = conv1/7x7_s2/bn
head.fc = classifier
in stages.{s}.{b}. = conv{s+2}_{b+1}/
conv1.conv = 1x1_reduce
conv1.norm = 1x1_reduce/bn
conv2.convs.0.conv = 3x3g32
conv2.convs.0.norm = 3x3g32/bn
conv2.convs.{i}.conv = 3x3g32d{i+1}
conv2.convs.{i}.norm = 3x3g32d{i+1}/bn
conv2.selection.fc{i} = B_fc{i}
conv2.selection.norm = B_fc1/bn
conv3.conv = 1x1_increase
conv3.norm = 1x1_increase/bn
shortcut.conv = 1x1_proj
shortcut.norm = 1x1_proj/bn
"""

# The authors call a normalisation before a unit after the layer that it normalises: the output
# of whatever stands before.
_RAN_UNIT = """
conv1.conv = branch1/conv1_1x1
conv1.norm = branch1/conv1_1x1/bn
conv2.conv = branch1/conv2_3x3
conv2.norm = branch1/conv2_3x3/bn
conv3.conv = branch1/conv3_1x1
conv3.norm = branch1/conv3_1x1/bn
shortcut.conv = branch2/conv1_1x1
shortcut.norm = branch2/conv1_1x1/bn
"""
_RAN_UNITS = {
    "stages.3.{b}.": "post_res_4_{b+1}/",
    "stages.{s}.0.": "pre_res_{s+1}/",
    "stages.{s}.{b}.before.0.": "Attention{s:A}_{b}/trunk/res1/",
    "stages.{s}.{b}.trunk.{i}.": "Attention{s:A}_{b}/trunk/res{i+2}/",
    "stages.{s}.{b}.mask.down.{i}.{j}.": "Attention{s:A}_{b}/mask/down/res{i+1}_{j+1}/",
    "stages.{s}.{b}.mask.skip.{i}.0.": "Attention{s:A}_{b}/mask/skip/res{i+1}/",
    "stages.{s}.{b}.mask.up.{i}.0.": "Attention{s:A}_{b}/mask/up/res{i+1}_1/",
    "stages.{s}.{b}.after.0.": "Attention{s:A}_{b}/",
}
_RAN_SAMPLE = {  # AttentionNeXt's definition says down and up instead
    "stages.{s}.{b}.mask.down.{i}.{j}.": "Attention{s:A}_{b}/mask/down_sample/res{i+1}_{j+1}/",
    "stages.{s}.{b}.mask.up.{i}.0.": "Attention{s:A}_{b}/mask/up_sample/res{i+1}_1/",
}
_RAN_REST = """
[ran: unit=resnet|resnext p=1 t=2 r=1 attention=None]
stem.convs.0.conv = conv1
stem.convs.0.norm = conv1/bn
stages.0.0.before.norm = pool1_3x3_s2/bn
stages.{s}.0.before.norm = Attention{s-1:A}_{last}/bn
stages.3.{b}.before.norm = post_res_4_{b}/bn
stages.{s}.1.before.0.before.norm = pre_res_{s+1}/bn
stages.{s}.{b}.before.0.before.norm = Attention{s:A}_{b-1}/bn
head.final.norm = post_res_4_{last+1}/bn
head.fc = classifier
in stages.{s}.{b}. = Attention{s:A}_{b}/
trunk.{i}.before.norm = trunk/res{i+1}/bn
mask.down.{i}.0.before.norm = mask/down_sample/pool{i+1}_3x3_s2/bn
mask.down.{i}.{j}.before.norm = mask/down_sample/res{i+1}_{j}/bn
mask.skip.{i}.0.before.norm = mask/down_sample/res{i+1}_1/bn
mask.up.{i}.0.before.norm = mask/up_sample{i+1}/bn
mask.linear.0.norm = mask/up_sample/interp_1/bn
mask.linear.1 = mask/linear_1
mask.linear.2.norm = mask/linear_1/bn
mask.linear.3 = mask/linear_2
after.0.before.norm = fusion/bn
"""


def _ran_units(places: dict[str, str]) -> str:
    return "".join(f"in {ours} = {theirs}{_RAN_UNIT}" for ours, theirs in places.items())


CAFFE_RAN = (
    "[ran: unit=resnet p=1 t=2 r=1 attention=None]\n"
    + _ran_units(_RAN_SAMPLE)
    + _RAN_REST
    + _ran_units(_RAN_UNITS)
)
