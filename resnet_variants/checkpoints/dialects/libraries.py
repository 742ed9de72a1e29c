"""The names in the libraries; ``translate`` explains how to read the tables."""

from __future__ import annotations

from . import inception, shared

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
[shufflenet_v2: stem=conv3_pool first_stride=2 residual=False attention=None]
stem.convs.0.conv = conv1.0
stem.convs.0.norm = conv1.1
head.final.conv = conv5.0
head.final.norm = conv5.1
head.fc = fc
[shufflenet_v2: downsample=halves shuffle_at=end]
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
    + shared.STEM
    + shared.UNIT
    + shared.RES2NET
    + shared.RESNEST
    + shared.SHORTCUT
    + shared.FC
)

TIMM += inception.TIMM

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
[shufflenet_v2: downsample=keep shuffle_at=end stem_pool=max residual=False attention=None]
stem.convs.0.conv = features.init_block.conv.conv
stem.convs.0.norm = features.init_block.conv.bn
head.final.conv = features.final_block.conv
head.final.norm = features.final_block.bn
head.fc = output
in stages.{s}.{b}. = features.stage{s+1}.unit{b+1}.
conv1.conv = conv1.conv
conv1.norm = conv1.bn
conv2.conv = dconv.conv
conv2.norm = dconv.bn
conv3.conv = conv2.conv
conv3.norm = conv2.bn
projection.0.conv = shortcut_dconv.conv
projection.0.norm = shortcut_dconv.bn
projection.1.conv = shortcut_conv.conv
projection.1.norm = shortcut_conv.bn
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
[resnet: attention=cbam]
in stages.{s}.{b}.attention. = features.stage{s+1}.unit{b+1}.cbam.
channel.fc{i} = ch_gate.mlp.fc{i}
spatial.conv = sp_gate.conv.conv
spatial.norm = sp_gate.conv.bn
[resnet: attention=bam attention_at=between]    # at the next stage's beginning
in stages.{s}.{b}.attention. = features.stage{s+2}.unit1.bam.
fc1 = ch_att.init_fc.fc
norm = ch_att.init_fc.bn
fc2 = ch_att.final_fc
map.0 = sp_att.init_conv.conv
map.1 = sp_att.init_conv.bn
map.3 = sp_att.dil_convs.conv1.conv
map.4 = sp_att.dil_convs.conv1.bn
map.6 = sp_att.dil_convs.conv2.conv
map.7 = sp_att.dil_convs.conv2.bn
map.9 = sp_att.final_conv
[resnet: attention=bam attention_at=between]
in stages.{s}.{b}. = features.stage{s+1}.unit{b+1}.res_unit.
conv{i}.conv = body.conv{i}.conv
conv{i}.norm = body.conv{i}.bn
shortcut.conv = identity_conv.conv
shortcut.norm = identity_conv.bn
[resnet: conv=plain|split_attention|selective_kernel|self_calibrated]
in stages.{s}.{b}. = features.stage{s+1}.unit{b+1}.body.
conv{i}.conv = conv{i}.conv
conv{i}.norm = conv{i}.bn
[resnet: conv=self_calibrated shortcut=conv]
in stages.{s}.{b}.shortcut. = features.stage{s+1}.unit{b+1}.identity_block.
conv = conv
norm = bn
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

PYTORCHCV += inception.PYTORCHCV

MMPRETRAIN = """
[shufflenet_v1: shuffle_at=after shuffle_order=paper pool_first=True attention=None]
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
[shufflenet_v2: stem=conv3_pool first_stride=2 residual=False attention=None]
stem.convs.0.conv = backbone.conv1.conv
stem.convs.0.norm = backbone.conv1.bn
head.final.conv = backbone.layers.3.conv
head.final.norm = backbone.layers.3.bn
head.fc = head.fc
[shufflenet_v2: downsample=halves shuffle_at=end]
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
[resnet: attention=gc]
in stages.{s}.{b}.attention.context. = backbone.layer{s+1}.{b}.context_block.
conv = conv_mask
fc1 = channel_add_conv.0 (1x1)
norm = channel_add_conv.1 (places)
fc2 = channel_add_conv.3 (1x1)
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
