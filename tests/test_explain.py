"""What networks look at: captured gates, class activation maps, receptive fields."""

from __future__ import annotations

import bisect
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_variants import Network, build, create_model
from resnet_variants.blocks import GC, ChannelShuffle, ShuffleAttention
from resnet_variants.blocks.attention_module import Mask
from resnet_variants.blocks.gates import ATTENTION, Gate
from resnet_variants.blocks.selection import Selection
from resnet_variants.blocks.self_calibrated import SelfCalibratedConv
from resnet_variants.explain import (
    capture_attention,
    effective_receptive_field,
    gates,
    receptive_field,
)
from resnet_variants.explain.pictures import METHODS, class_activation_map

from .families import CLASSES, each_family, each_kind, slow_but, small, small_config

GATED = (Gate, GC, ShuffleAttention, Selection, Mask, SelfCalibratedConv)
each_gate = pytest.mark.parametrize("gate", list(ATTENTION))


def images(n: int = 1, side: int = 48) -> Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(0))


def _check_capture(model: Network) -> None:
    """Beside hooks by hand on the last function of each module whose class is known to gate."""
    seen: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if _gates(module):
            model.get_submodule(f"{name}.gate").register_forward_hook(
                lambda _m, _i, out, name=name: seen.update({name: out.clone()})
            )
    with torch.no_grad(), capture_attention(model) as record:
        model(images(2, 32))
    assert list(record) == list(seen)
    assert set(record) == set(gates(model)) == {n for n, m in model.named_modules() if _gates(m)}
    assert all(torch.equal(weights, seen[name]) for name, weights in record.items())


def _gates(module: nn.Module) -> bool:
    return isinstance(module, GATED)


@slow_but("ResNet", "ShuffleNetV1", "RAN")
def test_every_gate_is_captured_as_a_hook_sees_it(family: str) -> None:
    taken = 0
    for gate in ATTENTION:
        try:
            model = build(small_config(family, attention=gate)).eval()
        except ValueError as error:  # thin networks with groups of channels
            assert "divide" in str(error)
            continue
        _check_capture(model)
        taken += 1
    assert taken >= len(list(ATTENTION)) - 2


@each_family
def test_gates_of_each_family_are_captured(family: str) -> None:
    model = small(family).eval()
    if any(map(_gates, model.modules())):
        _check_capture(model)
    else:
        with (
            pytest.raises(ValueError, match="no gate to capture: create it with attention="),
            capture_attention(model),
        ):
            pass


@each_gate
def test_captured_weights_are_what_features_are_multiplied_with(gate: str) -> None:
    model = small("ResNet", attention=gate, attention_at="post").eval()
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    for name, module in gates(model).items():
        module.register_forward_hook(lambda _m, i, o, name=name: seen.update({name: (i[0], o)}))
    with torch.no_grad(), capture_attention(model) as record:
        model(images())
    for name, weights in record.items():
        x, out = seen[name]
        if weights.ndim == 2:
            weights = weights[:, :, None, None]
        weights = weights.repeat_interleave(x.shape[1] // weights.shape[1], 1)
        expected = x + weights if gate == "gc" else x * weights
        if gate == "shuffle":
            out = ChannelShuffle(2, order="released")(out)
        torch.testing.assert_close(out, expected)


def test_shapes_are_those_of_the_documentation() -> None:
    shapes = {}
    for family, config in {
        "SE-ResNet": {},
        "SSANet": {},
        "SK-Net": {"conv_args": {"branches": 3}},
        "ResNeSt": {},
        "RAN": {},
    }.items():
        model = small(family, **config).eval()
        with torch.no_grad(), capture_attention(model) as record:
            model(images(2, 64))
        shapes[family] = tuple(next(iter(record.values())).shape)
        assert not any(weights.requires_grad for weights in record.values())
    assert shapes == {
        "SE-ResNet": (2, 64),
        "SSANet": (2, 1, 16, 16),
        "SK-Net": (2, 3, 128),
        "ResNeSt": (2, 1, 64),
        "RAN": (2, 256, 16, 16),
    }


def _state(model: nn.Module) -> list[Any]:
    """What a module is made of: its attributes, its hooks, its forward."""
    return [
        (
            name,
            module,
            module.training,
            sorted(vars(module)),
            dict(module._forward_hooks),
            dict(module._forward_pre_hooks),
            dict(module._backward_hooks),
        )
        for name, module in model.named_modules()
    ]


def test_capture_leaves_nothing_behind() -> None:
    model = small("SE-ResNet").eval()
    before, keys, forward = _state(model), list(model.state_dict()), type(model).forward
    with torch.no_grad():
        plain = model(images())
        with capture_attention(model) as record:
            assert repr(record) == "AttentionRecord()"
            assert torch.equal(model(images()), plain)
    assert _state(model) == before
    with pytest.raises(ZeroDivisionError), capture_attention(model):
        raise ZeroDivisionError
    assert _state(model) == before
    assert list(model.state_dict()) == keys
    assert type(model).forward is forward and "forward" not in vars(model)
    kept = dict(record)
    model(images(2))  # not watched any more
    assert dict(record) == kept


def test_a_record_names_what_it_has() -> None:
    model = small("SE-ResNet").eval()
    with capture_attention(model) as record:
        with pytest.raises(KeyError, match="no forward pass was made"):
            record["stages.0.0.attention"]
        model(images())
        first = record["stages.0.0.attention"]
        model(images() + 1)
    assert not torch.equal(first, record["stages.0.0.attention"])
    with pytest.raises(KeyError, match=r"No gate 'stem' was captured. Captured: stages.0.0"):
        record["stem"]


def _part_compiled(model: Network) -> nn.Module:
    model.stages[1].compile()
    return model


def _compiled_in_place(model: Network) -> nn.Module:
    model.compile()
    return model


def _with_graph(model: Network) -> nn.Module:
    model.head.drop = torch.fx.GraphModule(nn.Module(), torch.fx.Graph())
    return model


def _with_script(model: Network) -> nn.Module:
    model.head.drop = torch.jit.script(nn.Identity())
    return model


@pytest.mark.parametrize(
    ("compiled", "where"),
    [
        (torch.compile, "This model (OptimizedModule)"),
        (_compiled_in_place, "This model (Network)"),
        (_part_compiled, "stages.1 (Sequential)"),
        (_with_graph, "head.drop (GraphModule"),
        (_with_script, "head.drop (RecursiveScriptModule"),
        (lambda model: model.__call__, "This model (method)"),
    ],
)
def test_compiled_models_are_refused(compiled: Callable[[Any], Any], where: str) -> None:
    with torch.no_grad():
        model = compiled(small("SE-ResNet").eval())
    with pytest.raises(TypeError) as refused, capture_attention(model):
        pass
    assert where in str(refused.value)
    assert "compiled, scripted or exported" in str(refused.value)
    assert "model._orig_mod" in str(refused.value)


# Class activation maps -------------------------------------------------------------------------


@each_family
def test_class_activation_map(family: str) -> None:
    model = small(family).eval()
    assert all(any(layer is each for each in model.modules()) for layer in model.cam_layers())
    maps = class_activation_map(model, images(2, 48), 3)
    assert maps.shape == (2, 48, 48)
    assert maps.isfinite().all()
    assert maps.min() >= 0 and maps.max() <= 1


def test_class_activation_map_is_zhou_et_al_where_it_must_be() -> None:
    """Behind a global mean and a linear classifier, gradients are the classifier's weights."""
    model = small("ResNet").eval()
    nn.init.uniform_(model.get_classifier().weight.data[4], -0.5, 1)
    x = images(2, 128)
    found = class_activation_map(model, x, 4)
    with torch.no_grad():
        features = model.forward_features(x)
    cam = torch.einsum("nchw,c->nhw", features, model.head.fc.weight[4].detach()).relu()
    cam = F.interpolate(cam[:, None], (128, 128), mode="bilinear")[:, 0]
    low, high = cam.amin((1, 2), True), cam.amax((1, 2), True)
    torch.testing.assert_close(found, (cam - low) / (high - low), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_class_activation_map_leaves_the_model_as_it_is(method: str) -> None:
    model = small("CIFAR ResNet").train()
    model.head.eval()
    model.stem.requires_grad_(False)
    grad = torch.ones_like(model.head.fc.weight)
    model.head.fc.weight.grad = grad
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = _state(model)
    with torch.no_grad():
        maps = class_activation_map(model, images(1, 32), method=method)
    assert maps.shape == (1, 32, 32)
    assert _state(model) == state
    assert model.head.fc.weight.grad is grad
    frozen = {name for name, each in model.named_parameters() if not each.requires_grad}
    assert frozen == {name for name, _ in model.named_parameters() if name.startswith("stem.")}
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_class_activation_map_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small("CIFAR ResNet").eval()
    with pytest.raises(ValueError, match=f"target=10: this network has classes 0 to {CLASSES - 1}"):
        class_activation_map(model, images(), 10)
    with pytest.raises(ValueError, match="Did you mean 'GradCAM'"):
        class_activation_map(model, images(), method="gradcam")
    with pytest.raises(ValueError, match="num_classes=0"):
        class_activation_map(small("CIFAR ResNet", num_classes=0), images())
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(ImportError, match=r'pip install "resnet-variants\[explain\]"'):
        class_activation_map(model, images())


# Receptive fields ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("resnet18", [7, 43, 99, 211, 435]),
        ("resnet50", [7, 35, 91, 267, 427]),
        ("resnet50a", [7, 35, 99, 291, 483]),  # strides in the 1x1: earlier by a 3x3 a stage
        ("resnet20_cifar", [3, 15, 37, 81]),
    ],
)
def test_receptive_fields_by_arithmetic(name: str, sizes: list[int]) -> None:
    """The sum of (kernel - 1) times the distance of neighbours, over the layers of the branch."""
    fields = receptive_field(create_model(name), 512)
    assert [field.size for field in fields] == sizes
    assert not any(field.clipped for field in fields)


class _Half(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x, 0.5)


@each_kind
def test_receptive_field_is_what_reaches_a_feature(family: str) -> None:
    """Rows that are not a number make a feature not a number when they are in its field.

    Convolutions of float64 on a CPU multiply each number with those of its window alone, and
    not-a-number passes every other layer, so it spreads as far as the field and no further.
    """
    model, size = small(family).eval(), 384
    fields = [field for field in receptive_field(model, size) if not field.clipped]
    level, field = len(fields) - 1, fields[-1]
    model.double()
    for gate in gates(model).values():
        if isinstance(gate, (Gate, Selection)):
            gate.gate = _Half()

    def reaches(*rows: slice) -> list[bool]:
        """Whether each of these slices of rows reaches the middle of the level."""
        x = torch.ones(len(rows), 3, size, 32, dtype=torch.float64)
        for strip, chosen in zip(x, rows, strict=True):
            strip[:, chosen] = torch.nan
        with torch.no_grad():
            (feature,) = model.forward_intermediates(x, [level], intermediates_only=True)
        return feature[:, :, feature.shape[2] // 2].isnan().flatten(1).any(1).tolist()

    first = bisect.bisect_left(range(size), True, key=lambda row: reaches(slice(row + 1))[0])
    last = first + field.size - 1
    assert reaches(slice(last, None), slice(last + 1, None)) == [True, False]


def test_a_field_larger_than_the_image_is_said_to_be() -> None:
    fields = receptive_field(small("SCNet"), 128)
    assert [field.clipped for field in fields] == [False, True, True, True, True]
    assert [field.reduction for field in fields] == [2, 4, 8, 16, 32]


def test_gates_made_from_means_do_not_count() -> None:
    plain, gated = (receptive_field(small(family), 256) for family in ("ResNet", "SE-ResNet"))
    assert plain == gated


def test_effective_receptive_field() -> None:
    model = small("CIFAR ResNet").train()
    model.head.eval()
    field = effective_receptive_field(model, 1, size=64, samples=2)
    assert field.shape == (64, 64)
    assert field.max() == 1 and field.min() == 0
    rows = field.sum(1).nonzero()
    assert rows.max() - rows.min() < receptive_field(model, 64)[1].size
    assert model.training and not model.head.training
    assert torch.equal(field, effective_receptive_field(model, 1, size=64, samples=2))
