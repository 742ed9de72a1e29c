"""Detectors and segmenters on the library's backbones learn."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from resnet_variants.detection import FeaturePyramid, faster_rcnn

from .families import each_kind, representative

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize(("example", "steps"), [("detection", 6), ("segmentation", 10)])
def test_examples_learn(example: str, steps: int) -> None:
    losses = runpy.run_path(str(EXAMPLES / f"{example}.py"))["train"]("resnet18", steps=steps)
    assert sum(losses[-2:]) < 0.9 * sum(losses[:2])


@pytest.mark.slow
@pytest.mark.ability("feature pyramid")
@each_kind
def test_pyramid(family: str, record_property: Callable[[str, object], None]) -> None:
    name = representative(family)
    try:
        pyramid = FeaturePyramid(name, out_channels=16, frozen_stages=1)
    except ValueError as refusal:
        assert "needed: (4, 8, 16, 32)" in str(refusal)
        record_property("note", "Made for images of 32x32: no maps of a 16th or 32nd of the image")
        return
    maps = pyramid(torch.randn(2, 3, 97, 130))
    assert list(maps) == ["0", "1", "2", "3", "pool"]
    assert {m.shape[1] for m in maps.values()} == {16}
    sum(m.square().sum() for m in maps.values()).backward()
    assert not any(p.requires_grad for p in pyramid.body.stem.parameters())
    assert all(p.grad is not None for p in pyramid.parameters() if p.requires_grad)


def test_detector_gives_boxes() -> None:
    fixed = {"min_size": 64, "max_size": 64}
    model = faster_rcnn("shufflenet_v2_x0_5", 3, detector=fixed, frozen_stages=0).eval()
    (found,) = model([torch.rand(3, 64, 80)])
    assert found["boxes"].shape[1] == 4 and set(found) == {"boxes", "labels", "scores"}


def test_small_image_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="'resnet20_cifar' has maps of the image over"):
        FeaturePyramid("resnet20_cifar")
