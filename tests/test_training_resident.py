"""Images that stay on the device: every batch is bitwise the loader's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.data import Dataset

from resnet_variants.training import Recipe, load_data, train
from resnet_variants.training.images import Images
from resnet_variants.training.resident import ResidentImages

from .training_runs import scores, short, tiny


class Photos(Dataset):
    """A user's own: uint8 tensors of three channels, not square."""

    classes = ("a", "b", "c")

    def __init__(self, count: int) -> None:
        draw = torch.Generator().manual_seed(count)
        self.images = torch.randint(0, 256, (count, 3, 20, 17), dtype=torch.uint8, generator=draw)
        self.targets = [i % 3 for i in range(count)]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int):
        return self.images[row], self.targets[row]


@pytest.mark.parametrize("recipe", [
    dict(crop="pad", flip=True), dict(crop="pad"), dict(crop="none", flip=True), dict(crop="none"),
    dict(crop="pad", image_size=12, flip=True), dict(crop="none", image_size=12, eval_crop=0.8),
], ids=str)  # fmt: skip
def test_batches_are_the_loaders(recipe: dict) -> None:
    data = load_data(Recipe(batch_size=16, **recipe), Photos(100), Photos(37))
    loaded = replace(data, stays=False)
    for images, seed in ((data.train, 3), (data.test, None)):
        for rank, world in ((0, 1), (1, 2)):
            pairs = [each.loader(images, 16, rank, world, seed=seed) for each in (data, loaded)]
            assert isinstance(pairs[0][0].dataset, ResidentImages)
            assert isinstance(pairs[1][0].dataset, Images)
            for epoch in (0, 3):
                for _, sampler in pairs:
                    sampler.epoch, sampler.start = epoch, 1
                batches = list(zip(*(loader for loader, _ in pairs), strict=True))
                assert len(batches) == len(pairs[0][1]) - 1
                for mine, theirs in batches:
                    assert torch.equal(mine.images, theirs.images)
                    assert mine.images.stride() == theirs.images.stride()
                    assert torch.equal(mine.labels, theirs.labels)


@pytest.mark.parametrize(
    "other",
    [dict(random_erasing=0.5), dict(auto_augment="trivialaugment"), dict(workers=1)],
    ids=str,
)
def test_what_is_drawn_image_by_image_is_loaded(other: dict) -> None:
    data = load_data(Recipe(batch_size=16, **other), Photos(32), Photos(32))
    assert isinstance(data.loader(data.train, 16, seed=0)[0].dataset, Images)


def test_training_is_the_same_without() -> None:
    recipe = short(flip=True, corruptions=("gaussian_noise:2",))
    runs = [train(tiny(), recipe.replace(cache_mb=mb), progress=False) for mb in (1024, 0)]
    assert scores(runs[0]) == scores(runs[1])
