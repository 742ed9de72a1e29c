"""The tables of names, a library each; ``translate`` explains how to read them."""

from __future__ import annotations

# Parts that several libraries share -------------------------------------------------------------

_STEM = """
[resnet: stem=conv7|conv3|cifar]
stem.convs.0.conv = conv1
stem.convs.0.norm = bn1
[resnet: stem=deep|deep64|tiered]
stem.convs.0.conv = conv1.0
stem.convs.0.norm = conv1.1
stem.convs.1.conv = conv1.3
stem.convs.1.norm = conv1.4
stem.convs.2.conv = conv1.6
stem.convs.2.norm = bn1
"""
_UNIT = """
[resnet: conv=plain]
in stages.{s}.{b}. = layer{s+1}.{b}.
conv{i}.conv = conv{i}
conv{i}.norm = bn{i}
"""
_SHORTCUT = """
[resnet: shortcut=conv|pad]
in stages.{s}.{b}.shortcut. = layer{s+1}.{b}.downsample.
conv = 0
norm = 1
[resnet: shortcut=avg|max]
in stages.{s}.{b}.shortcut. = layer{s+1}.{b}.downsample.
conv = 1
norm = 2
"""
_RES2NET = """
[resnet: conv=res2net]
in stages.{s}.{b}. = layer{s+1}.{b}.
conv2.convs.{i}.conv = convs.{i}
conv2.convs.{i}.norm = bns.{i}
conv{i}.conv = conv{i}
conv{i}.norm = bn{i}
"""
_RESNEST = """
[resnet: conv=split_attention]
in stages.{s}.{b}. = layer{s+1}.{b}.
conv2.conv = conv2.conv
conv2.norm = conv2.bn0
conv2.selection.fc{i} = conv2.fc{i}
conv2.selection.norm = conv2.bn1
conv{i}.conv = conv{i}
conv{i}.norm = bn{i}
"""
_FC = """
[resnet]
head.fc = fc
"""

# Libraries --------------------------------------------------------------------------------------

TORCHVISION = """
[resnet: stem=conv7 shortcut=conv conv=plain attention=None]
stem.convs.0.conv = conv1
stem.convs.0.norm = bn1
head.fc = fc
in stages.{s}.{b}. = layer{s+1}.{b}.
conv{i}.conv = conv{i}
conv{i}.norm = bn{i}
shortcut.conv = downsample.0
shortcut.norm = downsample.1
"""

TIMM = (
    """
[resnet: attention=se]
stages.{s}.{b}.attention.fc{i} = layer{s+1}.{b}.se.fc{i} (1x1)
[resnet: attention=eca]
stages.{s}.{b}.attention.conv = layer{s+1}.{b}.se.conv
[resnet: conv=selective_kernel]
in stages.{s}.{b}. = layer{s+1}.{b}.
conv2.convs.{i}.conv = conv2.paths.{i}.conv
conv2.convs.{i}.norm = conv2.paths.{i}.bn
conv2.selection.fc1 = conv2.attn.fc_reduce
conv2.selection.norm = conv2.attn.bn
conv2.selection.fc2 = conv2.attn.fc_select
conv{i}.conv = conv{i}.conv
conv{i}.norm = conv{i}.bn
"""
    + _STEM
    + _UNIT
    + _RES2NET
    + _RESNEST
    + _SHORTCUT
    + _FC
)

PYTORCHCV = """
[resnet: stem=conv7]
stem.convs.0.conv = features.init_block.conv.conv
stem.convs.0.norm = features.init_block.conv.bn
[resnet: stem=cifar|conv3]
stem.convs.0.conv = features.init_block.conv
stem.convs.0.norm = features.init_block.bn
[resnet: stem=deep|deep64|tiered]
stem.convs.{i}.conv = features.init_block.conv{i+1}.conv
stem.convs.{i}.norm = features.init_block.conv{i+1}.bn
[resnet: conv=split_attention]
in stages.{s}.{b}.conv2. = features.stage{s+1}.unit{b+1}.body.conv2.
conv = conv.conv
norm = conv.bn
selection.fc{i} = att.conv{i}
selection.norm = att.bn
[resnet: conv=selective_kernel]
in stages.{s}.{b}.conv2. = features.stage{s+1}.unit{b+1}.body.conv2.
convs.{i}.conv = branches.branch{i+2}.conv
convs.{i}.norm = branches.branch{i+2}.bn
selection.fc1 = fc1.conv
selection.norm = fc1.bn
selection.fc2 = fc2
[resnet: conv=self_calibrated]
in stages.{s}.{b}. = features.stage{s+1}.unit{b+1}.body.
conv1.conv = conv1a.conv + conv1b.conv
conv1.norm = conv1a.bn + conv1b.bn
conv2.k1.conv = conv2a.conv
conv2.k1.norm = conv2a.bn
conv2.k2.conv = conv2b.down.conv.conv
conv2.k2.norm = conv2b.down.conv.bn
conv2.k3.conv = conv2b.conv1.conv
conv2.k3.norm = conv2b.conv1.bn
conv2.k4.conv = conv2b.conv2.conv
conv2.k4.norm = conv2b.conv2.bn
[resnet: attention=se]
stages.{s}.{b}.attention.fc{i} = features.stage{s+1}.unit{b+1}.se.conv{i} (1x1)
[resnet: conv=plain|split_attention|selective_kernel|self_calibrated]
in stages.{s}.{b}. = features.stage{s+1}.unit{b+1}.body.
conv{i}.conv = conv{i}.conv
conv{i}.norm = conv{i}.bn
[resnet: shortcut=conv]
in stages.{s}.{b}.shortcut. = features.stage{s+1}.unit{b+1}.identity_conv.
conv = conv
norm = bn
[resnet: shortcut=avg|max]
in stages.{s}.{b}.shortcut. = features.stage{s+1}.unit{b+1}.identity_block.conv.
conv = conv
norm = bn
[resnet: reduce_first=2]           # SENet-154: a dropout stands before the classifier
head.fc = output.fc
[resnet: conv=split_attention]     # the same
head.fc = output.fc
[resnet]
head.fc = output
"""

MMPRETRAIN = """
[resnet: stem=conv7|conv3|cifar]
stem.convs.0.conv = backbone.conv1
stem.convs.0.norm = backbone.bn1
[resnet: stem=deep|deep64|tiered]
stem.convs.{i}.conv = backbone.stem.{i}.conv
stem.convs.{i}.norm = backbone.stem.{i}.bn
[resnet: conv=res2net]
in stages.{s}.{b}. = backbone.layer{s+1}.{b}.
conv2.convs.{i}.conv = convs.{i}
conv2.convs.{i}.norm = bns.{i}
[resnet: conv=split_attention]
in stages.{s}.{b}.conv2. = backbone.layer{s+1}.{b}.conv2.
conv = conv
norm = bn0
selection.fc{i} = fc{i}
selection.norm = bn1
[resnet: conv=res2net shortcut=avg|max]    # pools where the unit does not stride, too
in stages.{s}.{b}.shortcut. = backbone.layer{s+1}.{b}.downsample.
conv = 1
norm = 2
[resnet: conv=plain|res2net|split_attention]
head.fc = head.fc
in stages.{s}.{b}. = backbone.layer{s+1}.{b}.
attention.fc{i} = se_layer.conv{i}.conv (1x1)
conv{i}.conv = conv{i}
conv{i}.norm = bn{i}
shortcut.conv = downsample.{pool}
shortcut.norm = downsample.{pool+1}
"""

PYCLS = """
[resnet: stem=conv7|cifar conv=plain attention=None]
stem.convs.0.conv = stem.conv
stem.convs.0.norm = stem.bn
head.fc = head.fc
in stages.{s}.{b}. = s{s+1}.b{b+1}.
conv{i}.conv = f.{i-1:a}
conv{i}.norm = f.{i-1:a}_bn
shortcut.conv = proj
shortcut.norm = bn
"""

CADENE = """
[resnet: conv=plain]
stem.convs.{i}.conv = layer0.conv{i+1}
stem.convs.{i}.norm = layer0.bn{i+1}
head.fc = last_linear
in stages.{s}.{b}. = layer{s+1}.{b}.
conv{i}.conv = conv{i}
conv{i}.norm = bn{i}
attention.fc{i} = se_module.fc{i} (1x1)
shortcut.conv = downsample.0
shortcut.norm = downsample.1
"""

# Authors ----------------------------------------------------------------------------------------

ECANET = (
    """
[resnet: attention=eca|eca_ns]
stages.{s}.{b}.attention.conv = layer{s+1}.{b}.eca.conv
"""
    + _STEM
    + _UNIT
    + _SHORTCUT
    + _FC
)

RES2NET = _STEM + _RES2NET + _SHORTCUT + _FC

RESNEST = _STEM + _RESNEST + _UNIT + _SHORTCUT + _FC

SCNET = (
    _STEM
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
    + _SHORTCUT
    + _FC
)

KUANGLIU = (
    _STEM
    + _UNIT
    + """
[resnet]
stages.{s}.{b}.shortcut.conv = layer{s+1}.{b}.shortcut.0
stages.{s}.{b}.shortcut.norm = layer{s+1}.{b}.shortcut.1
head.fc = linear
"""
)

# In Caffe a normalisation is two layers, and excitation is 1x1 convolutions.
CAFFE_SENET = """
[resnet: stem=conv7]
stem.convs.0.conv = conv1/7x7_s2
stem.convs.0.norm.{affine} = conv1/7x7_s2/bn/scale.{affine}
stem.convs.0.norm = conv1/7x7_s2/bn
[resnet: stem=deep64]
stem.convs.0.conv = conv1_1/3x3_s2
stem.convs.0.norm.{affine} = conv1_1/3x3_s2/bn/scale.{affine}
stem.convs.0.norm = conv1_1/3x3_s2/bn
stem.convs.{i}.conv = conv1_{i+1}/3x3
stem.convs.{i}.norm.{affine} = conv1_{i+1}/3x3/bn/scale.{affine}
stem.convs.{i}.norm = conv1_{i+1}/3x3/bn
[resnet: attention=se block=bottleneck conv=plain]
head.fc = classifier
in stages.{s}.{b}. = conv{s+2}_{b+1}_
conv1.conv = 1x1_reduce
conv1.norm.{affine} = 1x1_reduce/bn/scale.{affine}
conv1.norm = 1x1_reduce/bn
conv2.conv = 3x3
conv2.norm.{affine} = 3x3/bn/scale.{affine}
conv2.norm = 3x3/bn
conv3.conv = 1x1_increase
conv3.norm.{affine} = 1x1_increase/bn/scale.{affine}
conv3.norm = 1x1_increase/bn
attention.fc1 = 1x1_down (1x1)
attention.fc2 = 1x1_up (1x1)
shortcut.conv = 1x1_proj
shortcut.norm.{affine} = 1x1_proj/bn/scale.{affine}
shortcut.norm = 1x1_proj/bn
"""

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
