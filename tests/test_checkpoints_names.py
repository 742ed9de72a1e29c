"""What each dialect calls things, as its source does, and the way there and back."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from resnet_variants import build, create_model, export_state_dict, load_checkpoint
from resnet_variants.checkpoints import DIALECTS

# model, dialect, some of the names and shapes in that library's files
NAMES = [
    ("resnet50", "torchvision", {"conv1.weight": (64, 3, 7, 7), "bn1.running_mean": (64,)}),
    ("resnet50", "torchvision", {"layer2.0.downsample.0.weight": (512, 256, 1, 1)}),
    ("resnet50", "torchvision", {"layer2.0.conv1.weight": (128, 256, 1, 1), "fc.bias": (1000,)}),
    (
        "regnety_016",
        "torchvision",
        {"trunk_output.block2.block2-0.f.se.fc1.weight": (12, 120, 1, 1)},
    ),
    ("regnety_016", "torchvision", {"stem.0.weight": (32, 3, 3, 3), "fc.weight": (1000, 888)}),
    ("shufflenet_v2_x1_0", "torchvision", {"stage2.0.branch1.0.weight": (24, 1, 3, 3)}),
    ("shufflenet_v2_x1_0", "torchvision", {"stage2.1.branch2.3.weight": (58, 1, 3, 3)}),
    ("resnet50d", "timm", {"conv1.6.weight": (64, 32, 3, 3), "bn1.weight": (64,)}),
    ("resnet50d", "timm", {"layer2.0.downsample.1.weight": (512, 256, 1, 1)}),
    ("ecaresnet50d", "timm", {"layer2.0.se.conv.weight": (1, 1, 5)}),
    ("seresnet50", "timm", {"layer2.0.se.fc1.weight": (32, 512, 1, 1)}),
    ("sknet50", "timm", {"layer2.0.conv2.attn.fc_reduce.weight": (32, 256, 1, 1)}),
    ("regnety_016", "timm", {"s2.b1.se.fc1.weight": (12, 120, 1, 1), "head.fc.bias": (1000,)}),
    ("resnet50", "pytorchcv", {"features.stage2.unit1.body.conv1.conv.weight": (128, 256, 1, 1)}),
    ("resnet50", "pytorchcv", {"features.stage2.unit1.identity_conv.bn.weight": (512,)}),
    ("resnet50", "mmpretrain", {"backbone.layer2.0.conv1.weight": (128, 256, 1, 1)}),
    ("resnet50c", "mmpretrain", {"backbone.stem.0.conv.weight": (32, 3, 3, 3)}),
    ("resnet50d", "mmpretrain", {"backbone.layer1.0.downsample.0.weight": (256, 64, 1, 1)}),
    ("resnet50d", "mmpretrain", {"backbone.layer2.0.downsample.1.weight": (512, 256, 1, 1)}),
    ("seresnet50", "mmpretrain", {"backbone.layer2.0.se_layer.conv1.conv.bias": (32,)}),
    ("resnest50", "mmpretrain", {"backbone.layer1.0.conv2.bn0.weight": (128,)}),
    ("res2net50_14w_8s", "mmpretrain", {"backbone.layer1.0.convs.6.weight": (14, 14, 3, 3)}),
    ("regnetx_004", "mmpretrain", {"backbone.layer1.0.conv1.weight": (32, 32, 1, 1)}),
    ("regnety_016", "pycls", {"s1.b1.f.se.f_ex.0.bias": (8,), "s1.b1.proj.weight": (48, 32, 1, 1)}),
    ("regnety_016", "pycls", {"s2.b1.f.a_bn.weight": (120,), "s1.b1.bn.weight": (48,)}),
    ("resnet50", "pycls", {"stem.conv.weight": (64, 3, 7, 7), "s1.b1.f.c.weight": (256, 64, 1, 1)}),
    ("legacy_seresnet50", "cadene", {"layer2.0.se_module.fc1.weight": (32, 512, 1, 1)}),
    ("legacy_senet154", "cadene", {"layer0.conv3.weight": (128, 64, 3, 3)}),
    ("legacy_senet154", "cadene", {"last_linear.weight": (1000, 2048)}),
    ("legacy_seresnet50", "caffe_senet", {"conv2_1_1x1_down.weight": (16, 256, 1, 1)}),
    ("legacy_seresnet50", "caffe_senet", {"conv3_1_1x1_proj/bn/scale.bias": (512,)}),
    ("legacy_seresnet50", "caffe_senet", {"conv1/7x7_s2/bn.running_var": (64,)}),
    ("legacy_senet154", "caffe_senet", {"conv1_3/3x3.weight": (128, 64, 3, 3)}),
    ("ecaresnet50", "ecanet", {"layer2.0.eca.conv.weight": (1, 1, 5)}),
    ("res2net50_26w_4s", "res2net", {"layer2.0.bns.0.weight": (52,)}),
    ("scnet50", "scnet", {"layer2.0.conv1_a.weight": (64, 256, 1, 1), "layer2.0.k1.1.bias": (64,)}),
    ("shufflenet_v1_g3_x1_0", "megvii", {"features.1.branch_main_1.3.weight": (60, 1, 3, 3)}),
    ("resnet20_cifar", "kuangliu", {"layer2.0.bn1.bias": (32,), "linear.weight": (10, 64)}),
    ("ran92", "caffe_ran", {"AttentionB_2/mask/linear_1/bn.weight": (512,)}),
    ("sknet101", "caffe_sknet", {"conv4_23/B_fc2.weight": (1024, 32, 1, 1)}),
    ("cbam_resnet18", "attention_module", {"layer4.1.cbam.ChannelGate.mlp.3.bias": (512,)}),
    ("bam_resnet50", "attention_module", {"bam3.channel_att.gate_c.gate_c_bn_1.bias": (64,)}),
    ("fcaresnet34", "fcanet", {"layer2.0.att.fc.2.weight": (128, 8)}),
    ("ssaresnet50", "salientnet", {"layer1.0.Salient.bn.weight": (1,)}),
]


@pytest.mark.parametrize(("name", "dialect", "expected"), NAMES)
def test_names_and_shapes(name: str, dialect: str, expected: dict[str, tuple[int, ...]]) -> None:
    theirs = export_state_dict(create_model(name, device="meta"), dialect)
    assert {key: tuple(theirs[key].shape) for key in expected} == expected


SMALL: dict[str, Any] = dict(layers=(1, 2, 2, 1), widths=(16, 32, 64, 128), num_classes=5)
TRAVELLERS: list[tuple[str, dict[str, Any]]] = [
    ("resnet50", SMALL),
    ("resnet50d", SMALL),
    ("seresnet50", SMALL),
    ("ecaresnet50", SMALL),
    ("legacy_senet154", SMALL | {"groups": 2, "base_width": 64}),
    ("sknet50", SMALL | {"groups": 2}),
    ("res2net50_26w_4s", SMALL),
    ("resnest50", SMALL),
    ("scnet50", SMALL),
    ("salientresnet50", SMALL),
    ("ssaresnet50", SMALL),
    ("cbam_resnet50", SMALL),
    ("bam_resnet50", SMALL),
    ("fcaresnet50", SMALL),
    ("triplet_resnet50", SMALL),
    ("gcnet_resnet50", SMALL),
    ("regnety_002", {"num_classes": 5}),
    ("shufflenet_v2_x0_5", {"num_classes": 5}),
    ("shufflenet_v2_x0_5_megvii", {"num_classes": 5}),
    ("shufflenet_v1_g3_x0_25", {"num_classes": 5}),
    ("shufflenet_v1_g3_x0_25", {"shuffle_order": "paper"}),
    ("resnet20_cifar", {}),
]


@pytest.mark.parametrize(("name", "changes"), TRAVELLERS)
def test_there_and_back_in_every_dialect(name: str, changes: dict[str, Any]) -> None:
    model = create_model(name, **changes)
    generator = torch.Generator().manual_seed(0)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator))
        else:
            tensor.fill_(7)
    able = []
    for dialect in DIALECTS:
        if dialect == "megvii":  # whose classifier has no bias
            torch.nn.init.zeros_(model.head.fc.bias)
        try:
            theirs = export_state_dict(model, dialect)
        except ValueError:
            continue
        able.append(dialect)
        again = build(model.config)
        load_checkpoint(again, theirs, dialect=dialect)
        for key, tensor in model.state_dict().items():
            if "num_batches" not in key or DIALECTS[dialect].batch_counts:
                assert torch.equal(again.state_dict()[key], tensor), (dialect, key)
        back = export_state_dict(again, dialect)
        assert back.keys() == theirs.keys()
        assert all(torch.equal(back[key], tensor) for key, tensor in theirs.items())
    assert able
