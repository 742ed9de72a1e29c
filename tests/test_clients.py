"""Others' tools, each really used on a network of each kind: ``make clients``.

Left out, since they fail today: FullGrad on bottlenecks, whose layers run in another order than
they are registered in; Torch-Pruning on Res2Net, whose splits have fixed widths; captum's LRP,
which has no rule for ``nn.Identity``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import torch
from torch import nn

from resnet_variants import profile

from .families import small

pytestmark = pytest.mark.clients

KINDS = (
    "ResNet", "SE-ResNet", "SSANet", "SK-Net", "Res2Net", "ResNeSt", "SCNet", "RegNetY",
    "ShuffleNetV1", "ShuffleNetV2", "RAN", "BN-Inception", "Inception-ResNet",
)  # fmt: skip
each_kind = pytest.mark.parametrize("family", KINDS)


def images(size: int = 96) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


@each_kind
def test_thop_counts_what_profile_counts(family: str) -> None:
    thop = import_module("thop")
    model = small(family).eval()
    convs = sum(p.numel() for m in model.modules() if isinstance(m, nn.Conv2d) for p in [m.weight])
    _, params = thop.profile(model, (images(),), verbose=False)
    assert params >= convs  # it looks for nn.Conv2d by exact type


@each_kind
def test_fvcore_counts_the_macs(family: str) -> None:
    analysis = import_module("fvcore.nn").FlopCountAnalysis(small(family).eval(), (images()[:1],))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    counted = analysis.by_operator()
    found = sum(counted[op] for op in ("conv", "linear", "matmul", "bmm", "addmm"))
    expected = profile(small(family), input_size=96).macs
    assert found == pytest.approx(expected, rel=0.01)


@each_kind
def test_torchinfo_counts_the_parameters(family: str) -> None:
    model = small(family).eval()
    found = import_module("torchinfo").summary(model, input_data=images(), verbose=0)
    assert found.total_params == sum(p.numel() for p in model.parameters())


@each_kind
def test_captum_integrated_gradients(family: str) -> None:
    captum = import_module("captum.attr")
    model = small(family).eval()
    found = captum.IntegratedGradients(model).attribute(images(), target=1, n_steps=4)
    assert found.shape == images().shape and found.isfinite().all()


@pytest.mark.parametrize("family", ["ResNet", "SE-ResNet", "ShuffleNetV2"])
def test_fullgrad(family: str) -> None:
    cam: Any = import_module("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model = small(family).eval()
    with cam.FullGrad(model=model, target_layers=[]) as method:
        assert method(images(), targets=[ClassifierOutputTarget(1)] * 2).shape == (2, 96, 96)


@each_kind
def test_opacus_takes_it_with_group_normalisation(family: str) -> None:
    opacus = import_module("opacus")
    model = small(family, norm_layer="groupnorm").train()
    assert opacus.validators.ModuleValidator.validate(model, strict=False) == []
    private = opacus.GradSampleModule(model)
    private(images()).sum().backward()
    for name, weight in private.named_parameters():
        assert weight.grad_sample.shape == (2, *weight.shape), name


@pytest.mark.parametrize("family", ["ResNet", "ResNeXt", "RegNetY", "SE-ResNet"])
def test_torch_pruning_halves_the_channels(family: str) -> None:
    pruning = import_module("torch_pruning")
    model = small(family).eval()
    before = sum(p.numel() for p in model.parameters())
    pruner = pruning.pruner.MagnitudePruner(
        model, images(), pruning.importance.MagnitudeImportance(), pruning_ratio=0.5,
        ignored_layers=[model.head.fc],
    )  # fmt: skip
    pruner.step()
    assert model(images()).shape == (2, 10)
    assert sum(p.numel() for p in model.parameters()) < 0.5 * before


@pytest.mark.parametrize("name", ["ssaresnet18", "scnet50"])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_segmentation_models(name: str, output_stride: int) -> None:
    smp = import_module("segmentation_models_pytorch")
    import resnet_variants.timm_plugin  # noqa: F401

    model = smp.DeepLabV3Plus(
        f"tu-{name}", encoder_weights=None, encoder_output_stride=output_stride, classes=3
    ).eval()
    assert model(images(128)).shape == (2, 3, 128, 128)
    assert smp.Unet(f"tu-{name}", encoder_weights=None, classes=3).eval()(images(128)).shape[1] == 3
