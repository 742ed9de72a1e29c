"""Random weights travel from a peer to here and back, and give the same outputs on both sides."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytorchcv.model_provider
import timm
import torch
import torchvision
from torch import nn

from resnet_variants import create_model, list_models
from resnet_variants.checkpoints import export_state_dict, load_checkpoint
from resnet_variants.registry import is_model, resolve_name

from .golden import fill

# Names of pytorchcv and what they are here.
PYTORCHCV = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50a",
    "resnet50b": "resnet50",
    "resnet101": "resnet101a",
    "resnet101b": "resnet101",
    "resnet152": "resnet152a",
    "resnet152b": "resnet152",
    "resnet200b": "resnet200",
    "resnetbc26b": "resnet26",
    "resneta18": "resnet18d",
    "resneta50b": "resnet50d",
    "resneta101b": "resnet101d",
    "resneta152b": "resnet152d",
    "resnext50_32x4d": "resnext50_32x4d",
    "resnext101_32x4d": "resnext101_32x4d",
    "resnext101_64x4d": "resnext101_64x4d",
    "seresnet50b": "seresnet50",
    "seresnet101b": "seresnet101",
    "seresnet152b": "seresnet152",
    "seresnext50_32x4d": "seresnext50_32x4d",
    "seresnext101_32x4d": "seresnext101_32x4d",
    "seresnext101_64x4d": "seresnext101_64x4d",
    "senet154": "senet154",
    "resnestabc14": "resnest14",
    "resnestabc26": "resnest26",
    "resnesta50": "resnest50",
    "resnesta101": "resnest101",
    "resnesta200": "resnest200",
    "resnesta269": "resnest269",
    "sknet50": "sknet50",
    "sknet101": "sknet101",
    "scnet50": "scnet50",
    "scnet101": "scnet101",
    "scneta50": "scnet50_v1d",
    "scneta101": "scnet101_v1d",
    "resnext29_32x4d_cifar10": "resnext29_32x4d_cifar",
    "resnext29_16x64d_cifar10": "resnext29_16x64d_cifar",
    "resnext29_32x4d_cifar100": "resnext29_32x4d_cifar100",
    "inceptionresnetv2": "inception_resnet_v2",
    **{
        f"regnet{kind}{size}": f"regnet{kind}_{size}"
        for kind in "xy"
        for size in "002 004 006 008 016 032 040 064 080 120 160 320".split()
    },
    **{
        f"{gate}_resnet{depth}": f"{gate}_resnet{depth}"
        for gate in ("cbam", "bam")
        for depth in (18, 34, 50, 101, 152)
    },
}

# Networks of pytorchcv that are a configuration here, not a name.
V1 = {"shuffle_at": "before", "shuffle_order": "paper", "pool_first": False}
V1_SIZES = {"w1": "x1_0", "w3d4": "x0_75", "wd2": "x0_5", "wd4": "x0_25"}
# The two widest have 1553 and 2153 channels before the classifier, not the paper's 1024 and 2048.
V2_SIZES = {
    "wd2": ("x0_5", {}),
    "w1": ("x1_0", {}),
    "w3d2": ("x1_5", {"head_width": 1553}),
    "w2": ("x2_0", {"head_width": 2153}),
}
CONFIGURED: dict[str, tuple[str, dict[str, Any]]] = {
    **{
        f"shufflenet_g{groups}_{size}": (f"shufflenet_v1_g{groups}_{here}", V1)
        for groups in (1, 2, 3, 4, 8)
        for size, here in V1_SIZES.items()
        if groups in (1, 3) or size == "w1"
    },
    **{
        f"shufflenetv2{form}_{size}": (f"shufflenet_v2_{here}", width | changes)
        for form, changes in {"": {"stem_pool": "max_ceil"}, "b": {"downsample": "keep"}}.items()
        for size, (here, width) in V2_SIZES.items()
    },
    **{
        f"{gate}resnet{depth}_cifar{classes}": (
            f"{gate}resnet{depth}_cifar{'' if classes == '10' else classes}",
            {"shortcut": "conv"},
        )
        for gate in ("", "se")
        for depth in (20, 56, 110)
        for classes in ("10", "100")
    },
    "resnet1202_cifar10": ("resnet1202_cifar", {"shortcut": "conv"}),
    "bninception": ("bn_inception", {"conv_bias": True}),
    "resnet200": ("resnet200", {"stride_in": "conv1"}),
    **{
        f"seresnet{depth}": (f"seresnet{depth}", {"stride_in": "conv1"}) for depth in (50, 101, 152)
    },
    **{
        f"seresnet{depth}": (f"seresnet{depth}", {"attention_args": {"divisor": 1}})
        for depth in (18, 34)
    },
}
CHANGES = {there: changes for there, (_, changes) in CONFIGURED.items()}
PYTORCHCV |= {there: here for there, (here, _) in CONFIGURED.items()}

# One small network for each thing that a dialect must say; the others are under the slow mark.
QUICK = set(
    """
    timm-resnet18 timm-resnet26d timm-resnet50 timm-seresnet18 timm-ecaresnet50d timm-resnest14d
    timm-res2net50_14w_8s timm-res2net50d timm-skresnext50_32x4d timm-legacy_seresnet50
    timm-regnetx_002 timm-regnety_002 timm-inception_resnet_v2
    torchvision-resnet18 torchvision-resnext50_32x4d torchvision-regnet_x_400mf
    torchvision-regnet_y_400mf torchvision-shufflenet_v2_x0_5
    pytorchcv-resnet18 pytorchcv-resnet50 pytorchcv-resneta18 pytorchcv-seresnet50b
    pytorchcv-resnestabc14 pytorchcv-sknet50 pytorchcv-scnet50 pytorchcv-regnetx002
    pytorchcv-regnety002 pytorchcv-resnext29_32x4d_cifar10 pytorchcv-shufflenet_g1_w1
    pytorchcv-shufflenet_g3_w1 pytorchcv-shufflenetv2_wd2
    pytorchcv-seresnet50 pytorchcv-seresnet18 pytorchcv-bninception
    pytorchcv-resnet20_cifar10 pytorchcv-seresnet20_cifar10 pytorchcv-shufflenetv2b_w1
    pytorchcv-resnet56_cifar10 pytorchcv-resnet110_cifar10 pytorchcv-cbam_resnet18
    pytorchcv-bam_resnet18
    """.split()
)


def _timm(name: str) -> nn.Module:
    with torch.device("meta"):  # its initialisation takes longer than all the rest
        model = timm.create_model(name)
    return model.double().to_empty(device="cpu")


def _torchvision(name: str) -> nn.Module:
    return torchvision.models.get_model(name)


def _pytorchcv(name: str) -> nn.Module:
    return pytorchcv.model_provider.get_model(name)


def _pairs() -> Iterator[tuple[Callable[[str], nn.Module], str, str]]:
    for name in timm.list_models():
        own = timm.model_entrypoint(name).__module__.startswith("timm.")  # not of our plug-in
        if own and is_model(name):
            yield _timm, name, resolve_name(name)
    for name in torchvision.models.list_models(module=torchvision.models):
        here = re.sub(r"^(regnet)_([xy])_", r"\1_\2_", name)
        if is_model(here):
            yield _torchvision, name, resolve_name(here)
    for name, here in PYTORCHCV.items():
        yield _pytorchcv, name, here


def _cases() -> list[Any]:
    cases = []
    for make, there, here in _pairs():
        name = f"{make.__name__.strip('_')}-{there}"
        marks = [] if name in QUICK else [pytest.mark.slow]
        cases.append(pytest.param(make, there, here, id=name, marks=marks))
    return cases


@pytest.mark.parametrize(("make", "there", "here"), _cases())
def test_round_trip(make: Callable[[str], nn.Module], there: str, here: str) -> None:
    """Peer, here, peer: bit-identical. Outputs agree in float64 to 1e-9 of their spread."""
    peer = make(there).double().eval()
    theirs = peer.state_dict()
    for name, tensor in theirs.items():
        tensor.copy_(torch.from_numpy(fill.values(name, tensor.shape)))
    changes = CHANGES.get(there, {}) if make is _pytorchcv else {}
    # The largest have 5 GB of weights in this type: here they are not copied.
    model = create_model(here, device="meta", dtype=torch.float64, **changes)
    model = model.to_empty(device="cpu").eval()
    report = load_checkpoint(model, theirs)
    assert report.loaded == len(model.state_dict())
    back = export_state_dict(model, report.dialect)
    assert back.keys() == theirs.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in theirs.items())

    # pytorchcv's heads pool 7x7, or 8x8
    native = 32 if "cifar" in here else 299 if "inception_resnet" in here else 224
    size = min(native, 96) if make is not _pytorchcv else native
    image = fill.image((1, 3, size, size))
    with torch.inference_mode():
        ours, expected = model(image), peer(image)
    assert (ours - expected).abs().max() <= 1e-9 * expected.std()


def test_tables_name_models_that_exist() -> None:
    """The tables above have no name that is not there."""
    assert set(PYTORCHCV.values()) <= set(list_models())
    assert {case.id for case in _cases()} >= QUICK
