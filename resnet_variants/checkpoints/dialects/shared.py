"""Rules that the tables of several libraries share."""

from __future__ import annotations

STEM = """
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
UNIT = """
[resnet: conv=plain]
in stages.{s}.{b}. = layer{s+1}.{b}.
conv{i}.conv = conv{i}
conv{i}.norm = bn{i}
"""
SHORTCUT = """
[resnet: shortcut=conv|pad]
in stages.{s}.{b}.shortcut. = layer{s+1}.{b}.downsample.
conv = 0
norm = 1
[resnet: shortcut=avg|max]
in stages.{s}.{b}.shortcut. = layer{s+1}.{b}.downsample.
conv = 1
norm = 2
"""
RES2NET = """
[resnet: conv=res2net]
in stages.{s}.{b}. = layer{s+1}.{b}.
conv2.convs.{i}.conv = convs.{i}
conv2.convs.{i}.norm = bns.{i}
conv{i}.conv = conv{i}
conv{i}.norm = bn{i}
"""
RESNEST = """
[resnet: conv=split_attention]
in stages.{s}.{b}. = layer{s+1}.{b}.
conv2.conv = conv2.conv
conv2.norm = conv2.bn0
conv2.selection.fc{i} = conv2.fc{i}
conv2.selection.norm = conv2.bn1
conv{i}.conv = conv{i}
conv{i}.norm = bn{i}
"""
FC = """
[resnet]
head.fc = fc
"""
