"""Others' tools, each really used on a network of each kind: ``make clients``.

Left out, since they fail today: torchinfo's count of ShuffleNetV2, RAN and Inception-ResNet, whose
``head.final`` it counts twice, since it runs before the rest of the head (a part of
``forward_features``); FullGrad on RAN, which takes layers to run as they are listed, and a mask's
levels go down and up again; Torch-Pruning on Res2Net, whose splits have fixed widths; captum's LRP
behind gates (it has no rule for a sigmoid), in ShuffleNetV2 and in Inception; FX quantisation of
Inception-ResNet (torch: "required rank 4 tensor to use channels_last format").
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
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


def all_kinds_but(*others: str) -> pytest.MarkDecorator:
    assert set(others) <= set(KINDS)
    return pytest.mark.parametrize("family", [each for each in KINDS if each not in others])


each_kind = all_kinds_but()


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


@all_kinds_but("ShuffleNetV2", "RAN", "Inception-ResNet")
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


@pytest.mark.parametrize("family", ["ResNet", "ResNeXt", "RegNetX", "Res2Net"])
def test_captum_layerwise_relevance(family: str) -> None:
    """With a rule for the layers of which captum has none."""
    captum = import_module("captum.attr")
    rules = import_module("captum.attr._utils.lrp_rules")
    model = small(family).eval()
    for module in model.modules():
        if isinstance(module, nn.Identity):
            module.rule = rules.EpsilonRule()
    found = captum.LRP(model).attribute(images(), target=1)
    assert found.shape == images().shape and found.isfinite().all() and found.any()


@all_kinds_but("RAN")
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


@pytest.fixture
def one_process() -> Iterator[None]:
    """A group of one, over gloo."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://localhost:{port}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@each_kind
def test_fsdp2_shards_each_stage(family: str, one_process: None) -> None:
    from torch.distributed.fsdp import fully_shard

    model, twin = small(family).train(), small(family).train()
    for part in (*model.stages, model):
        fully_shard(part)
    torch.testing.assert_close(model(images()), twin(images()))
    model(images()).sum().backward()
    assert all(p.grad is not None and p.grad.full_tensor().isfinite().all()
               for p in model.parameters())  # fmt: skip


@each_kind
def test_a_pipeline_of_two_gives_the_same(family: str) -> None:
    from torch.distributed.pipelining import SplitPoint, pipeline

    model = small(family).eval()
    pipe = pipeline(model, (images(),), split_spec={"stages.1": SplitPoint.BEGINNING})
    assert pipe.num_stages == 2
    torch.testing.assert_close(pipe(images())[0], model(images()))


@each_kind
def test_gradients_of_each_image(family: str) -> None:
    from torch.func import functional_call, grad, vmap

    model = small(family).eval()
    weights = dict(model.named_parameters())

    def loss(weights: dict[str, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
        return functional_call(model, weights, (image[None],)).square().sum()

    found = vmap(grad(loss), (None, 0))(weights, images())
    loss(weights, images()[1]).backward()
    for name, weight in weights.items():
        scale = weight.grad.abs().max()
        torch.testing.assert_close(found[name][1], weight.grad, rtol=1e-3, atol=1e-4 * scale)


@all_kinds_but("Inception-ResNet")
def test_fx_quantisation(family: str) -> None:
    quantise = import_module("torch.ao.quantization.quantize_fx")
    mapping = import_module("torch.ao.quantization").get_default_qconfig_mapping("x86")
    model = small(family).eval()
    prepared = quantise.prepare_fx(model, mapping, (images(),))
    prepared(images())
    int8 = quantise.convert_fx(prepared)
    left = [name for name, each in int8.named_modules() if type(each) in (nn.Conv2d, nn.Linear)]
    assert not left, "all convolutions and the classifier compute in int8"
    error = (int8(images()) - model(images())).norm() / model(images()).norm()
    assert error < 0.5


@pytest.mark.parametrize("family", ["ResNet", "SSANet", "ShuffleNetV2", "ResNeSt"])
def test_lightly_contrasts_two_views(family: str) -> None:
    heads, losses = import_module("lightly.models.modules.heads"), import_module("lightly.loss")
    model = small(family, num_classes=0).train()
    head = heads.SimCLRProjectionHead(model.num_features, 32, 16)
    views = [head(model(x)) for x in (images(), images().flip(-1))]
    losses.NTXentLoss()(*views).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


class _WithLoss(nn.Module):
    """What the Trainer asks for: a loss beside the logits."""

    def __init__(self, family: str) -> None:
        super().__init__()
        self.network = small(family)

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.network(pixel_values)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def test_trainer_of_transformers(tmp_path: Path) -> None:
    transformers = import_module("transformers")
    data = [{"pixel_values": image, "labels": i} for i, image in enumerate(images())]
    arguments = transformers.TrainingArguments(
        str(tmp_path), per_device_train_batch_size=2, max_steps=8, learning_rate=1e-3,
        report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    model = _WithLoss("ResNet")
    transformers.Trainer(model, arguments, train_dataset=data).train()
    after = model.eval()(images(), torch.tensor([0, 1]))["logits"]
    assert after.argmax(1).tolist() == [0, 1]


def test_torchvision_detects_on_our_levels() -> None:
    from torchvision.models.detection import RetinaNet

    from resnet_variants.detection import FeaturePyramid

    pyramid = FeaturePyramid("ssaresnet18", out_channels=16, frozen_stages=0)
    generator = import_module("torchvision.models.detection.anchor_utils").AnchorGenerator(
        ((32,),) * 5, ((1.0,),) * 5
    )
    model = RetinaNet(
        pyramid, 3, anchor_generator=generator, min_size=96, max_size=96,
        image_mean=[0.0] * 3, image_std=[1.0] * 3,
    )  # fmt: skip
    box = {"boxes": torch.tensor([[8.0, 8.0, 60.0, 60.0]]), "labels": torch.tensor([1])}
    sum(model(list(images()), [box, box]).values()).backward()
    assert all(p.grad is not None for p in pyramid.parameters() if p.requires_grad)
