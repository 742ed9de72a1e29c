"""A deployed network gives the network's outputs, at any batch and size, and leaves it alone."""

import pytest
import torch

from resnet_variants import create_model
from resnet_variants.deploy import BACKENDS, DeployReport, optimize_for_inference, pack

from .families import each_family, small


def _ready(family: str, **changes: object) -> torch.nn.Module:
    """A representative in eval mode whose statistics are not the identity."""
    model = small(family, **changes).eval()
    generator = torch.Generator().manual_seed(0)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1, generator=generator)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5, generator=generator)
    return model


def _close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return bool((found - expected).abs().max() <= 1e-4 * expected.abs().max())


@each_family
@pytest.mark.parametrize("channels_last", [True, False])
def test_packed_networks_agree(family: str, channels_last: bool) -> None:
    model = _ready(family)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    packed = pack(model, torch.randn(1, 3, 64, 64), channels_last=channels_last)
    with torch.inference_mode():
        for shape in ((1, 3, 64, 64), (3, 3, 48, 71)):
            images = torch.randn(shape)
            assert _close(packed(images), model(images))
    after = model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


@pytest.mark.parametrize(
    "changes",
    [
        {"attention": "se"},
        {"attention": "eca", "attention_at": "pre"},
        {"shortcut": "avg", "stem": "deep"},
        {"act_layer": "silu"},
        {"norm_layer": "groupnorm"},
        {"features_only": True, "out_indices": (4, 1)},
        {"dtype": torch.float64},
    ],
    ids=lambda changes: "-".join(map(str, changes)),
)
def test_other_parts(changes: dict[str, object]) -> None:
    torch.manual_seed(0)
    model = create_model("resnet26", widths=(16, 16, 32, 32), stem_width=16, **changes).eval()
    images = torch.randn(2, 3, 64, 96, dtype=next(model.parameters()).dtype)
    packed = pack(model, images)
    with torch.inference_mode():
        found, expected = packed(images), model(images)
    for a, b in zip(found, expected, strict=True) if model.out_indices else [(found, expected)]:
        assert a.dtype == b.dtype
        assert _close(a, b)


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_report(backend: str) -> None:
    model = create_model("resnet20_cifar", layers=(1, 1, 1)).eval()
    deployed = optimize_for_inference(model, torch.randn(2, 3, 32, 32), backend, rounds=1)
    report = deployed.report
    assert isinstance(report, DeployReport)
    assert report.backend == backend
    assert f"{backend} {report.layout}" in report.tried
    assert report.max_difference < 1e-4
    assert report.speedup > 0
    assert not report.keeps_memory
    images = torch.randn(5, 3, 40, 33)
    with torch.inference_mode():
        assert _close(deployed(images), model(images))


def test_auto_measures_what_is_installed() -> None:
    model = create_model("resnet20_cifar", layers=(1, 1, 1)).eval()
    report = optimize_for_inference(model, torch.randn(2, 3, 32, 32), rounds=1).report
    assert {name.split()[0] for name in report.tried} >= {"torch", "onnxruntime"}
    assert report.speedup == max(report.tried.values())


def test_refused() -> None:
    model = create_model("resnet20_cifar", layers=(1, 1, 1))
    images = torch.randn(2, 3, 32, 32)
    with pytest.raises(ValueError, match="call model.eval"):
        optimize_for_inference(model, images)
    with pytest.raises(ValueError, match="Did you mean 'torch'"):
        optimize_for_inference(model.eval(), images, "torhc")
    with pytest.raises(ValueError, match="rounds"):
        optimize_for_inference(model, images, rounds=0)
    with pytest.raises(ValueError, match="example is on meta"):
        optimize_for_inference(model, images.to("meta"))
    assert "inductor" in BACKENDS
