"""The ways of running a network that the benchmark sets side by side."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..deploy import BACKENDS, PRECISIONS, float32_as, optimize_for_inference
from ..deploy.backends.inductor import with_frozen_weights
from ..deploy.devices import DEVICES
from ..network import Network
from ..registry import resolve_name

PEERS = ("timm", "torchvision", "pytorchcv")
EAGER = ("eager", "channels_last")


def _deployed(device: str) -> tuple[str, ...]:
    """The ways of ``optimize_for_inference``: PRECISION-BACKEND; on a CPU the back end alone is
    its float32."""
    return tuple(
        name if (device, precision) == ("cpu", "float32") else f"{precision}-{name}"
        for name in BACKENDS
        if device in BACKENDS[name].devices
        for precision in BACKENDS[name].precisions
        if precision in DEVICES[device]
    )


ON_CPU, ON_GPU = (*EAGER, *_deployed("cpu")), _deployed("cuda")
# Settings of a plain network, of which a way can join several with +: of training, of
# accelerators, of peers
SETTINGS = (*EAGER, "bfloat16", "inductor")
ACCELERATOR_SETTINGS = ("tf32", "cudagraphs")
TRAINING_SETTINGS = ("checkpointing",)
INFERENCE_SETTINGS = ("float16",)
COMPILED = ("inductor", "cudagraphs")

Run = Callable[[], Any]


def settings_of(device: str, train: bool) -> tuple[str, ...]:
    """Those of a plain network."""
    return (
        *SETTINGS,
        *(() if torch.device(device).type == "cpu" else ACCELERATOR_SETTINGS),
        *(TRAINING_SETTINGS if train else INFERENCE_SETTINGS),
    )


def known_ways(device: str, train: bool) -> tuple[str, ...]:
    """The ways of inference on a CPU, or the settings of others."""
    cpu = torch.device(device).type == "cpu"
    if cpu and not train:
        return ON_CPU
    return (*settings_of(device, train), *(() if cpu or train else ON_GPU))


def precision_of(way: str) -> str:
    """What a way, ours or a peer's, computes in."""
    parts = {*way.split("+"), way.partition("-")[0]}
    return next((each for each in PRECISIONS if each in parts), "float32")


def ways_in(precision: str, device: str) -> tuple[str, ...]:
    """What is installed of the back ends that ``auto`` tries in a precision."""
    names = (each for each in (ON_CPU if device == "cpu" else ON_GPU) if each not in EAGER)
    found = ((name, BACKENDS[name.rpartition("-")[2]]) for name in names)
    return tuple(
        name
        for name, backend in found
        if precision_of(name) == precision and backend.automatic and backend.installed()
    )


def peers_in(precision: str, peers: Iterable[str], device: str) -> tuple[str, ...]:
    """Each peer eager and compiled in a precision; nothing for int8, which they do not offer."""
    if precision == "int8":
        return ()
    settings = [precision] if precision != "float32" else []
    layout = ["channels_last"] if precision in ("float16", "bfloat16") else []
    compiled = "inductor" if device == "cpu" else "cudagraphs"
    return tuple(
        "+".join((peer, *layout, *settings, *more)) for peer in peers for more in ((), (compiled,))
    )


def make_way(way: str, model: Network, images: Tensor) -> Run:
    """Inference by one of the known ways; the network itself stays as it is."""
    if way in EAGER or (way not in ON_CPU and way not in ON_GPU):
        return make_plain(way, model, images)
    precision, _, backend = way.rpartition("-")
    deployed = optimize_for_inference(
        model,
        images,
        backend,
        precision=precision or "float32",
        calibration=images if precision == "int8" else None,
        rounds=1,
    )
    return partial(deployed, images)


def make_plain(settings: str, model: nn.Module, images: Tensor) -> Run:
    """Inference by a plain network under settings."""
    return _with_settings(settings, copy.deepcopy(model), images, _infer)


def make_step(way: str, model: nn.Module, images: Tensor) -> Run:
    """A training step by one of the known ways: forward, backward, SGD with momentum."""
    return _with_settings(way, copy.deepcopy(model).train(), images, _train)


def _with_settings(
    way: str, model: nn.Module, images: Tensor, make: Callable[[nn.Module, Run], Run]
) -> Run:
    """What ``make`` makes of the network and of its forward pass, under the settings of a way.

    For inference a network in half precision has its weights in it; training has autocast.
    """
    settings, kind, train = way.split("+"), images.device.type, make is _train
    half = next((each for each in ("float16", "bfloat16") if each in settings), None)
    if half and not train:
        model, images = model.to(getattr(torch, half)), images.to(getattr(torch, half))
    if "channels_last" in settings:
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    if "checkpointing" in settings:
        assert isinstance(model, Network)
        model.set_grad_checkpointing()
    call: Callable[..., Any] = model
    if "cudagraphs" in settings:
        call = torch.compile(model, mode="reduce-overhead")
    elif "inductor" in settings:
        call = torch.compile(model)
        if kind == "cpu" and not train:
            call = with_frozen_weights(call)

    def forward() -> Any:
        with torch.autocast(kind, torch.bfloat16, enabled=bool(half and train)):
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
