"""int8 networks stay near the float ones, on crops of photographs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

from resnet_variants import Network
from resnet_variants.quantize import quantize

from .families import CLASSES, each_kind, small


@cache
def crops(count: int = 20, size: int = 76) -> Tensor:
    """Crops of two photographs, normalised."""
    photographs = torch.stack([torch.tensor(each) for each in load_sample_images().images])
    photographs = photographs.permute(0, 3, 1, 2).float()
    generator = torch.Generator().manual_seed(0)
    out = []
    for i in range(count):
        y, x = (int(torch.randint(0, side - size, (), generator=generator)) for side in (427, 640))
        out.append(photographs[i % 2, :, y : y + size, x : x + size])
    stacked = torch.stack(out)
    return (stacked - stacked.mean()) / stacked.std()


def trained(model: Network) -> Network:
    """A network that tells some of the crops apart: random logits have no top-1 to speak of."""
    model.train()
    optimiser = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
    labels = torch.arange(len(crops())) % CLASSES
    for _ in range(8):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(crops()), labels).backward()
        optimiser.step()
    with torch.no_grad():
        for _ in range(8):  # statistics of the weights as they are now
            model(crops())
    return model


@pytest.mark.slow
@pytest.mark.ability("int8, onnxruntime")
@each_kind
def test_onnx(family: str, tmp_path: Path) -> None:
    done = quantize(trained(small(family)), crops(), tmp_path / "int8.onnx")
    assert done.sqnr > 10 and done.agreement >= 0.8
    assert done.bytes < done.float_bytes  # half of it only where the weights outweigh the graph


@pytest.mark.slow
def test_openvino(tmp_path: Path) -> None:
    done = quantize(trained(small("ResNet")), crops(), tmp_path / "int8.xml")
    assert done.sqnr > 10 and done.agreement >= 0.8
    assert done.bytes < 0.5 * done.float_bytes


def test_report(tmp_path: Path) -> None:
    model = trained(small("CIFAR ResNet"))
    done = quantize(model, [crops()[:6], crops()[6:8]], tmp_path / "int8.onnx", images=crops())
    assert model.training, "the mode comes back"
    assert done.sqnr > 15 and done.agreement >= 0.8 and done.path.exists()
    assert done.seconds > 0 and "dB" in str(done)


def test_what_cannot_be_quantised(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'int8.pt' ends in neither of .onnx, .xml"):
        quantize(small("CIFAR ResNet"), crops(), tmp_path / "int8.pt")
    with pytest.raises(ValueError, match="with a classifier"):
        quantize(small("CIFAR ResNet", num_classes=0), crops(), tmp_path / "int8.onnx")
    with pytest.raises(ValueError, match="Images of 74x80 are too small.*from 75x75"):
        quantize(small("Inception-ResNet"), torch.zeros(1, 3, 74, 80), tmp_path / "int8.onnx")
    with pytest.raises(TypeError, match="calibration: .*not list"):  # as loaders give them
        quantize(small("CIFAR ResNet"), [[crops(), crops()]], tmp_path / "int8.onnx")
    with pytest.raises(ValueError, match="no image"):
        quantize(small("CIFAR ResNet"), [], tmp_path / "int8.onnx")
