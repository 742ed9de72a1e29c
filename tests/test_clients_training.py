"""Data and trackers of others, each really used: ``make clients``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_variants.training import Track, load_data, train

from .training_runs import scores, short, tiny

pytestmark = pytest.mark.clients

CLASSES = ["even", "odd"]
COUNTS = {"train": 64, "test": 16}


def _picture(i: int) -> Image.Image:
    drawn = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(drawn)


def _hugging_face(folder: Path) -> Any:
    """A DatasetDict of the pictures."""
    datasets = import_module("datasets")
    kinds = {"img": datasets.Image(), "fine": datasets.ClassLabel(names=CLASSES)}
    parts = {
        part: datasets.Dataset.from_dict(
            {"img": [_picture(i) for i in range(n)], "fine": [i % 2 for i in range(n)]},
            features=datasets.Features(kinds),
        )
        for part, n in COUNTS.items()
    }
    return datasets.DatasetDict(parts)


def _archives(folder: Path) -> None:
    """Two archives a part, as webdataset writes them."""
    webdataset = import_module("webdataset")
    for part, count in COUNTS.items():
        pattern = str(folder / f"{part}-%03d.tar")
        with webdataset.ShardWriter(pattern, maxcount=count // 2, verbose=0) as shards:
            for i in range(count):
                shards.write({"__key__": f"{i:04d}", "png": _picture(i), "cls": i % 2})


def _pixels(data: Any) -> torch.Tensor:
    return torch.stack([data.train.load(i) for i in range(len(data.train))])


RECIPE = short(train_images=None, test_images=None, epochs=1, warmup_epochs=0)
EXPECTED = torch.stack(
    [torch.from_numpy(np.array(_picture(i))).permute(2, 0, 1) for i in range(COUNTS["train"])]
)


def test_hugging_face(tmp_path: Path) -> None:
    """By name, and as objects; the classes have their names."""
    found = _hugging_face(tmp_path)
    found.save_to_disk(tmp_path)
    recipe = RECIPE.replace(data=f"hf:{tmp_path}")
    data = load_data(recipe)
    assert data.classes == CLASSES and (len(data.train), len(data.test)) == (64, 16)
    assert torch.equal(_pixels(data), EXPECTED)
    named = train(tiny(), recipe, progress=False)
    given = train(tiny(), RECIPE, train_set=found["train"], test_set=found["test"], progress=False)
    assert scores(named) == scores(given) and named.classes == CLASSES


def test_streamed_hugging_face(tmp_path: Path) -> None:
    """An IterableDataset has neither a length nor positions."""
    streams = {k: each.to_iterable_dataset() for k, each in _hugging_face(tmp_path).items()}
    renamed = {k: each.rename_columns({"img": "image", "fine": "label"})
               for k, each in streams.items()}  # fmt: skip
    data = load_data(RECIPE, renamed["train"], renamed["test"])
    assert torch.equal(_pixels(data), EXPECTED)


@pytest.mark.parametrize("decoded", [False, True])
def test_webdataset(decoded: bool, tmp_path: Path) -> None:
    """Archives read where they lie, and through a pipeline of webdataset, decoded or not."""
    _archives(tmp_path)
    direct = load_data(RECIPE.replace(data=str(tmp_path)))
    webdataset = import_module("webdataset")
    pipelines = []
    for part in COUNTS:
        shards = sorted(map(str, tmp_path.glob(f"{part}-*.tar")))
        pipeline = webdataset.WebDataset(shards, shardshuffle=False)
        if decoded:
            pipeline = pipeline.decode("pil").to_tuple("png", "cls")
        pipelines.append(pipeline)
    streamed = load_data(RECIPE, *pipelines)
    for data in (direct, streamed):
        assert torch.equal(_pixels(data), EXPECTED)
        assert data.train.labels.tolist() == [0, 1] * 32


# Trackers: what was written is read with the tracker's own reader


def _tensorboard(folder: Path, run: str) -> dict[str, list[float]]:
    module = import_module("tensorboard.backend.event_processing.event_accumulator")
    found: dict[str, list[float]] = {}
    for path in folder.rglob("events.out.tfevents.*"):
        events = module.EventAccumulator(str(path.parent))
        events.Reload()
        for name in events.Tags()["scalars"]:
            found[name] = [each.value for each in events.Scalars(name)]
    return found


def _mlflow(folder: Path, run: str) -> dict[str, list[float]]:
    client = import_module("mlflow").MlflowClient()
    experiment = client.get_experiment_by_name(run)
    (only,) = client.search_runs([experiment.experiment_id])
    assert only.info.status == "FINISHED" and only.data.params["lr"] == "0.1"
    history = {
        name: client.get_metric_history(only.info.run_id, name) for name in only.data.metrics
    }
    return {name: [each.value for each in values] for name, values in history.items()}


def _trackio(folder: Path, run: str) -> dict[str, list[float]]:
    storage = import_module("trackio.sqlite_storage").SQLiteStorage
    (only,) = storage.get_runs(run)
    lines = storage.get_logs(run, only)
    names = {name for line in lines for name in line}
    return {name: [line[name] for line in lines if name in line] for name in names}


READERS = {"tensorboard": _tensorboard, "mlflow": _mlflow, "trackio": _trackio}


@pytest.mark.parametrize("name", READERS)
def test_tracker(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "trackio":  # it asks for an older Pillow than the other clients have
        pytest.importorskip("trackio")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.chdir(tmp_path)
    recipe = short(train_images=64, test_images=20)
    result = train(tiny(), recipe, progress=False, callbacks=[Track([name], tmp_path, "mine")])
    found = READERS[name](tmp_path, "mine")
    for column in ("train_loss", "top1", "lr"):
        expected = [line[column] for line in result.history]
        assert found[column] == pytest.approx(expected, rel=1e-6), column
    assert found["final_top1"] == pytest.approx([result.top1])
