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

from ..deploy import BACKENDS, float32_as, optimize_for_inference
from ..network import Network
from ..registry import resolve_name

PEERS = ("timm", "torchvision", "pytorchcv")
EAGER = ("eager", "channels_last")
INT8 = ("int8-onnxruntime", "int8-openvino")
BFLOAT16 = ("bfloat16-torch", "bfloat16-openvino")
DEPLOYED = (
    *EAGER,
    *(name for name in BACKENDS if "cpu" in BACKENDS[name].devices),
    *BFLOAT16,
    *INT8,
)
ON_GPU = tuple(
    f"{precision}-{name}"
    for name in BACKENDS
    if "cuda" in BACKENDS[name].devices
    for precision in BACKENDS[name].precisions
)
# Of training and of accelerators: settings, of which a way can join several with +
SETTINGS = (*EAGER, "bfloat16", "inductor")
ACCELERATOR_SETTINGS = ("tf32", "cudagraphs")
TRAINING_SETTINGS = ("checkpointing",)

Run = Callable[[], Any]


def known_ways(device: str, train: bool) -> tuple[str, ...]:
    """The ways of inference on a CPU, or the settings of others."""
    cpu = torch.device(device).type == "cpu"
    if cpu and not train:
        return DEPLOYED
    return (
        *SETTINGS,
        *(() if cpu else ACCELERATOR_SETTINGS),
        *(() if cpu or train else ON_GPU),
        *(TRAINING_SETTINGS if train else ()),
    )


def make_way(way: str, model: Network, images: Tensor) -> Run:
    """Inference by one of the known ways; the network itself stays as it is."""
    if way in ON_GPU:
        precision, _, backend = way.partition("-")
        deployed = optimize_for_inference(model, images, backend, precision=precision, rounds=1)
        return partial(deployed, images)
    if images.device.type != "cpu":
        return _with_settings(way, model, images, _infer)
    if way == "eager":
        return partial(model, images)
    if way == "channels_last":
        return partial(_channels_last(model), images.contiguous(memory_format=torch.channels_last))
    if way in INT8:
        return partial(_int8(way.removeprefix("int8-"), model, images), images)
    precision = "bfloat16" if way in BFLOAT16 else "float32"
    backend = way.removeprefix("bfloat16-")
    deployed = optimize_for_inference(model, images, backend, precision=precision, rounds=1)
    return partial(deployed, images)


def make_step(way: str, model: nn.Module, images: Tensor) -> Run:
    """A training step by one of the known ways: forward, backward, SGD with momentum."""
    return _with_settings(way, copy.deepcopy(model).train(), images, _train)


def _with_settings(
    way: str, model: nn.Module, images: Tensor, make: Callable[[nn.Module, Run], Run]
) -> Run:
    """What ``make`` makes of the network and of its forward pass, under the settings of a way."""
    settings = way.split("+")
    if "channels_last" in settings:
        model = _channels_last(model)
        images = images.contiguous(memory_format=torch.channels_last)
    if "checkpointing" in settings:
        assert isinstance(model, Network)
        model.set_grad_checkpointing()
    call: Callable[..., Any] = model
    if "cudagraphs" in settings:
        call = torch.compile(model, mode="reduce-overhead")
    elif "inductor" in settings:
        call = torch.compile(model)
    kind, bfloat16 = images.device.type, "bfloat16" in settings

    def forward() -> Any:
        with torch.autocast(kind, torch.bfloat16, enabled=bfloat16):
            return call(images)

    run = make(model, forward)

    def under_settings() -> Any:
        with float32_as("tf32" if "tf32" in settings else "ieee"):
            return run()

    return under_settings


def _infer(model: nn.Module, forward: Run) -> Run:
    return forward


def _train(model: nn.Module, forward: Run) -> Run:
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9)

    def step() -> None:
        with torch.enable_grad():
            outputs = forward()
            # Some peers give their auxiliary classifier's outputs, too.
            logits = outputs if isinstance(outputs, Tensor) else outputs[0]
            labels = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
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

        # With our plug-in imported timm knows our networks, too: those are no peers.
        theirs = timm.is_model(known) and timm.model_entrypoint(known).__module__.startswith(
            "timm."
        )
        return timm.create_model(known).eval() if theirs else None
    if peer == "torchvision":
        import torchvision

        if known not in torchvision.models.list_models(module=torchvision.models):
            return None
        model: nn.Module = torchvision.models.get_model(known, weights=None)
        return model.eval()
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
