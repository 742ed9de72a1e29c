"""What every family promises: inputs, heads, checkpointing, memory formats, types, copies."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnet_variants import Network, build, config_from_dict, create_model
from resnet_variants.builders import build_on

from .families import CLASSES, each_family, each_kind, representative, small, small_config

Record = Callable[[str, object], None]


def images(n: int = 2, chans: int = 3, size: int = 64) -> Tensor:
    """Smooth ones, as photographs are: white noise looks the same everywhere, so that batch
    normalisation has nothing but rounding errors to scale up."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(n, chans, 4, 4, generator=generator)
    fine = torch.randn(n, chans, size, size, generator=generator)
    return nn.functional.interpolate(coarse, size=size, mode="bilinear") + 0.3 * fine


def settled(family: str) -> Network:
    """A network in eval mode whose batch statistics come from images, as a trained one's."""
    model = small(family)
    for norm in model.modules():
        if isinstance(norm, _BatchNorm):
            norm.momentum = 1.0
    with torch.no_grad():
        model(images(8, size=48))
    return model.eval()


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.ability("in_chans 1, 2, 4, 12")
@each_kind
def test_channels(family: str) -> None:
    for chans in (1, 2, 4, 12):
        model = small(family, in_chans=chans).eval()
        with torch.no_grad():
            assert model(images(1, chans)).shape == (1, CLASSES)
    with pytest.raises(ValueError, match="12 channels.*in_chans=3"):
        model(images(1, 3))


@pytest.mark.ability("num_classes=0")
@each_kind
def test_pooled_features(family: str) -> None:
    model = small(family, num_classes=0).eval()
    x = images()
    with torch.no_grad():
        pooled = model(x)
        assert pooled.shape == (2, model.num_features)
        torch.testing.assert_close(pooled, model.forward_head(model.forward_features(x), True))
    assert isinstance(model.get_classifier(), nn.Identity) and model.num_classes == 0


@pytest.mark.ability("reset_classifier")
@each_kind
def test_new_classifier(family: str) -> None:
    model, x = small(family).eval(), images()
    with torch.no_grad():
        before = [f.clone() for f in model.forward_intermediates(x, intermediates_only=True)]
        for classes in (7, 5):
            model.reset_classifier(classes)
            assert model(x).shape == (2, classes)
            assert model.num_classes == model.config.num_classes == classes
        model.reset_classifier(0, "max")
        assert model(x).shape == (2, model.num_features)
        model.reset_classifier(0, "")
        assert model(x).shape[:2] == (2, model.num_features) and model(x).ndim == 4
        model.reset_classifier(3)  # of pooled features
        assert model(x).shape == (2, 3) and not any(m.training for m in model.modules())
        after = model.forward_intermediates(x, intermediates_only=True)
    torch.testing.assert_close(after, before)
    rebuilt = build(config_from_dict(json.loads(json.dumps(model.config.to_dict()))))
    rebuilt.load_state_dict(model.state_dict())


@pytest.mark.ability("config as JSON")
@each_family
def test_rebuilt_from_json(family: str) -> None:
    config = small_config(family)
    again = config_from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    shapes = {name: p.shape for name, p in build_on(config, device="meta").state_dict().items()}
    twin = build_on(again, device="meta").state_dict()
    assert shapes == {name: p.shape for name, p in twin.items()}
    assert {name.split(".")[0] for name in shapes} <= {"stem", "stages", "head"}


@pytest.mark.ability("gradient checkpointing")
@each_kind
def test_checkpointing_changes_nothing(family: str) -> None:
    plain, saving = small(family), small(family)
    saving.set_grad_checkpointing()
    results = []
    for model in (plain, saving):
        torch.manual_seed(0)
        logits = model(images(3))
        logits.square().sum().backward()
        results.append((logits, gradients(model), dict(model.named_buffers())))
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.ability("drop path")
@each_kind
def test_drop_path(family: str, record_property: Record) -> None:
    try:
        dropping = small(family, drop_path_rate=0.9)
    except ValueError as refusal:
        assert "drop_path_rate" in str(refusal)
        record_property("note", f"Refused: {refusal}")
        return
    plain, x = small(family), images(8)
    with torch.no_grad():
        assert not torch.allclose(dropping(x), plain(x)), "no branch was dropped"
        dropping.load_state_dict(plain.state_dict())
        torch.testing.assert_close(dropping.eval()(x), plain.eval()(x))


@pytest.mark.ability("output_stride")
@each_kind
def test_dilation(family: str, record_property: Record) -> None:
    for stride in (16, 8):
        try:
            config = small_config(family, output_stride=stride)
        except ValueError as refusal:
            assert "output_stride" in str(refusal)
            record_property("note", f"Refused: {refusal}")
            return
        model = build(config).eval()
        with torch.no_grad():
            out = model.forward_features(images(1, size=96))
        assert max(model.feature_info.reduction()) <= stride
        assert out.shape[-1] == model.feature_info[-1].size(96)
        assert list(model.state_dict()) == list(small(family).state_dict())


@pytest.mark.ability("copy and pickle")
@each_family
def test_copies(family: str) -> None:
    model, x = small(family).eval(), images(1)
    again = build(config_from_dict(json.loads(json.dumps(model.config.to_dict())))).eval()
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        expected = model(x)
        for twin in (again, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            torch.testing.assert_close(twin(x), expected, rtol=0, atol=0)
            assert twin.config == model.config


@pytest.mark.ability("channels-last")
@each_kind
def test_channels_last(family: str) -> None:
    model, x = settled(family), images(2, size=48)
    with torch.no_grad():
        expected = model(x)
        model.to(memory_format=torch.channels_last)
        out = model(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)


def rounded(model: Network, x: Tensor) -> Tensor:
    """The answer in float32 when weights and images are rounded to bfloat16: what a network
    makes of errors of that size, whatever computes it."""
    twin = copy.deepcopy(model)
    for weight in twin.parameters():
        weight.data = weight.data.bfloat16().float()
    return twin(x.bfloat16().float())


@pytest.mark.ability("bfloat16 autocast")
@each_kind
def test_autocast(family: str) -> None:
    model, x = settled(family), images(2, size=48)
    with torch.no_grad():
        exact = model(x)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(x).float()
        assert (rough - exact).norm() <= 3 * (rounded(model, x) - exact).norm()
    model.train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = nn.functional.cross_entropy(model(x), torch.arange(2))
    loss.backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    for name, value in model.state_dict().items():
        assert value.isfinite().all(), name


@pytest.mark.ability("float64, bfloat16")
@each_kind
def test_types(family: str) -> None:
    model, x = settled(family), images(2, size=48)
    with torch.no_grad():
        single, rough = model(x), rounded(model, x)
        double = copy.deepcopy(model).double()(x.double())
        half = model.bfloat16()(x.bfloat16())
    assert double.dtype is torch.float64 and half.dtype is torch.bfloat16
    torch.testing.assert_close(single, double.float(), rtol=1e-3, atol=1e-4)
    assert (half.float() - single).norm() <= 3 * (rough - single).norm()


@pytest.mark.ability("meta device")
@each_family
def test_meta(family: str) -> None:
    model = create_model(representative(family), device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in model.parameters()} == {("meta", torch.bfloat16)}


@pytest.mark.ability("batch 1 training")
@each_family
def test_single_image(family: str, record_property: Record) -> None:
    model = small(family)
    x = images(1, size=2 * model.min_size)
    try:
        model(x).sum().backward()
    except ValueError as refusal:
        assert "batch of 2" in str(refusal) and "groupnorm" in str(refusal)
        record_property("note", f"Refused: {refusal}")
        model = small(family, norm_layer="groupnorm")
        model(x).sum().backward()
    assert all(grad.isfinite().all() for grad in gradients(model).values())
