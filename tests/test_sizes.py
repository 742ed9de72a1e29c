"""Any image size, odd and non-square: forward, backward, and ``feature_info`` true."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from resnet_variants import Network, create_model, list_models, model_info
from resnet_variants.builders import build_on
from resnet_variants.registry import model_config

from .families import CLASSES, each_family, each_kind, small

SMALL = [(32, 32), (33, 33), (65, 65), (97, 97)]
LARGE = [(224, 224), (225, 225), (192, 256), (288, 160)]


def _check_features(model: Network, features: list[Tensor], size: tuple[int, int]) -> None:
    assert len(features) == len(model.feature_info)
    for level, feature in zip(model.feature_info, features, strict=True):
        expected = (level.channels, level.size(size[0]), level.size(size[1]))
        assert tuple(feature.shape[1:]) == expected, (level, size)


def _train_at(model: Network, size: tuple[int, int], device: str = "cpu") -> None:
    model.zero_grad()
    last, features = model.forward_intermediates(torch.randn(2, 3, *size, device=device))
    _check_features(model, features, size)
    logits = model.forward_head(last)
    assert logits.shape == (2, CLASSES)
    logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, (name, size)
        assert device == "meta" or parameter.grad.isfinite().all(), (name, size)


@pytest.mark.ability("32 to 97 px")
@each_family
def test_small_images(family: str) -> None:
    model = small(family)
    for size in SMALL:
        _train_at(model, size)
    for order in (torch.contiguous_format, torch.channels_last):  # a batch of no image
        none = torch.empty(0, 3, 33, 65).to(memory_format=order)
        assert model.train()(none).shape == model.eval()(none).shape == (0, CLASSES)
    assert all(value.isfinite().all() for value in model.buffers())


@each_kind
def test_shapes_of_large_images(family: str) -> None:
    model = small(family).to("meta")
    for size in LARGE:
        _train_at(model, size, "meta")


@pytest.mark.slow
@pytest.mark.ability("160 to 288 px")
@each_family
def test_large_images(family: str) -> None:
    model = small(family)
    for size in LARGE:
        _train_at(model, size)


@pytest.mark.slow
@each_family
def test_shapes_of_every_network(family: str) -> None:
    for name in list_models(family=family):
        model = build_on(model_config(name), device="meta").eval()
        for size in ((33, 47), (225, 225)):
            with torch.no_grad():
                _, features = model.forward_intermediates(torch.empty(1, 3, *size, device="meta"))
            _check_features(model, features, size)


@pytest.mark.slow
@each_family
def test_every_network_trains(family: str) -> None:
    """At 64 x 64; those with more than 2 * 10^7 parameters without numbers, on the meta device."""
    for name in list_models(family=family):
        large = model_info(name).params > 2e7
        model = create_model(name, num_classes=CLASSES, device="meta" if large else "cpu")
        _train_at(model, (64, 64), "meta" if large else "cpu")


@each_family
def test_reductions_are_the_papers(family: str) -> None:
    """Each level halves the one before, or more, down to what the network as a whole reduces."""
    info = small(family).feature_info
    assert info.reduction() == sorted(info.reduction())
    for level in info:
        if not level.windows:  # Inception-ResNet's unpadded windows cost a few rows more
            assert level.size(32 * level.reduction) == 32
