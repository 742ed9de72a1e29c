"""Files as the authors of gates write them: the networks said again in their layout, with their
names, saved as they save them, read here; both give the same outputs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

from resnet_variants import create_model, export_state_dict, load_checkpoint

from .golden import fill

SMALL: dict[str, Any] = dict(layers=(1, 1, 1, 1), num_classes=5)


class _Named(nn.Module):
    """Modules by the names that the authors give them."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


def _layers(**modules: nn.Module) -> nn.Sequential:
    made = nn.Sequential()
    for name, module in modules.items():
        made.add_module(name, module)
    return made


def _map() -> _Named:
    """What CBAM and triplet attention make of the maximum and the mean of an axis."""
    conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
    return _Named(spatial=_layers(conv=conv, bn=nn.BatchNorm2d(1)))


def _weights(gate: Any, x: Tensor, axis: int) -> Tensor:
    x = x.transpose(1, axis)
    pooled = torch.cat((x.max(1, keepdim=True)[0], x.mean(1, keepdim=True)), 1)
    return gate.spatial(pooled).sigmoid().transpose(1, axis)


class _CBAM(_Named):
    def __init__(self, width: int) -> None:
        down, up = nn.Linear(width, width // 16), nn.Linear(width // 16, width)
        mlp = nn.Sequential(nn.Flatten(), down, nn.ReLU(), up)
        super().__init__(ChannelGate=_Named(mlp=mlp), SpatialGate=_map())

    def forward(self, x: Tensor) -> Tensor:
        mlp: Any = self.ChannelGate.mlp
        x = x * (mlp(x.mean((2, 3))) + mlp(x.amax((2, 3)))).sigmoid()[:, :, None, None]
        return x * _weights(self.SpatialGate, x, 1)


class _Triplet(_Named):
    def __init__(self, width: int) -> None:
        super().__init__(ChannelGateH=_map(), ChannelGateW=_map(), SpatialGate=_map())

    def forward(self, x: Tensor) -> Tensor:
        gates = ((self.ChannelGateH, 2), (self.ChannelGateW, 3), (self.SpatialGate, 1))
        return sum(x * _weights(gate, x, axis) for gate, axis in gates) / 3  # type: ignore[return-value]


class _FCA(_Named):
    def __init__(self, width: int) -> None:
        side = 7 * 2048 // width
        rows = (0, 0, 6, 0, 0, 1, 1, 4, 5, 1, 3, 0, 0, 0, 3, 2)
        columns = (0, 1, 0, 5, 2, 0, 2, 0, 0, 6, 0, 4, 6, 3, 5, 2)
        at = (torch.arange(side, dtype=torch.float64) + 0.5) * math.pi / side

        def line(frequency: int) -> Tensor:
            return (at * frequency * (side // 7)).cos() * math.sqrt((2 if frequency else 1) / side)

        maps = [torch.outer(line(u), line(v)) for u, v in zip(rows, columns, strict=True)]
        layer = nn.Module()
        layer.register_buffer("weight", torch.stack(maps).repeat_interleave(width // 16, 0))
        down = nn.Linear(width, width // 16, bias=False)
        up = nn.Linear(width // 16, width, bias=False)
        super().__init__(dct_layer=layer, fc=nn.Sequential(down, nn.ReLU(), up, nn.Sigmoid()))
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        pooled = nn.functional.adaptive_avg_pool2d(x, self.side)
        return x * self.fc((pooled * self.dct_layer.weight).sum((2, 3)))[:, :, None, None]


class _BAM(_Named):
    def __init__(self, width: int) -> None:
        hidden = width // 16
        channels = _layers(
            flatten=nn.Flatten(),
            gate_c_fc_0=nn.Linear(width, hidden),
            gate_c_bn_1=nn.BatchNorm1d(hidden),
            gate_c_relu_1=nn.ReLU(),
            gate_c_fc_final=nn.Linear(hidden, width),
        )
        dilated = {
            name: module
            for i in range(2)
            for name, module in {
                f"gate_s_conv_di_{i}": nn.Conv2d(hidden, hidden, 3, padding=4, dilation=4),
                f"gate_s_bn_di_{i}": nn.BatchNorm2d(hidden),
                f"gate_s_relu_di_{i}": nn.ReLU(),
            }.items()
        }
        places = _layers(
            gate_s_conv_reduce0=nn.Conv2d(width, hidden, 1),
            gate_s_bn_reduce0=nn.BatchNorm2d(hidden),
            gate_s_relu_reduce0=nn.ReLU(),
            **dilated,
            gate_s_conv_final=nn.Conv2d(hidden, 1, 1),
        )
        super().__init__(channel_att=_Named(gate_c=channels), spatial_att=_Named(gate_s=places))

    def forward(self, x: Tensor) -> Tensor:
        channels = self.channel_att.gate_c(x.mean((2, 3)))[:, :, None, None]
        return x * (1 + (channels * self.spatial_att.gate_s(x)).sigmoid())


def _theirs(name: str, gate: type[nn.Module]) -> nn.Module:
    """torchvision's ResNet with a gate of this name behind the last normalisation of each unit."""

    class Unit(Bottleneck):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.add_module(name, gate(self.bn3.num_features))

        def forward(self, x: Tensor) -> Tensor:
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
            shortcut = x if self.downsample is None else self.downsample(x)
            return self.relu(self.get_submodule(name)(y) + shortcut)

    return ResNet(Unit, [1, 1, 1, 1], num_classes=5)


class _BAMNet(ResNet):
    def __init__(self) -> None:
        super().__init__(Bottleneck, [1, 1, 1, 1], num_classes=5)
        self.bam1, self.bam2, self.bam3 = _BAM(256), _BAM(512), _BAM(1024)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.bam2(self.layer2(self.bam1(self.layer1(x))))
        x = self.layer4(self.bam3(self.layer3(x)))
        return self.fc(self.avgpool(x).flatten(1))


NETWORKS = {
    "cbam_resnet50": ("attention_module", lambda: _theirs("cbam", _CBAM)),
    "bam_resnet50": ("attention_module", _BAMNet),
    "fcaresnet50": ("fcanet", lambda: _theirs("att", _FCA)),
    "triplet_resnet50": ("triplet", lambda: _theirs("triplet_attention", _Triplet)),
}


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_authors_files_give_their_outputs(name: str, tmp_path: Path) -> None:
    dialect, make = NETWORKS[name]
    theirs = make().double().eval()
    cosines = {key: t for key, t in theirs.state_dict().items() if "dct_layer" in key}
    shapes = {key: tuple(tensor.shape) for key, tensor in theirs.state_dict().items()}
    theirs.load_state_dict(fill.state_dict(shapes) | cosines)
    path = tmp_path / "theirs.pth"
    state = {f"module.{key}": tensor for key, tensor in theirs.state_dict().items()}
    torch.save({"epoch": 90, "state_dict": state}, path)

    model = create_model(name, **SMALL).double().eval()
    report = load_checkpoint(model, path)
    assert report.dialect == dialect
    images = torch.randn(2, 3, 96, 64, dtype=torch.float64)
    expected = theirs(images)
    assert (model(images) - expected).abs().max() <= 1e-10 * expected.abs().max()
    again = export_state_dict(model, dialect)
    assert again.keys() | cosines.keys() == theirs.state_dict().keys()
    assert all(torch.equal(again[key], theirs.state_dict()[key]) for key in again)


def test_global_context_of_a_backbone(tmp_path: Path) -> None:
    """OpenMMLab's ResNets for detectors have it in the last three stages."""
    args = SMALL | {"attention": (None, "gc", "gc", "gc"), "num_classes": 0}
    source = create_model("resnet50", **args)
    theirs = export_state_dict(source, "mmpretrain")
    block = "backbone.layer2.0.context_block"
    assert theirs[f"{block}.conv_mask.weight"].shape == (1, 512, 1, 1)
    assert theirs[f"{block}.channel_add_conv.0.weight"].shape == (32, 512, 1, 1)
    assert theirs[f"{block}.channel_add_conv.1.bias"].shape == (32, 1, 1)
    assert theirs[f"{block}.channel_add_conv.3.weight"].shape == (512, 32, 1, 1)
    assert not any("layer1" in key and "context_block" in key for key in theirs)
    path = tmp_path / "backbone.pth"
    torch.save({"state_dict": theirs}, path)
    model = create_model("resnet50", **args)
    assert load_checkpoint(model, path).dialect == "mmpretrain"
    own = source.state_dict()
    assert all(torch.equal(tensor, own[key]) for key, tensor in model.state_dict().items())
