"""The names of BN-Inception and Inception-ResNet-v2, and the blocks' branches in them."""

from __future__ import annotations


def _each(rows: str, *patterns: str) -> str:
    """``ours = theirs`` for a convolution and the normalisation behind it: the row in each of
    ``patterns``, in which ``<`` stands for ours and ``>`` for theirs."""
    lines = []
    for row in rows.strip().splitlines():
        if " = " not in row or row.startswith(("[", "in ")):
            lines.append(row)
            continue
        ours, _, theirs = row.partition(" = ")
        lines += [pattern.replace("<", ours).replace(">", theirs) for pattern in patterns]
    return "\n".join(lines) + "\n"


def conv_bn(rows: str) -> str:
    """Their normalisation is called ``bn`` and stands beside the convolution."""
    return _each(rows, "<.conv = >.conv", "<.norm = >.bn")


def caffe(rows: str) -> str:
    """In Caffe a normalisation is two layers, called after the convolution."""
    return _each(rows, "<.conv = >", "<.norm.{affine} = >/bn/scale.{affine}", "<.norm = >/bn")


# The blocks by their letters, and by stage and unit here: those that stride open a stage.
_CAFFE_BLOCK = """
branches.0 = 1x1
branches.1.0 = 3x3_reduce
branches.1.1 = 3x3
branches.2.0 = double3x3_reduce
branches.2.1 = double3x3a
branches.2.2 = double3x3b
branches.3.1 = pool_proj
"""
_CAFFE_STRIDING_BLOCK = """
branches.0.0 = 3x3_reduce
branches.0.1 = 3x3
branches.1.0 = double3x3_reduce
branches.1.1 = double3x3a
branches.1.2 = double3x3b
"""
_PLACES = {
    "stages.2.0": ("inception_3c", _CAFFE_STRIDING_BLOCK),
    "stages.3.0": ("inception_4e", _CAFFE_STRIDING_BLOCK),
    "stages.1.{b}": ("inception_3{b-1:a}", _CAFFE_BLOCK),
    "stages.2.{b}": ("inception_4{b-1:a}", _CAFFE_BLOCK),
    "stages.3.{b}": ("inception_5{b-1:a}", _CAFFE_BLOCK),
}
CAFFE = (
    caffe(
        """
[bn_inception: stem=imagenet attention=None|se conv_bias=False]
stem.convs.0 = conv1/7x7_s2
stages.0.0.0 = conv2/3x3_reduce
stages.0.0.1 = conv2/3x3
"""
    )
    + "head.fc = classifier\n"
)
for _ours, (_theirs, _block) in _PLACES.items():
    CAFFE += f"in {_ours}.attention. = {_theirs}_1x1_\n"
    CAFFE += "fc1 = down (1x1)\nfc2 = up (1x1)\n"
    CAFFE += f"in {_ours}. = {_theirs}/\n" + caffe(_block)

PYTORCHCV = (
    conv_bn(
        """
[bn_inception: stem=imagenet attention=None conv_bias=True]
stem.convs.0 = features.init_block.conv1
stages.0.0.0 = features.init_block.conv2.conv1
stages.0.0.1 = features.init_block.conv2.conv2
in stages.1.{b}.branches. = features.stage1.unit{b}.branches.
0 = branch1
1.{i} = branch2.conv{i+1}
2.{i} = branch3.conv{i+1}
3.1 = branch4.conv
in stages.{s}.0.branches. = features.stage{s}.unit1.branches.
{i}.{j} = branch{i+1}.conv{j+1}
in stages.{s}.{b}.branches. = features.stage{s}.unit{b+1}.branches.
0 = branch1
1.{i} = branch2.conv{i+1}
2.{i} = branch3.conv{i+1}
3.1 = branch4.conv
"""
    )
    + "[bn_inception]\nhead.fc = output\n"
    + conv_bn(
        """
[inception_resnet_v2: stem=imagenet attention=None]
stem.convs.0.1 = features.init_block.conv1
stem.convs.1.1 = features.init_block.conv2
stem.convs.2 = features.init_block.conv3
stages.0.0 = features.init_block.conv4
stages.0.1.1 = features.init_block.conv5
head.final = features.final_conv
in stages.0.3.branches. = features.init_block.block.branches.
0 = branch1.conv
3.1 = branch4.conv
{i}.{j} = branch{i+1}.conv_list.conv{j+1}
in stages.1.0.branches. = features.stage2.unit1.branches.
0.1 = branch1.conv_list.conv1
1.2.1 = branch2.conv_list.conv3
1.{j} = branch2.conv_list.conv{j+1}
in stages.2.0.branches. = features.stage3.unit1.branches.
{i}.{j}.1 = branch{i+1}.conv_list.conv{j+1}
{i}.{j} = branch{i+1}.conv_list.conv{j+1}
in stages.0.{b}.mixed.branches. = features.stage1.unit{b-3}.branches.
0 = branch1.conv
{i}.{j} = branch{i+1}.conv_list.conv{j+1}
in stages.{s}.{b}.mixed.branches. = features.stage{s+1}.unit{b+1}.branches.
0 = branch1.conv
{i}.{j} = branch{i+1}.conv_list.conv{j+1}
"""
    )
    + """
[inception_resnet_v2: stem=imagenet attention=None]
stages.0.{b}.expand.conv = features.stage1.unit{b-3}.conv
stages.{s}.{b}.expand.conv = features.stage{s+1}.unit{b+1}.conv
head.fc = output.fc
"""
)

TIMM = (
    conv_bn(
        """
[inception_resnet_v2: stem=imagenet attention=None]
stem.convs.0.1 = conv2d_1a
stem.convs.1.1 = conv2d_2a
stem.convs.2 = conv2d_2b
stages.0.0 = conv2d_3b
stages.0.1.1 = conv2d_4a
head.final = conv2d_7b
in stages.0.3.branches. = mixed_5b.
0 = branch0
3.1 = branch3.1
{i}.{j} = branch{i}.{j}
in stages.1.0.branches. = mixed_6a.
0.1 = branch0
1.2.1 = branch1.2
1.{j} = branch1.{j}
in stages.2.0.branches. = mixed_7a.
{i}.{j}.1 = branch{i}.{j}
{i}.{j} = branch{i}.{j}
in stages.0.{b}.mixed.branches. = repeat.{b-4}.
0 = branch0
{i}.{j} = branch{i}.{j}
in stages.2.10.mixed.branches. = block8.
0 = branch0
{i}.{j} = branch{i}.{j}
in stages.{s}.{b}.mixed.branches. = repeat_{s}.{b-1}.
0 = branch0
{i}.{j} = branch{i}.{j}
"""
    )
    + """
[inception_resnet_v2: stem=imagenet attention=None]
stages.0.{b}.expand.conv = repeat.{b-4}.conv2d
stages.2.10.expand.conv = block8.conv2d
stages.{s}.{b}.expand.conv = repeat_{s}.{b-1}.conv2d
head.fc = classif
"""
)
