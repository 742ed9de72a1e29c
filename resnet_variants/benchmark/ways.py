"""The ways of running a network that the benchmark sets side by side."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..deploy import BACKENDS, optimize_for_inference
from ..network import Network
from ..registry import resolve_name

PEERS = ("timm", "torchvision", "pytorchcv")
EAGER = ("eager", "channels_last")
INT8 = ("int8-onnxruntime", "int8-openvino")
WAYS = (*EAGER, *BACKENDS, *INT8)
TRAINING_WAYS = (*EAGER, "bfloat16", "checkpointing", "inductor")

Run = Callable[[], Any]


def make_way(way: str, model: Network, images: Tensor) -> Run:
    """Inference by one of ``WAYS``; the network itself stays as it is."""
    if way == "eager":
        return partial(model, images)
    if way == "channels_last":
        return partial(_channels_last(model), images.contiguous(memory_format=torch.channels_last))
    if way in INT8:
        return partial(_int8(way.removeprefix("int8-"), model, images), images)
    return partial(optimize_for_inference(model, images, way, rounds=1), images)


def make_step(way: str, model: nn.Module, images: Tensor) -> Run:
    """A training step by one of ``TRAINING_WAYS``: forward, backward, SGD with momentum."""
    model = copy.deepcopy(model).train()
    if way == "channels_last":
        model = _channels_last(model)
        images = images.contiguous(memory_format=torch.channels_last)
    elif way == "checkpointing":
        assert isinstance(model, Network)
        model.set_grad_checkpointing()
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9)
    forward = torch.compile(model) if way == "inductor" else model
    labels = torch.zeros(len(images), dtype=torch.long)

    def step() -> None:
        with torch.enable_grad():
            with torch.autocast("cpu", torch.bfloat16, enabled=way == "bfloat16"):
                outputs = forward(images)
            # Some peers give their auxiliary classifier's outputs, too.
            logits = outputs if isinstance(outputs, Tensor) else outputs[0]
            F.cross_entropy(logits.float(), labels).backward()
            optimizer.step()
            optimizer.zero_grad()

    return step


def _channels_last(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).to(memory_format=torch.channels_last)


def _int8(backend: str, model: Network, images: Tensor) -> Callable[[Tensor], Tensor]:
    """Static int8 whose ranges are those of the images that are timed."""
    from ..export import FORMATS
    from ..quantize import quantize

    form = FORMATS["onnx" if backend == "onnxruntime" else backend]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"int8{form.suffix}"
        quantize(model, images, path)
        load = form.load(path)
    return lambda x: load(x.contiguous())[0]


def peer_network(peer: str, name: str) -> nn.Module | None:
    """The same network in another library, or None where that has none of this name."""
    name = resolve_name(name)
    known = _PEER_NAMES.get((peer, name), name)
    if peer == "timm":
        import timm

        return timm.create_model(known).eval() if timm.is_model(known) else None
    if peer == "torchvision":
        import torchvision

        if known not in torchvision.models.list_models():
            return None
        return torchvision.models.get_model(known, weights=None).eval()
    from pytorchcv.model_provider import get_model

    return get_model(known).eval() if (peer, name) in _PEER_NAMES else None


def share_weights(model: Network, peer: str, net: nn.Module) -> bool:
    """Give the peer's network our weights, where the bridge knows its names: then their outputs
    can be compared."""
    from ..checkpoints import export_state_dict
    from ..checkpoints.errors import CheckpointError, UnknownDialectError

    try:
        state = export_state_dict(model, peer)
        # Counters that other libraries keep beside the weights are no weights.
        missing = net.load_state_dict(state, strict=False)
    except (
        UnknownDialectError,
        CheckpointError,
        RuntimeError,
    ):  # other names, other shapes: another network
        return False
    left = [key for key in missing.missing_keys if not key.endswith("num_batches_tracked")]
    return not left and not missing.unexpected_keys


_PEER_NAMES = {
    ("timm", "sknet50"): "skresnext50_32x4d",
    ("timm", "resnest50"): "resnest50d",
    ("timm", "res2net50_v1b"): "res2net50d",
    ("torchvision", "regnetx_032"): "regnet_x_3_2gf",
    ("torchvision", "regnety_032"): "regnet_y_3_2gf",
    ("pytorchcv", "resnet50"): "resnet50b",
    ("pytorchcv", "resnet50a"): "resnet50",
    ("pytorchcv", "resnext50_32x4d"): "resnext50_32x4d",
    ("pytorchcv", "scnet50"): "scnet50",
    ("pytorchcv", "ran56"): "resattnet56",
    ("pytorchcv", "shufflenet_v1_g3_x1_0"): "shufflenet_g3_w1",
    ("pytorchcv", "shufflenet_v2_x1_0"): "shufflenetv2_w1",
    ("pytorchcv", "bn_inception"): "bninception",
}
