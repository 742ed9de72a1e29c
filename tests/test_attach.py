"""Gates hung on networks of other libraries."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from resnet_variants.blocks.attention import SE
from resnet_variants.blocks.gates import ATTENTION, Gate
from resnet_variants.explain import AttachReport, attach_attention, capture_attention
from resnet_variants.explain.attach import Gated


class LeNet(nn.Module):
    """LeCun et al., 1998, as it is usually written down: (N, 1, 28, 28) to ten digits."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


def _torchvision(name: str, **args: Any) -> Callable[[], nn.Module]:
    return lambda: torchvision.models.get_model(name, num_classes=10, **args)


# How each is made, its image's shape, where gates land by default and on how many channels.
MIXED = ["5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"]
HOSTS = {
    "alexnet": (
        _torchvision("alexnet"),
        (3, 64, 64),
        {
            f"features.{i}": c
            for i, c in zip((0, 3, 6, 8, 10), (64, 192, 384, 256, 256), strict=True)
        },
    ),
    "vgg11": (
        _torchvision("vgg11"),
        (3, 32, 32),
        dict(
            zip(
                (f"features.{i}" for i in (0, 3, 6, 8, 11, 13, 16, 18)),
                (64, 128, 256, 256, 512, 512, 512, 512),
                strict=True,
            )
        ),
    ),
    "inception_v3": (
        _torchvision("inception_v3", init_weights=False, aux_logits=False),
        (3, 96, 96),
        dict(
            zip(
                (f"Mixed_{each}" for each in MIXED),
                (256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048, 2048),
                strict=True,
            )
        ),
    ),
    "densenet": (
        lambda: torchvision.models.DenseNet(8, (2, 3, 2, 1), 16, num_classes=10),
        (3, 32, 32),
        {f"features.denseblock{i + 1}": c for i, c in enumerate((32, 40, 36, 26))},
    ),
    "mobilenet_v2": (
        _torchvision("mobilenet_v2"),
        (3, 32, 32),
        dict(
            zip(
                (f"features.{i}.conv.3" for i in (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)),
                (24, 32, 32, 64, 64, 64, 96, 96, 160, 160),
                strict=True,
            )
        ),
    ),
    "resnet18": (
        _torchvision("resnet18"),
        (3, 32, 32),
        {f"layer{s}.{b}.bn2": 32 << s for s in (1, 2, 3, 4) for b in (0, 1)},
    ),
    "lenet": (LeNet, (1, 28, 28), {"features.0": 6, "features.3": 16}),
}
each_host = pytest.mark.parametrize("host", list(HOSTS))


def _made(name: str) -> tuple[nn.Module, Tensor]:
    """A host in eval mode with torch's own random weights, and two images."""
    make, shape, _ = HOSTS[name]
    with torch.device("meta"):  # torchvision draws some weights slowly
        model = make()
        if name in ("alexnet", "vgg11"):  # without a hundred million weights that no gate touches
            wide = next(m for m in model.classifier if isinstance(m, nn.Linear))
            model.classifier = nn.Linear(wide.in_features, 10)
    model.to_empty(device="cpu")
    torch.manual_seed(0)
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return model.eval(), torch.randn(2, *shape)


class _One(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.ones_like(x)


class _Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def _force(model: nn.Module, function: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, Gate):
            module.gate = function


@each_host
def test_a_gate_on_every_host(host: str) -> None:
    """It lands where it should, runs forward and backward, is exported; a gate of ones changes
    nothing; taken off, the host is what it was."""
    model, x = _made(host)
    modules, weights = dict(model.named_modules()), list(model.parameters())
    kept = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        expected = model(x)
    report = attach_attention(model, "se", example=x)
    assert {each.name: each.channels for each in report.attached} == HOSTS[host][2]
    assert report.params == sum(p.numel() for p in model.parameters()) - sum(
        weight.numel() for weight in weights
    )
    assert (
        str(report).splitlines()[0] == f"{len(report.attached)} gates, {report.params} parameters"
    )
    for each in report.attached:
        gated = model.get_submodule(each.name)
        assert isinstance(gated, Gated) and gated.host is modules[each.name]
        assert not gated.training
        assert sum(p.numel() for p in gated.attention.parameters()) == each.params

    with torch.no_grad(), capture_attention(model) as record:
        out = model(x)
    assert out.shape == expected.shape and not torch.equal(out, expected)
    assert {name: w.shape[1] for name, w in record.items()} == {
        f"{each.name}.attention": each.channels for each in report.attached
    }
    exported = torch.export.export(model, (x,)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(x), out)
    model(x).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())

    _force(model, _One())
    with torch.no_grad():
        assert torch.equal(model(x), expected)
    report.remove()
    assert dict(model.named_modules()) == modules
    assert all(a is b for a, b in zip(model.parameters(), weights, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(weights, kept, strict=True))


@pytest.mark.parametrize("host", ["resnet18", "mobilenet_v2"])
def test_gates_come_before_the_shortcuts_addition(host: str) -> None:
    """With gates of zeros nothing but the shortcut is left of a unit."""
    model, x = _made(host)
    attach_attention(model, "ssa", example=x)
    _force(model, _Zero())
    unit = model.get_submodule("layer1.1" if host == "resnet18" else "features.3")
    x = torch.randn(2, 64 if host == "resnet18" else 24, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(unit(x), x.relu() if host == "resnet18" else x)


@pytest.mark.parametrize("gate", list(ATTENTION))
def test_every_gate_can_be_attached(gate: str) -> None:
    model, x = _made("lenet")
    args: dict[str, Any] = {"groups": 2} if gate == "se_gc" else {}
    args |= {"channels_per_map": 2} if gate == "group_salient" else {}
    report = attach_attention(model, gate, attention_args=args, example=x)
    with capture_attention(model) as record:
        model(x).sum().backward()
    assert len(record) == len(report.attached) == 2
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (nn.AvgPool2d, ["features.2", "features.5"]),
        (r"features\.\d", [f"features.{i}" for i in range(6)]),
        ("features", ["features"]),
        (lambda name, module: isinstance(module, nn.Tanh) and "4" in name, ["features.4"]),
        (r"features(\.3)?", ["features.3", "features"]),  # one inside the other
    ],
)
def test_places_are_chosen(where: Any, names: list[str]) -> None:
    model, x = _made("lenet")
    before = dict(model.named_modules())
    report = attach_attention(model, SE, where, example=x)
    assert [each.name for each in report.attached] == names
    with torch.no_grad(), capture_attention(model) as record:
        model(x)
    assert len(record) == len(names)
    report.remove()
    assert dict(model.named_modules()) == before


def test_modes_types_and_copies() -> None:
    model, x = _made("lenet")
    model.double().train()
    model.features.eval()
    attach_attention(model, "ssa", nn.Conv2d, example=x.double())
    assert model.training and not model.features.training
    assert not any(module.training for module in model.features.modules())
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    twin = copy.deepcopy(model)
    _force(twin, _One())
    assert not torch.equal(twin(x.double()), model(x.double()))


def test_another_networks_own_units_are_found() -> None:
    from .families import small

    model = small("ResNet").eval()
    report = attach_attention(model, "eca", example=torch.randn(1, 3, 32, 32))
    assert [each.name for each in report.attached][:2] == [
        "stages.0.0.conv2.norm",
        "stages.0.1.conv2.norm",
    ]


@pytest.mark.parametrize(
    ("attention", "where", "message"),
    [
        ("ssaa", None, "Did you mean 'ssa'?"),
        ("none", None, "names no gate to attach"),
        ("se_gc", None, "6 channels do not divide into 16 groups"),
        ("se", "feature", "Unknown place where= in this LeNet 'feature'. Did you mean 'features'?"),
        ("se", nn.LSTM, "Unknown place where= in this LeNet"),
        ("se", "features[", "is no regular expression"),
        ("se", nn.Linear, "classifier.0 gives (2, 120), which is no feature map (N, C, H, W)"),
        (lambda channels: nn.Conv2d(channels, 1, 1), None, "changes the shape"),
    ],
)
def test_a_wrong_gate_or_place_changes_nothing(attention: Any, where: Any, message: str) -> None:
    model, x = _made("lenet")
    before = dict(model.named_modules())
    with pytest.raises(ValueError) as refused:
        attach_attention(model, attention, where, example=x)
    assert message in str(refused.value)
    assert dict(model.named_modules()) == before
    assert not any(module._forward_hooks for module in model.modules())


def test_images_that_the_host_does_not_take() -> None:
    model, _ = _made("lenet")
    with pytest.raises(ValueError, match="LeNet takes no image .1, 3, 224, 224.: give example="):
        attach_attention(model, "se")


def test_a_module_that_runs_at_several_widths_is_refused() -> None:
    """A bottleneck of torchvision calls one ReLU three times."""
    model = torchvision.models.resnet.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1])
    with pytest.raises(ValueError, match=r"layer1.0.relu runs 3 times .* \[64, 256\] channels"):
        attach_attention(model, "se", nn.ReLU, example=torch.randn(1, 3, 32, 32))


def test_a_gate_that_was_exchanged_stays() -> None:
    model, x = _made("lenet")
    report: AttachReport = attach_attention(model, "se", example=x)
    model.features[0] = nn.Conv2d(1, 6, 5, padding=2)
    report.remove()
    assert not any(isinstance(module, Gated) for module in model.modules())
    model(x)
