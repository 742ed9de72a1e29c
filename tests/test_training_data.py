"""Images: embedded, folders, Datasets; order, augmentation, noise, files that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from resnet_variants.training import Recipe, load_data, train
from resnet_variants.training.augment import ShiftFlip, batch_mix
from resnet_variants.training.corruptions import CORRUPTIONS, corrupt
from resnet_variants.training.data import flip_labels
from resnet_variants.training.images import IGNORED
from resnet_variants.training.sources import balanced

from .training_runs import scores, short, tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of 12 training and 6 test images, 10x12, of different brightness."""
    draw = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 6)):
        for level, name in ((60, "dark"), (180, "light")):
            path = tmp_path / part / name
            path.mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(level - 50, level + 50, (10, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path / f"{i}.png")
    return tmp_path


def _epoch(data, epoch: int = 0, batch: int = 8):
    loader, sampler = data.loader(data.train, batch, seed=data.train.seed)
    sampler.epoch = epoch
    batches = list(loader)
    return torch.cat([b.images for b in batches]), torch.cat([b.labels for b in batches])


@pytest.mark.parametrize(("name", "shape", "counts"), [
    ("digits", (1, 8, 8), (1297, 500)), ("mnist5k", (1, 28, 28), (4000, 1000)),
])  # fmt: skip
def test_embedded(name: str, shape: tuple[int, int, int], counts: tuple[int, int]) -> None:
    data = load_data(Recipe(data=name))
    assert data.shape == shape and data.num_classes == 10
    assert (len(data.train), len(data.test)) == counts
    assert set(np.bincount(data.test.labels)) == {counts[1] // 10}
    train = {bytes(data.train.load(i).numpy()) for i in range(len(data.train))}
    test = [bytes(data.test.load(i).numpy()) for i in range(len(data.test))]
    assert len(train & set(test)) == 0
    images, _ = _epoch(load_data(Recipe(data=name, crop="none")), batch=64)
    values = (images.double() / 255 - data.mean[0]) / data.std[0]
    assert abs(values.mean()) < 0.05 and abs(values.std() - 1) < 0.05


def test_order_and_augmentation_follow_from_the_seed(folder: Path) -> None:
    recipe = Recipe(data=str(folder), batch_size=8, flip=True, random_erasing=0.5, workers=0)
    first, labels = _epoch(load_data(recipe))
    torch.rand(7)  # what was drawn before does not matter
    again, again_labels = _epoch(load_data(recipe))
    assert torch.equal(first, again) and torch.equal(labels, again_labels)
    elsewhere, _ = _epoch(load_data(recipe.replace(workers=2)))
    assert torch.equal(first, elsewhere)
    assert not torch.equal(first, _epoch(load_data(recipe), epoch=1)[0])
    assert not torch.equal(first, _epoch(load_data(recipe.replace(seed=1)))[0])


def test_processes_share_each_batch() -> None:
    data = load_data(short())
    whole = [b.labels for b in data.loader(data.train, 32, seed=0)[0]]
    parts = [[b.labels for b in data.loader(data.train, 32, r, 2, seed=0)[0]] for r in (0, 1)]
    for batch, *halves in zip(whole, *parts, strict=True):
        assert torch.equal(batch, torch.cat(halves))
    tests = [[b.labels for b in data.loader(data.test, 32, r, 2)[0]] for r in (0, 1)]
    assert [len(each) for each in tests] == [2, 2]  # equally many steps
    labels = torch.cat([torch.cat(each) for each in tests])
    assert (labels != IGNORED).sum() == len(data.test) == 50


def test_loader_starts_within_an_epoch() -> None:
    data = load_data(short())
    loader, sampler = data.loader(data.train, 32, seed=0)
    whole = [b.images for b in loader]
    sampler.start, sampler.stop = 2, 3
    (rest,) = [b.images for b in loader]
    assert torch.equal(rest, whole[2])


def test_shift_and_flip_are_those_of_torchvision() -> None:
    """Every image is one of the crops of the padded image or its mirror; all of them occur."""
    from torchvision.transforms.v2 import functional as F

    image = torch.arange(64, dtype=torch.uint8).view(1, 8, 8) + 1
    wanted = set()
    padded = F.pad(image, [1, 1, 1, 1])
    for top in range(3):
        for left in range(3):
            crop = F.crop(padded, top, left, 8, 8)
            wanted |= {bytes(crop.numpy()), bytes(F.horizontal_flip(crop).contiguous().numpy())}
    move = ShiftFlip(shift=True, flip=True)
    draws, windows = move.draws(0, 500, 0), move.windows(image[None])
    many = move.pick(windows, torch.zeros(500, dtype=torch.long), draws)
    assert {bytes(each.numpy()) for each in many} == wanted


def test_folder(folder: Path) -> None:
    data = load_data(Recipe(data=str(folder), batch_size=8))
    assert data.shape == (3, 10, 12) and data.classes == ["dark", "light"]
    assert (len(data.train), len(data.test)) == (24, 12)
    sized = load_data(Recipe(data=str(folder), batch_size=8, image_size=16))
    assert _epoch(sized)[0].shape[1:] == (3, 16, 16)


def test_unreadable_files_are_named_and_left_out(folder: Path) -> None:
    bad = folder / "train" / "dark" / "3.png"
    bad.write_bytes(bad.read_bytes()[:60])
    lost = folder / "test" / "light" / "0.png"
    lost.write_bytes(b"no image")
    recipe = short(data=str(folder), batch_size=8, train_images=None, test_images=None)
    with pytest.warns(UserWarning, match=r"cannot be read: .*3\.png"):
        result = train(tiny(), recipe, progress=False)
    assert {Path(name).name for name in result.unreadable} == {"3.png", "0.png"}
    assert 0 <= result.top1 <= 100
    assert result.top1 * 11 / 100 == pytest.approx(round(result.top1 * 11 / 100), abs=1e-3)
    with pytest.raises(ValueError, match=r"(3|0)\.png"):
        train(tiny(), recipe.replace(on_corrupt_file="raise"), progress=False)


class _Pairs(Dataset):
    """A user's own: float tensors and labels, nothing else."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int):
        if i >= self.count:
            raise IndexError
        return torch.full((2, 9, 9), i % 3 / 2.0), i % 3


def test_any_dataset(tmp_path: Path) -> None:
    recipe = Recipe(epochs=2, batch_size=16)
    result = train(tiny(), recipe, tmp_path, train_set=_Pairs(48), test_set=_Pairs(9),
                   progress=False)  # fmt: skip
    assert result.shape == (2, 9, 9) and result.config["in_chans"] == 2
    assert result.config["num_classes"] == 3 and result.top5 is None
    again = train(tiny(), recipe, train_set=_Pairs(48), test_set=_Pairs(9), progress=False)
    assert scores(again) == scores(result)


REFUSED = [
    (dict(data="cifar11"), "Unknown data set or folder 'cifar11'. Did you mean 'cifar10'"),
    (dict(data="cifar10"), "data='cifar10' needs data_dir"),
    (dict(data="cifar10", data_dir="nowhere"), "data='cifar10' is not in data_dir='nowhere'"),
    (dict(data="imagenet", data_dir="nowhere"), "data='imagenet' is not in data_dir"),
    (dict(data=str(Path(__file__).parent)), "must have train/CLASS"),
    (dict(train_images=5000), "train_images=5000, but there are 1297"),
    (dict(train_images=32), "batch_size=64 of only 32 training images"),
    (dict(mean=(0.5, 0.5), std=(0.5, 0.5)), "for images of 1 channels"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_missing_data_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_data(Recipe(**values))


def test_folders_that_differ_are_refused(folder: Path) -> None:
    (folder / "test" / "dark").rename(folder / "test" / "darker")
    with pytest.raises(ValueError, match=r"differ in classes: \['dark', 'darker'\]"):
        load_data(Recipe(data=str(folder), batch_size=8))


def test_images_of_several_sizes_ask_for_a_size(folder: Path) -> None:
    Image.new("RGB", (20, 20)).save(folder / "train" / "dark" / "0.png")
    with pytest.raises(ValueError, match="several shapes.*give image_size"):
        _epoch(load_data(Recipe(data=str(folder), batch_size=8)))
    _epoch(load_data(Recipe(data=str(folder), batch_size=8, image_size=12)))


def test_torchvision_by_name() -> None:
    data = load_data(Recipe(data="fake", train_images=64, test_images=20))
    assert data.shape == (3, 32, 32) and (len(data.train), len(data.test)) == (64, 20)


def test_balanced_subset() -> None:
    labels = [0] * 50 + [1] * 30 + [2] * 5
    chosen = balanced(labels, 30)
    assert np.bincount([labels[i] for i in chosen]).tolist() == [13, 12, 5]
    assert balanced(labels, 30) == chosen
    assert set(balanced(labels, 15)) < set(chosen)  # smaller subsets lie in larger ones


def test_label_noise() -> None:
    labels = np.arange(5000) % 10
    noisy, count = flip_labels(labels, 10, 0.3, seed=0)
    changed = [(a, b) for a, b in zip(labels, noisy, strict=True) if a != b]
    assert len(changed) == count == 1500
    assert np.bincount([b for _, b in changed]).std() < 20  # all other classes alike
    assert np.array_equal(flip_labels(labels, 10, 0.3, seed=0)[0], noisy)
    assert not np.array_equal(flip_labels(labels, 10, 0.3, seed=1)[0], noisy)
    data = load_data(Recipe(label_noise=0.5))
    clean = load_data(Recipe())
    assert data.flipped == 648 and np.array_equal(data.test.labels, clean.test.labels)
    assert sum(a != b for a, b in zip(data.train.labels, clean.train.labels, strict=True)) == 648


@pytest.mark.parametrize("name", list(CORRUPTIONS))
def test_corruptions_grow_with_severity(name: str) -> None:
    torch.manual_seed(0)
    rough = torch.rand(1, 3, 8, 8) * 200 + 20
    image = torch.nn.functional.interpolate(rough, 32, mode="bilinear")[0].to(torch.uint8)
    errors = []
    for severity in (1, 5):
        out = corrupt(image, f"{name}:{severity}")
        assert out.shape == image.shape and out.dtype == torch.uint8
        errors.append((out.float() - image.float()).abs().mean().item())
    assert 0 < errors[0] < errors[1]
    assert corrupt(image.float() / 255, name).dtype == torch.float32


def test_mixing() -> None:
    images, labels = torch.rand(8, 3, 8, 8), torch.arange(8)
    mixed, targets = batch_mix(Recipe(mixup=0.5, cutmix=1.0), 8)(images, labels)
    assert mixed.shape == images.shape and targets.shape == (8, 8)
    torch.testing.assert_close(targets.sum(1), torch.ones(8))
    assert batch_mix(Recipe(), 8) is None


@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])
def test_policies(policy: str) -> None:
    recipe = short(auto_augment=policy, crop="resized", image_size=16, eval_crop=0.875)
    data = load_data(recipe.replace(data="fake"))
    assert _epoch(data)[0].shape[1:] == (3, 16, 16)
    assert next(iter(data.loader(data.test, 4)[0])).images.shape == (4, 3, 16, 16)
