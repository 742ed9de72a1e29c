"""float16 and bfloat16 stay within the bound of docs/precision.md, and give the same classes."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor
from torchvision.transforms import v2

from resnet_variants import (
    Network,
    build,
    create_model,
    list_families,
    list_weights,
    load_checkpoint,
)
from resnet_variants.checkpoints import Weights
from resnet_variants.checkpoints.preprocessing import transforms_for
from resnet_variants.deploy import optimize_for_inference

from .documents import ROOT
from .families import CLASSES, each_family, representative, small
from .precision import HALVES, agreement, bound, error, exact, layers, packed
from .test_checkpoints_opennsfw import THIN, _file, _initialisers
from .test_deploy import _with_statistics
from .test_quantize import crops, trained

PACKAGED = [each for each in list_weights() if each.packaged]


def _slow_but_first(values: list[Weights]) -> list[Any]:
    return [values[0], *(pytest.param(each, marks=pytest.mark.slow) for each in values[1:])]


def _within(model: Network, images: Tensor) -> None:
    with torch.inference_mode():
        expected = exact(model, images)
        for dtype in HALVES:
            off = error(packed(model, images, dtype)(images), expected)
            # More than float32's: the type is what it is called.
            assert torch.finfo(dtype).eps / 32 < off <= bound(dtype, layers(model)), dtype


@each_family
def test_every_family(family: str) -> None:
    torch.manual_seed(0)
    _within(_with_statistics(small(family).eval()), torch.randn(1, 3, 48, 48))


@pytest.mark.slow
@each_family
def test_bfloat16_is_as_near_to_float64_as_eager(family: str) -> None:
    """Folded in float32 and rounded once, a packed network loses no more than an eager one.

    Over eight networks, their statistics drawn anew, too: roundings of the shifts add up along a
    residual network, so that one network's ratio is from 0.7 to 1.7, and networks that share
    statistics share much of it. Of eight together it is 0.7 to 1.02; folded after the rounding,
    1.15 to 1.6 (two families 0.9 and 1.04).
    """
    losses = []
    for seed in range(8):
        torch.manual_seed(seed)
        model = _with_statistics(small(family).eval(), seed)
        images = torch.randn(4, 3, 64, 64)
        with torch.inference_mode():
            expected = exact(model, images)
            eager = copy.deepcopy(model).bfloat16()(images.bfloat16())
            found = packed(model, images, torch.bfloat16)(images)
        assert found.dtype == torch.float32
        losses.append([error(found, expected), error(eager, expected)])
    ours, eager_loss = torch.tensor(losses).square().mean(0).sqrt()
    assert ours <= 1.1 * eager_loss


def _squares(count: int, smallest: int, size: int) -> Tensor:
    """Squares of two photographs, of any size and place: red, green and blue, 0 to 255."""
    photographs = [torch.tensor(each).permute(2, 0, 1) for each in load_sample_images().images]
    draw = torch.Generator().manual_seed(0)
    found = []
    for i in range(count):
        side = int(torch.randint(smallest, 427, (), generator=draw))
        y, x = (int(torch.randint(0, room - side, (), generator=draw)) for room in (428, 641))
        crop = photographs[i % 2][:, y : y + side, x : x + side]
        found.append(v2.functional.resize(crop, [size, size]))
    return torch.stack(found)


def _near(
    model: Network, images: Tensor, *, share: float = 0.5, least: tuple[float, float] = (0.97, 0.99)
) -> Tensor:
    """The outputs in float64, that those in fewer bits are near, with the same classes."""
    with torch.inference_mode():
        expected = exact(model, images)
        for dtype, same in zip(HALVES, least, strict=True):
            found = packed(model, images, dtype)(images)
            assert error(found, expected) <= share * bound(dtype, layers(model)), dtype
            assert agreement(found, expected) >= same, dtype
    return expected


@pytest.mark.slow
@pytest.mark.parametrize("name", [*map(representative, list_families()), "resnet152", "resnest269"])
def test_full_size(name: str) -> None:
    """After some steps: with random weights deep networks make much of any rounding."""
    model = trained(create_model(name, num_classes=CLASSES, zero_init_last=True))
    _near(model.eval(), crops(), share=1, least=(0.9, 0.95))


@pytest.mark.parametrize("weights", _slow_but_first(PACKAGED), ids=lambda weights: weights.name)
def test_trained_weights_on_photographs(weights: Weights) -> None:
    model = create_model(weights.model, pretrained=weights.tag).eval()
    expected = _near(model, transforms_for(model, weights)(_squares(256, 64, 32)))
    assert len(expected.argmax(1).unique()) >= 5  # what is shown decides


@pytest.mark.slow
@pytest.mark.parametrize("weights", PACKAGED, ids=lambda weights: weights.name)
def test_int8_on_photographs(weights: Weights) -> None:
    model = create_model(weights.model, pretrained=weights.tag).eval()
    images = transforms_for(model, weights)(_squares(384, 64, 32))
    calibration, images = images[:128], images[128:]
    int8 = optimize_for_inference(
        model, images[:1], "onnxruntime", precision="int8", calibration=calibration, rounds=1
    )
    with torch.inference_mode():
        assert agreement(int8(images), model(images)) >= 0.94


@pytest.mark.slow
def test_published_weights_on_photographs() -> None:
    """Open NSFW, a thin ResNet-50 at the size that it was trained for."""
    model = build(THIN).eval()
    load_checkpoint(model, _initialisers(_file()))
    images = _squares(16, 224, 224).flip(1) - torch.tensor([104.0, 117.0, 123.0])[:, None, None]
    _near(model, images)


def test_the_page_keeps_the_bound() -> None:
    text = (ROOT / "docs" / "precision.md").read_text()
    measured = r"(\S+) \| \S+ \| (\d+)%"
    rows = re.findall(
        rf"^\| ([^|]+) \| \w+ \| (\d+) \| \d+% \| {measured} \| {measured} \|$", text, re.MULTILINE
    )
    assert [row[0] for row in rows] == list_families()
    for _, number, bfloat16, same, float16, also in rows:
        for dtype, off in zip(HALVES, (bfloat16, float16), strict=True):
            assert float(off) <= bound(dtype, int(number)) / 2
        assert int(also) >= int(same) - 2  # an image of 48
