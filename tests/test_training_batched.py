"""Augmentation in batches: an image becomes what its draws say; operations are torchvision's."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from resnet_variants.training import Recipe, load_data, train
from resnet_variants.training.batched import OPERATIONS, Cutout, Erasing, Mixing, Policy, _where
from resnet_variants.training.images import Images
from resnet_variants.training.resident import ResidentImages

from .test_training_resident import Photos
from .training_runs import equal, scores, short, tiny, weights

POLICIES = [
    dict(random_erasing=0.7), dict(auto_augment="trivialaugment"), dict(mixup=0.2),
    dict(cutmix=1.0), dict(cutout=9),
    dict(auto_augment="randaugment", random_erasing=0.5, mixup=0.2, cutmix=1.0, flip=True),
]  # fmt: skip


def _by_image(recipe: Recipe, *, stays: bool, order: int = 1, world: int = 1) -> dict:
    """Of each image of epoch 2 what it becomes, and its draws for mixing."""
    data = replace(load_data(recipe, Photos(64), Photos(16)), stays=stays)
    found = {}
    for rank in range(world):
        loader, sampler = data.loader(data.train, 16, rank, world, seed=order)
        assert isinstance(loader.dataset, ResidentImages if stays else Images)
        sampler.epoch = 2
        for batch, keys in zip(loader, list(sampler), strict=True):
            mixing = [None] * len(keys) if batch.mixing is None else batch.mixing
            for (_, place), image, draws in zip(keys, batch.images, mixing, strict=True):
                found[place] = (image, draws)
    assert sorted(found) == list(range(64))
    return found


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_what_an_image_becomes_depends_on_itself(policy: dict) -> None:
    """Resident or loaded, in another order and so in other batches, by one process or two."""
    recipe = Recipe(batch_size=16, augment="batches", **policy)
    first = _by_image(recipe, stays=True)
    for other in (dict(stays=False), dict(stays=True, order=5), dict(stays=True, world=2)):
        for place, (image, draws) in _by_image(recipe, **other).items():
            assert torch.equal(image, first[place][0]), (other, place)
            assert draws is None or torch.equal(draws, first[place][1])
    if not {"mixup", "cutmix"} >= set(policy):
        plain = _by_image(Recipe(batch_size=16, flip=recipe.flip), stays=True)
        changed = [not torch.equal(plain[place][0], first[place][0]) for place in plain]
        assert 20 < sum(changed) <= 64
    another = _by_image(recipe.replace(seed=1), stays=True)
    if first[0][1] is None:
        assert any(not torch.equal(another[place][0], first[place][0]) for place in first)
    else:
        assert not any(torch.equal(another[place][1], first[place][1]) for place in first)


def test_training_is_the_same_resident_and_loaded(tmp_path) -> None:
    recipe = short(augment="batches", epochs=1, warmup_epochs=0, **POLICIES[-1])
    runs = {mb: train(tiny(), recipe.replace(cache_mb=mb, workers=mb and None), tmp_path / str(mb),
                      progress=False) for mb in (1024, 0)}  # fmt: skip
    assert scores(runs[0]) == scores(runs[1024])
    assert equal(weights(tmp_path / "0"), weights(tmp_path / "1024"))


def _affine(image, translate=(0, 0), shear=(0.0, 0.0), center=None):
    return F.affine(image, 0.0, list(translate), 1.0, list(shear),
                    interpolation=InterpolationMode.BILINEAR, center=center)  # fmt: skip


PEERS = {
    "identity": (0, lambda image: image),
    "shear_x": (0.3, lambda image: _affine(image, shear=(math.degrees(math.atan(0.3)), 0.0),
                                           center=[0, 0])),
    "shear_y": (-0.3, lambda image: _affine(image, shear=(0.0, math.degrees(math.atan(-0.3))),
                                            center=[0, 0])),
    "translate_x": (3, lambda image: _affine(image, translate=(3, 0))),
    "translate_y": (-4, lambda image: _affine(image, translate=(0, -4))),
    "rotate": (25, lambda image: F.rotate(image, 25, InterpolationMode.BILINEAR)),
    "brightness": (0.4, lambda image: F.adjust_brightness(image, 1.4)),
    "color": (-0.6, lambda image: F.adjust_saturation(image, 0.4)),
    "contrast": (0.5, lambda image: F.adjust_contrast(image, 1.5)),
    "sharpness": (0.9, lambda image: F.adjust_sharpness(image, 1.9)),
    "posterize": (3, lambda image: F.posterize(image, 3)),
    "solarize": (100, lambda image: F.solarize(image, 100)),
    "autocontrast": (0, F.autocontrast),
    "equalize": (0, F.equalize),
}  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_torchvisions(name: str, channels: int) -> None:
    """Of each of several images, up to one grey level of rounding."""
    draw = torch.Generator().manual_seed(4)
    images = torch.randint(30, 220, (3, channels, 20, 17), dtype=torch.uint8, generator=draw)
    images[2] = 7  # of one colour
    value, peer = PEERS[name]
    ours = OPERATIONS[name](images.clone(), torch.full((3,), float(value)))
    theirs = torch.stack([peer(image) for image in images])
    assert ours.dtype == torch.uint8
    assert (ours.int() - theirs.int()).abs().max() <= 1


def test_devices_that_cannot_choose_compute_all() -> None:
    """Where waiting for the device would tell which images an operation takes, all are computed."""
    images = torch.randint(0, 256, (6, 3, 9, 9), dtype=torch.uint8)
    chosen = torch.tensor([True, False, True, True, False, False])
    for work in OPERATIONS.values():
        value = torch.linspace(1, 3, 6)
        on_all = torch.where(chosen.view(-1, 1, 1, 1), work(images, value), images)
        assert torch.equal(_where(chosen, work, images.clone(), value), on_all)


def test_erasing_and_mixing_do_what_papers_say() -> None:
    images = torch.full((400, 3, 16, 16), 200, dtype=torch.uint8)
    draws = torch.rand(400, 5, generator=torch.Generator().manual_seed(0))
    erased = Erasing(0.5, (0.0, 0.5, 1.0))(images, draws)
    changed = (erased != 200).any(dim=1).float().mean(dim=(1, 2))
    assert 150 < (changed > 0).sum() < 250
    assert changed[changed > 0].min() > 0.01 and changed.max() < 0.5
    colour = erased[(changed > 0).nonzero()[0, 0]].flatten(1).T
    assert torch.equal(colour.unique(dim=0), torch.tensor([[0, 128, 255], [200] * 3]).byte())

    draws = torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.0, 0.999]])  # in the middle, in two corners
    cut = Cutout(6, (0.0, 0.5, 1.0))(images[:3], draws) != 200
    assert cut[:, 0].sum(dim=(1, 2)).tolist() == [36, 9, 12]
    assert cut[0, :, 5:11, 5:11].all() and cut[1, :, :3, :3].all() and cut[2, :, :3, 12:].all()

    pair, labels = torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)]), torch.tensor([0, 2])
    shares = torch.tensor([[0.9, 0.3, 0.75, 0.5, 0.5], [0.9, 0.6, 0.75, 0.5, 0.5]])
    mixed, targets = Mixing(0.2, 0, 3)(pair, labels, shares)
    torch.testing.assert_close(mixed[:, 0, 0, 0], torch.tensor([0.7, 0.6]))
    torch.testing.assert_close(targets, torch.tensor([[0.3, 0, 0.7], [0.4, 0, 0.6]]))
    cut, targets = Mixing(0, 1.0, 3)(pair, labels, shares)
    assert cut[0].sum() == 16 and cut[0, :, 2:6, 2:6].min() == 1  # a quarter, in the middle
    torch.testing.assert_close(targets, torch.tensor([[0.75, 0, 0.25], [0.25, 0, 0.75]]))


def test_policies_draw_all_operations() -> None:
    draws = torch.rand(2000, 3, generator=torch.Generator().manual_seed(1))
    image = torch.randint(0, 256, (1, 3, 12, 12), dtype=torch.uint8)
    out = Policy("trivialaugment")(image.repeat(2000, 1, 1, 1), draws)
    assert len(out.unique(dim=0)) > len(OPERATIONS)


@pytest.mark.parametrize(("changes", "message"), [
    (dict(auto_augment="rand-m7"), "only none, randaugment, trivialaugment"),
    (dict(mixup=0.2, batch_size=30, accumulate=2), "leaves 15 for each of 1 processes"),
])  # fmt: skip
def test_what_batches_cannot_do(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(tiny(), short(augment="batches", **changes), progress=False)
