"""The catalogue is well-formed, and published files are found, fetched and checked."""

from __future__ import annotations

import hashlib
import http.server
import multiprocessing
import re
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch

from resnet_variants import (
    create_model,
    export_state_dict,
    list_models,
    list_weights,
    load_checkpoint,
    model_config,
    transforms_for,
    weights_info,
)
from resnet_variants.builders import build_on
from resnet_variants.checkpoints import DIALECTS, MismatchError, Weights, errors, write_checkpoint
from resnet_variants.checkpoints import catalogue as catalogue_module
from resnet_variants.checkpoints import download as download_module
from resnet_variants.checkpoints.dialects import OWN
from resnet_variants.checkpoints.download import fetch
from resnet_variants.checkpoints.fingerprints import lines
from resnet_variants.checkpoints.matching import pairs_of

ENTRIES = list_weights()
LICENCES = {
    "apache-2.0",
    "bsd-2-clause",
    "bsd-3-clause",
    "mit",
    "cc-by-nc-4.0",
    "seer-license",
    "unknown",
}


@pytest.mark.parametrize("weights", ENTRIES, ids=lambda weights: weights.name)
def test_entry_is_well_formed(weights: Weights) -> None:
    address = urlsplit(weights.url)
    if weights.packaged is None:
        assert address.scheme == "https"
        assert address.netloc
    else:
        assert weights.packaged.is_file()
    assert weights.filename.endswith((".pth", ".pth.zip", ".pyth", ".th", ".safetensors"))
    assert re.fullmatch(r"sha256:[0-9a-f]{8,64}|sha1:[0-9a-f]{40}|unknown", weights.hash)
    if weights.hash != "unknown" and "regnet" not in weights.filename:
        assert weights.hash.partition(":")[2][:8] in weights.filename
    assert weights.license in LICENCES
    assert weights.dialect in DIALECTS or weights.dialect == OWN
    assert weights.model in list_models()
    assert model_config(weights.model).replace(**weights.changes)
    assert weights.tag
    assert weights.dataset
    assert weights.classes > 1
    assert 32 <= weights.size <= weights.resize <= 512
    assert weights.interpolation in ("bilinear", "bicubic")
    assert len(weights.mean) == len(weights.std) == 3
    assert all(0 < value < 256 for value in weights.mean + weights.std)
    assert weights.channels in ("rgb", "bgr")
    assert weights.source
    for accuracy in (weights.top1, weights.top5):
        assert accuracy is None or 30 < accuracy < 100
    assert weights.top1 is None or weights.top5 is None or weights.top1 < weights.top5


def test_names_are_unique() -> None:
    assert max(Counter(weights.name for weights in ENTRIES).values()) == 1
    files = Counter((w.filename, w.model) for w in ENTRIES)
    assert [name for name, times in files.items() if times > 1] == []


def test_dialects_can_express_their_entries() -> None:
    """Each dialect has names for each model of the catalogue that is said to be in it."""
    seen = set()
    for weights in ENTRIES:
        config = model_config(weights.model).replace(**weights.changes)
        parts = (weights.dialect, config.builder, str(sorted(weights.changes)))
        kind = (*parts, *(getattr(config, name, "") for name in ("conv", "stem", "attention")))
        if kind in seen:
            continue
        seen.add(kind)
        model = build_on(config, device="meta")
        assert pairs_of(model, weights.dialect, list(model.state_dict())), weights.name


def test_listing() -> None:
    assert {w.tag for w in list_weights("resnet50")} >= {"tv_in1k", "tv2_in1k", "a1_in1k"}
    assert list_weights("resnet50b") == list_weights("resnet50")
    assert {w.license for w in list_weights("regnet*", license="cc-by-nc-4.0")} == {"cc-by-nc-4.0"}
    assert "unknown" not in {w.license for w in list_weights(license="permissive")}
    with pytest.raises(ValueError, match=r"Unknown license 'gpl'.*Valid"):
        list_weights(license="gpl")


def test_info() -> None:
    weights = weights_info("resnet50", "tv_in1k")
    assert weights == weights_info("resnet50.tv_in1k")
    assert (weights.top1, weights.top5, weights.size) == (76.13, 92.862, 224)
    assert weights_info("resnet50") == list_weights("resnet50")[0]
    with pytest.raises(ValueError, match=r"weights of resnet50 'tv3_in1k'. Did you mean 'tv_in1k'"):
        weights_info("resnet50.tv3_in1k")
    with pytest.raises(ValueError, match=r"No weights of 'ssaresnet50' are published"):
        weights_info("ssaresnet50")


def test_transforms_follow_the_entry() -> None:
    model = create_model("regnety_002", device="meta")
    transform = transforms_for(model, weights_info("regnety_002", "pycls_dds_in1k"))
    red = torch.zeros(3, 300, 400, dtype=torch.uint8)
    red[0] = 255
    image = transform(red)
    assert image.shape == (3, 224, 224)
    # blue, green, red: the last channel is white
    expected = torch.tensor([-0.406 / 0.225, -0.456 / 0.224, (1 - 0.485) / 0.229])
    assert torch.allclose(image[:, 100, 100], expected, atol=1e-5)
    scaled = transforms_for(model, replace(weights_info("resnet50"), scale=255.0, std=(1, 1, 1)))
    assert scaled(red).max() > 200
    with pytest.raises(ValueError, match="Nothing is known of how images were prepared"):
        transforms_for(model)


# Downloads, from a server on this machine ---------------------------------------------------------

MODEL = "resnet20_cifar"


class Server(http.server.SimpleHTTPRequestHandler):
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        if "cut" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"x" * 100)
        elif "page" in self.path:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<!DOCTYPE html><html>Sign in</html>")
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Weights]:
    """Weights on a server, an empty cache, and a catalogue that knows them."""
    folder = tmp_path / "server"
    state = export_state_dict(create_model(MODEL), "kuangliu")
    path = write_checkpoint(state, folder / "weights.pth")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    path = path.rename(folder / f"resnet20-{digest}.pth")
    Server.requests = 0
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Server, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    entry = replace(
        weights_info(MODEL),
        tag="here",
        url=f"http://127.0.0.1:{server.server_port}/{path.name}",
        hash=f"sha256:{digest}",
    )
    entries = {entry.name: entry}
    monkeypatch.setattr(catalogue_module, "_entries", lambda: entries)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr(download_module, "_WAITS", (0.01,))
    monkeypatch.delenv("RESNET_VARIANTS_WEIGHTS", raising=False)
    monkeypatch.delenv("RESNET_VARIANTS_OFFLINE", raising=False)
    yield entry
    server.shutdown()
    server.server_close()


def _left(weights: Weights, tmp_path: Path) -> list[str]:
    folder = tmp_path / "hub" / "checkpoints"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_pretrained_downloads_once(published: Weights, tmp_path: Path) -> None:
    model = create_model(MODEL, pretrained="here")
    assert model.load_report.weights == published
    create_model(MODEL, pretrained=True)
    assert create_model(MODEL, pretrained=True, pretrained_cfg="here").load_report.weights
    load_checkpoint(model, published.url)
    load_checkpoint(model, published.name)
    assert Server.requests == 1
    assert _left(published, tmp_path) == [published.filename]
    assert transforms_for(model)(torch.zeros(3, 40, 50, dtype=torch.uint8)).shape == (3, 32, 32)


def test_pretrained_adapts_what_was_asked(published: Weights) -> None:
    model = create_model(MODEL, pretrained=True, num_classes=4, in_chans=1)
    assert model.head.fc.weight.shape[0] == 4
    assert 0 < model.head.fc.weight.std() < 0.02  # drawn, not left over
    assert len(model.load_report.adapted) == 2
    assert create_model(MODEL, pretrained=True, num_classes=0).num_classes == 0
    assert len(create_model(MODEL, pretrained=True, features_only=True)(torch.rand(1, 3, 32, 32)))


def test_weights_that_need_another_configuration(
    published: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their changes are made for them; loaded into the plain network they are refused."""
    changed = replace(published, changes={"act_layer": "silu"})
    monkeypatch.setattr(catalogue_module, "_entries", lambda: {changed.name: changed})
    model = create_model(MODEL, pretrained=True)
    assert model.config.act_layer == "silu"
    with pytest.raises(MismatchError, match=r"of another network.*act_layer='silu'"):
        load_checkpoint(create_model(MODEL), changed)
    path = tmp_path / "server" / published.filename
    with pytest.raises(MismatchError, match="of another network"):
        load_checkpoint(create_model(MODEL), path)


def test_other_content_is_refused_and_not_kept(published: Weights, tmp_path: Path) -> None:
    wrong = replace(published, hash="sha256:00000000")
    with pytest.raises(errors.HashError, match=r"arrived broken .* published is 00000000"):
        fetch(wrong)
    for path in ("page", "cut"):
        with pytest.raises((errors.HashError, errors.WeightsUnavailableError)):
            fetch(replace(published, url=published.url.rpartition("/")[0] + f"/{path}.pth"))
    assert _left(published, tmp_path) == []


def test_offline_says_which_file_to_put_where(
    published: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESNET_VARIANTS_OFFLINE", "1")
    with pytest.raises(errors.WeightsUnavailableError) as caught:
        create_model(MODEL, pretrained=True)
    for part in (
        published.filename,
        published.url,
        str(tmp_path / "hub"),
        "RESNET_VARIANTS_WEIGHTS",
    ):
        assert part in str(caught.value)
    folder = tmp_path / "mine"
    folder.mkdir()
    (tmp_path / "server" / published.filename).rename(folder / published.filename)
    monkeypatch.setenv("RESNET_VARIANTS_WEIGHTS", str(folder))
    assert create_model(MODEL, pretrained=True).load_report.weights == published
    (folder / published.filename).write_bytes(b"something else")
    with pytest.raises(errors.HashError, match="is not the published file"):
        fetch(published)


def test_no_server(published: Weights, tmp_path: Path) -> None:
    with pytest.raises(errors.WeightsUnavailableError, match=r"the download failed .*refused"):
        fetch(replace(published, url="http://127.0.0.1:9/" + published.filename))
    assert _left(published, tmp_path) == []


def test_missing_file_on_the_server(published: Weights, tmp_path: Path) -> None:
    with pytest.raises(errors.WeightsUnavailableError, match="File not found"):
        fetch(replace(published, url=published.url.replace("resnet20", "resnet21")))
    assert _left(published, tmp_path) == []


def test_cache_that_cannot_be_written(
    published: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(errors.WeightsUnavailableError, match=r"cannot be written\. Put the file"):
        fetch(published)


def test_zipped_files_are_checked_by_what_is_inside(published: Weights, tmp_path: Path) -> None:
    server = tmp_path / "server"
    digest = hashlib.sha1((server / published.filename).read_bytes()).hexdigest()
    with zipfile.ZipFile(server / "w.pth.zip", "w") as archive:
        archive.write(server / published.filename, "w.pth")
    zipped = replace(
        published, url=published.url.rpartition("/")[0] + "/w.pth.zip", hash=f"sha1:{digest}"
    )
    report = load_checkpoint(create_model(MODEL), zipped)
    assert report.format == "zipped PyTorch zip"


def _fetch_in_process(hub: str, weights: Weights, gate: object) -> None:
    torch.hub.set_dir(hub)
    gate.wait()  # type: ignore[attr-defined]
    fetch(weights, progress=False)


def test_two_processes_download_once(published: Weights, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    gate = context.Barrier(2)
    workers = [
        context.Process(target=_fetch_in_process, args=(str(tmp_path / "hub"), published, gate))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert Server.requests == 1
    assert _left(published, tmp_path) == [published.filename]


def test_unknown_url() -> None:
    with pytest.raises(ValueError, match="not in the catalogue, so its hash is not known"):
        load_checkpoint(create_model(MODEL), "https://example.com/weights.pth")


@pytest.mark.slow
def test_fingerprints_are_those_of_the_zoo() -> None:
    """Written by ``python -m resnet_variants.checkpoints.fingerprints``."""
    path = Path(catalogue_module.__file__).with_name("fingerprints.csv")
    assert path.read_text(encoding="utf-8").splitlines() == lines()
