"""Images as a viewer shows them, and the folders, archives and iterables that they come in."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_variants.photographs import image_files, read_image
from resnet_variants.training import load_data
from resnet_variants.training.listing import Kept, folder_listing

from .training_runs import short

RED = np.zeros((4, 6, 3), dtype=np.uint8)
RED[..., 0] = 200


def _saved(image: Image.Image, path: Path, **options) -> torch.Tensor:
    image.save(path, **options)
    return read_image(path)


def test_kinds_of_images(tmp_path: Path) -> None:
    red = Image.fromarray(RED)
    for name, image in (
        ("plain.png", red), ("palette.png", red.quantize(4)), ("cmyk.tif", red.convert("CMYK")),
    ):  # fmt: skip
        seen = _saved(image, tmp_path / name)
        assert seen.shape == (3, 4, 6) and seen.dtype == torch.uint8
        assert (seen[0].int() - 200).abs().max() <= 1 and seen[1:].max() <= 1
    gray = _saved(Image.fromarray(np.full((4, 6), 90, np.uint8)), tmp_path / "gray.png")
    assert (gray == 90).all()
    deep = Image.fromarray(np.full((4, 6), 0x8000, np.uint16))
    assert (_saved(deep, tmp_path / "deep.png") == 128).all()
    clear = Image.fromarray(np.dstack([RED, np.zeros((4, 6), np.uint8)]), "RGBA")
    assert (_saved(clear, tmp_path / "clear.png") == 255).all()
    turned = Image.Exif()
    turned[274] = 6
    for suffix in ("jpg", "png"):
        assert _saved(red, tmp_path / f"turned.{suffix}", exif=turned).shape == (3, 6, 4)
    cmyk = _saved(red.convert("CMYK"), tmp_path / "cmyk.jpg")
    assert cmyk[0].float().mean() > 150 > 60 > cmyk[1].float().mean()


def test_links_are_followed_but_not_round(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one / "deep", other):
        folder.mkdir(parents=True)
    for path in (one / "a.png", other / "b.JPG", one / ".hidden.png", one / "deep" / "note.txt"):
        path.touch()
    (one / "up").symlink_to("..")
    (one / "deep" / "self").symlink_to(".")
    (one / "to").symlink_to(other)
    (other / "back").symlink_to(one)
    found, others = image_files(one)
    assert [Path(each).relative_to(one).as_posix() for each in found] == ["a.png", "to/b.JPG"]
    assert {"up", "self", "back", ".hidden.png", "note.txt"} <= {Path(each).name for each in others}


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    Image.fromarray(RED).save(bad)
    bad.write_bytes(bad.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"bad\.jpg is no image"):
        read_image(bad)
    for data, why in ((b"", "empty$"), (b"no image", "of no kind that is known$")):
        with pytest.raises(ValueError, match=why):
            read_image(data)
    with pytest.raises(FileNotFoundError, match="There is no image"):
        read_image(tmp_path / "gone.jpg")


def test_hidden_and_stray_files_are_left_out_with_a_note(tmp_path: Path) -> None:
    for name in ("a", "b", ".cache"):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.fromarray(RED).save(tmp_path / name / f"{i}.png")
    for stray in ("a/notes.txt", "a/.hidden.png", "readme.md"):
        (tmp_path / stray).write_bytes(b"x")
    with pytest.warns(UserWarning, match="4 hidden files or files that are no images"):
        found = folder_listing(tmp_path)
    assert found.classes == ["a", "b"] and len(found) == 10
    assert found.path(0).endswith("a/0.png") and found[9][1] == 1


def test_archives_are_as_their_images(tmp_path: Path) -> None:
    """WebDataset: any order of members; the number of a class beside each image."""
    for part, count in (("train", 12), ("test", 4)):
        with tarfile.open(tmp_path / f"{part}-000.tar", "w") as file:
            for i in range(count):
                data = io.BytesIO()
                Image.fromarray(np.full((8, 8, 3), 10 * i, np.uint8)).save(data, "png")
                for suffix, content in (("cls", str(i % 2).encode()), ("png", data.getvalue())):
                    member = tarfile.TarInfo(f"{i:04d}.{suffix}")
                    member.size = len(content)
                    file.addfile(member, io.BytesIO(content))
    (tmp_path / "classes.txt").write_text("even\nodd\n")
    data = load_data(short(data=str(tmp_path), train_images=None, test_images=None, batch_size=4))
    assert data.classes == ["even", "odd"] and (len(data.train), len(data.test)) == (12, 4)
    assert [int(data.train.load(i)[0, 0, 0]) for i in range(12)] == [10 * i for i in range(12)]
    assert list(data.train.labels) == [0, 1] * 6


def test_what_can_only_be_iterated_over_is_kept() -> None:
    rows = (
        {"image": torch.full((1, 8, 8), i, dtype=torch.uint8), "label": i % 2} for i in range(9)
    )
    kept = Kept(rows)
    assert len(kept) == 9 and kept[3][1] == 1 and kept[3][0].max() == 3
    data = load_data(
        short(train_images=None, test_images=None, batch_size=4),
        ((torch.full((1, 8, 8), i, dtype=torch.uint8), i % 2) for i in range(8)),
        ((torch.full((1, 8, 8), i, dtype=torch.uint8), i % 2) for i in range(4)),
    )
    assert (len(data.train), data.num_classes) == (8, 2)
