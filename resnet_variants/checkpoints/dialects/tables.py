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
[regnet|anynet: stem=conv3 shortcut=conv conv=plain attention=None|se]
stem.convs.0.conv = stem.0
stem.convs.0.norm = stem.1
head.fc = fc
in stages.{s}.{b}. = trunk_output.block{s+1}.block{s+1}-{b}.
conv{i}.conv = f.{i-1:a}.0
conv{i}.norm = f.{i-1:a}.1
attention.fc{i} = f.se.fc{i} (1x1)
shortcut.conv = proj.0
shortcut.norm = proj.1
"""

# What the names do not say must hold, too: these networks shuffle at the end of a unit.
TORCHVISION += """
[shufflenet_v2: stem=conv3_pool downsample=halves shuffle_at=end residual=False attention=None]
stem.convs.0.conv = conv1.0
stem.convs.0.norm = conv1.1
head.final.conv = conv5.0
head.final.norm = conv5.1
head.fc = fc
in stages.{s}.{b}. = stage{s+2}.{b}.
projection.0.conv = branch1.0
projection.0.norm = branch1.1
projection.1.conv = branch1.2
projection.1.norm = branch1.3
conv1.conv = branch2.0
conv1.norm = branch2.1
conv2.conv = branch2.3
conv2.norm = branch2.4
conv3.conv = branch2.5
conv3.norm = branch2.6
"""
TIMM = (
    """
[regnet|anynet: stem=conv3 shortcut=conv conv=plain attention=None|se]
stem.convs.0.conv = stem.conv
stem.convs.0.norm = stem.bn
head.fc = head.fc
in stages.{s}.{b}. = s{s+1}.b{b+1}.
conv{i}.conv = conv{i}.conv
conv{i}.norm = conv{i}.bn
attention.fc{i} = se.fc{i} (1x1)
shortcut.conv = downsample.conv
shortcut.norm = downsample.bn
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
[shufflenet_v1: shuffle_at=before shuffle_order=paper pool_first=False attention=None]
stem.convs.0.conv = features.init_block.conv
stem.convs.0.norm = features.init_block.bn
head.fc = output
in stages.{s}.{b}. = features.stage{s+1}.unit{b+1}.
conv1.conv = compress_conv1
conv1.norm = compress_bn1
conv2.conv = dw_conv2
conv2.norm = dw_bn2
conv3.conv = expand_conv3
conv3.norm = expand_bn3
[shufflenet_v2: downsample=halves shuffle_at=end stem_pool=max_ceil residual=False attention=None]
stem.convs.0.conv = features.init_block.conv.conv
stem.convs.0.norm = features.init_block.conv.bn
head.final.conv = features.final_block.conv
head.final.norm = features.final_block.bn
head.fc = output
in stages.{s}.{b}. = features.stage{s+1}.unit{b+1}.
conv1.conv = compress_conv1
conv1.norm = compress_bn1
conv2.conv = dw_conv2
conv2.norm = dw_bn2
conv3.conv = expand_conv3
conv3.norm = expand_bn3
projection.0.conv = dw_conv4
projection.0.norm = dw_bn4
projection.1.conv = expand_conv5
projection.1.norm = expand_bn5
[regnet|anynet: stem=conv3 shortcut=conv conv=plain attention=None|se]
stem.convs.0.conv = features.init_block.conv
stem.convs.0.norm = features.init_block.bn
head.fc = output
in stages.{s}.{b}. = features.stage{s+1}.unit{b+1}.
conv{i}.conv = body.conv{i}.conv
conv{i}.norm = body.conv{i}.bn
attention.fc{i} = body.se.conv{i} (1x1)
shortcut.conv = identity_conv.conv
shortcut.norm = identity_conv.bn
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
[shufflenet_v1: shuffle_at=before shuffle_order=paper pool_first=True attention=None]
stem.convs.0.conv = backbone.conv1.conv
stem.convs.0.norm = backbone.conv1.bn
head.fc = head.fc
in stages.{s}.{b}. = backbone.layers.{s}.{b}.
conv1.conv = g_conv_1x1_compress.conv
conv1.norm = g_conv_1x1_compress.bn
conv2.conv = depthwise_conv3x3_bn.conv
conv2.norm = depthwise_conv3x3_bn.bn
conv3.conv = g_conv_1x1_expand.conv
conv3.norm = g_conv_1x1_expand.bn
[shufflenet_v2: stem=conv3_pool downsample=halves shuffle_at=end residual=False attention=None]
stem.convs.0.conv = backbone.conv1.conv
stem.convs.0.norm = backbone.conv1.bn
head.final.conv = backbone.layers.3.conv
head.final.norm = backbone.layers.3.bn
head.fc = head.fc
in stages.{s}.{b}. = backbone.layers.{s}.{b}.
projection.{i}.conv = branch1.{i}.conv
projection.{i}.norm = branch1.{i}.bn
conv{i}.conv = branch2.{i-1}.conv
conv{i}.norm = branch2.{i-1}.bn
[regnet|anynet: stem=conv3 shortcut=conv conv=plain attention=None]
stem.convs.0.conv = backbone.conv1
stem.convs.0.norm = backbone.bn1
head.fc = head.fc
in stages.{s}.{b}. = backbone.layer{s+1}.{b}.
conv{i}.conv = conv{i}
conv{i}.norm = bn{i}
shortcut.conv = downsample.0
shortcut.norm = downsample.1
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
[resnet: stem=conv7|cifar shortcut=conv conv=plain attention=None]
stem.convs.0.conv = stem.conv
stem.convs.0.norm = stem.bn
head.fc = head.fc
in stages.{s}.{b}. = s{s+1}.b{b+1}.
conv{i}.conv = f.{i-1:a}
conv{i}.norm = f.{i-1:a}_bn
shortcut.conv = proj
shortcut.norm = bn
[regnet|anynet: stem=conv3 shortcut=conv conv=plain attention=None|se]
stem.convs.0.conv = stem.conv
stem.convs.0.norm = stem.bn
head.fc = head.fc
in stages.{s}.{b}. = s{s+1}.b{b+1}.
conv{i}.conv = f.{i-1:a}
conv{i}.norm = f.{i-1:a}_bn
attention.fc1 = f.se.f_ex.0 (1x1)
attention.fc2 = f.se.f_ex.2 (1x1)
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
