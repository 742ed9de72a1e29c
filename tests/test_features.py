"""Backbones: feature levels in any order, frozen parts, other normalisations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnet_variants import Network, create_model
from resnet_variants.blocks.layers import FrozenBatchNorm2d, GroupNorm
from resnet_variants.finetune import convert_norm, freeze, unfreeze

from .families import each_family, each_kind, small


def images(n: int = 2) -> Tensor:
    return torch.randn(n, 3, 65, 97, generator=torch.Generator().manual_seed(0))


@pytest.mark.ability("features_only")
@each_kind
def test_feature_levels(family: str) -> None:
    whole, x = small(family).eval(), images()
    levels = len(whole.feature_info)
    with torch.no_grad():
        last, every = whole.forward_intermediates(x)
        torch.testing.assert_close(last, whole.forward_features(x))
        for chosen in ((-1, 0), (1,), tuple(range(levels))):
            model = small(family, features_only=True, out_indices=chosen).eval()
            maps = model(x)
            assert len(maps) == len(chosen)
            for level, index, feature in zip(model.feature_info, chosen, maps, strict=True):
                torch.testing.assert_close(feature, every[index])
                assert level == whole.feature_info[index]
                assert feature.shape[1] == level.channels
    assert model.num_classes == 0


@each_kind
def test_feature_modules(family: str) -> None:
    """``feature_info`` names modules that exist and give that very map."""
    model, seen = small(family).eval(), {}
    for name in model.feature_info.module_name():
        module = model.get_submodule(name)
        module.register_forward_hook(lambda _m, _i, out, name=name: seen.update({name: out}))
    with torch.no_grad():
        model(images(1))
        maps = model.forward_intermediates(images(1), intermediates_only=True)
    for name, feature in zip(model.feature_info.module_name(), maps, strict=True):
        torch.testing.assert_close(seen[name], feature)


@each_family
def test_unused_stages_are_left_out(family: str) -> None:
    first = small(family, features_only=True, out_indices=(0,))
    assert not first.stages
    assert all(name.startswith("stem.") for name in first.state_dict())


@pytest.mark.parametrize(
    ("indices", "message"),
    [((0, 5), "5 is not one of the 5"), ((-6,), "-6 is not"), ((), "no feature level")],
)
def test_wrong_levels_are_refused_at_creation(indices: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_model("resnet18", features_only=True, out_indices=indices)


def test_levels_stop_early() -> None:
    model = small("ResNet").eval()
    calls: list[int] = []
    model.stages[2].register_forward_hook(lambda *_: calls.append(2))
    with torch.no_grad():
        last, maps = model.forward_intermediates(images(), [1], stop_early=True)
        assert last is maps[0] and not calls
        _, maps = model.forward_intermediates(images(), 2)
    assert [m.shape[1] for m in maps] == [256, 512]


def _step(model: Network) -> None:
    model.train()
    model(images()).square().sum().backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1).step()


@pytest.mark.ability("frozen stages")
@each_kind
def test_frozen_stages(family: str) -> None:
    model = freeze(small(family), 1)
    frozen = ("stem.", "stages.0.")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    _step(model)
    changed = {name for name, value in model.state_dict().items() if (value != before[name]).any()}
    assert changed and not any(name.startswith(frozen) for name in changed)
    assert not model.stages[0].training and model.stages[-1].training

    unfreeze(model)
    assert model.training and all(each.training for each in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    _step(model)
    for name, value in model.state_dict().items():
        if name.startswith(frozen) and name.endswith(("conv.weight", "running_mean")):
            assert (value != before[name]).any(), name


def test_more_stages_than_there_are() -> None:
    with pytest.raises(ValueError, match="stages=5: this network has 4"):
        freeze(small("ResNet"), 5)


@pytest.mark.ability("frozen, synchronised and group normalisation")
@each_kind
def test_other_normalisations(family: str) -> None:
    model = small(family)
    with torch.no_grad():
        model(images(4))
        expected = model.eval()(images())
        for norm in ("frozen_batchnorm", "sync_batchnorm", "batchnorm"):
            model = convert_norm(model, norm)
            torch.testing.assert_close(model(images()), expected)
            assert model.config.norm_layer == norm
            assert not model.training
    frozen = convert_norm(model, "frozen_batchnorm")
    assert all(
        isinstance(m, FrozenBatchNorm2d) for m in frozen.modules() if isinstance(m, _BatchNorm)
    )
    assert any(p.requires_grad for p in frozen.parameters())
    assert all(p.requires_grad for p in convert_norm(frozen, "batchnorm").parameters())

    grouped = convert_norm(model, "groupnorm", num_groups=8)
    assert not any(isinstance(m, _BatchNorm) for m in grouped.modules())
    assert any(isinstance(m, GroupNorm) and m.num_groups == 8 for m in grouped.modules())
    torch.testing.assert_close(grouped.get_classifier().weight, model.get_classifier().weight)
    _step(grouped)


def test_a_changed_network_is_not_converted() -> None:
    model = small("ResNet")
    model.stem.convs[0].conv = nn.Conv2d(3, 64, 7, 2, 3)  # now with a bias
    with pytest.raises(ValueError, match=r"stem.convs.0.conv.*before"):
        convert_norm(model, "groupnorm")


def test_frozen_parts_survive_conversion() -> None:
    model = convert_norm(freeze(small("ResNet"), 2), "groupnorm")
    assert model.frozen_stages == 2
    assert not any(p.requires_grad for p in model.stages[1].parameters())
    assert all(p.requires_grad for p in model.stages[2].parameters())
