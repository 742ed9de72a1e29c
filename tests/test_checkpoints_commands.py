"""convert, predict, the Hub, and the networks in timm and torchvision."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
import torchvision

from resnet_variants import (
    create_model,
    export_state_dict,
    from_pretrained,
    load,
    push_to_hub,
    save,
    weights_info,
)
from resnet_variants.checkpoints import read_checkpoint, write_checkpoint
from resnet_variants.cli import main
from resnet_variants.network import Network

MODEL = "resnet20_cifar"


@pytest.fixture
def model() -> Network:
    torch.manual_seed(0)
    return create_model(MODEL).eval()


def test_convert(model: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = export_state_dict(model, "kuangliu")
    source = write_checkpoint({f"module.{k}": v for k, v in theirs.items()}, tmp_path / "a.pth")
    there = tmp_path / "b.safetensors"
    assert main(["convert", str(source), str(there), "--model", MODEL, "--to", "pytorchcv"]) == 0
    assert read_checkpoint(there).tensors.keys() == export_state_dict(model, "pytorchcv").keys()
    back = tmp_path / "c.pth"
    assert main(["convert", str(there), str(back), "--model", MODEL, "--to", "kuangliu"]) == 0
    found = read_checkpoint(back).tensors
    assert all(torch.equal(found[name], tensor) for name, tensor in theirs.items())
    printed = capsys.readouterr().out
    assert "by kuangliu names" in printed
    assert "by pytorchcv names" in printed
    own = tmp_path / "d.safetensors"
    assert main(["convert", str(back), str(own), "--model", MODEL]) == 0
    assert load(own).config == model.config


def test_convert_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "gone.pth")
    assert main(["convert", path, str(tmp_path / "a.pth"), "--model", MODEL]) == 2
    assert "no file" in capsys.readouterr().err
    source = write_checkpoint(create_model(MODEL).state_dict(), tmp_path / "w.pth")
    target = tmp_path / "a.pth"
    assert main(["convert", str(source), str(target), "--model", MODEL, "--to", "tim"]) == 2
    assert "Did you mean 'timm'" in capsys.readouterr().err
    assert not target.exists()


def test_predict(
    model: Network, photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = write_checkpoint(export_state_dict(model, "kuangliu"), tmp_path / "w.pth")
    arguments = ["predict", MODEL, str(photograph), "--checkpoint", str(checkpoint), "--top", "3"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(photograph)
    assert len(lines) == 4
    assert lines[1].split()[-1] in ("airplane automobile bird cat deer dog frog horse ship truck")
    shares = [float(line.split()[0]) for line in lines[1:]]
    assert shares == sorted(shares, reverse=True)


def test_predict_with_a_saved_network(
    model: Network, photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from resnet_variants import load_checkpoint

    report = load_checkpoint(model, model.state_dict())
    report.weights = weights_info(MODEL)  # so the file says how images are prepared
    path = save(model, tmp_path / "model.safetensors")
    assert main(["predict", str(path), str(photograph), str(photograph)]) == 0
    assert capsys.readouterr().out.count("photograph.png") == 2
    assert load(path).load_report.weights == weights_info(MODEL)


def test_predict_says_what_is_wrong(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", MODEL, str(tmp_path / "gone.png")]) == 2
    assert "There is no image" in capsys.readouterr().err
    text = tmp_path / "text.png"
    text.write_text("no image")
    path = save(create_model(MODEL), tmp_path / "model.safetensors")
    assert main(["predict", str(path), str(photograph)]) == 2
    assert "how images were prepared" in capsys.readouterr().err
    checkpoint = write_checkpoint(create_model(MODEL).state_dict(), tmp_path / "w.pth")
    assert main(["predict", MODEL, str(text), "--checkpoint", str(checkpoint)]) == 2
    assert "text.png is no image that can be read" in capsys.readouterr().err
    # Images are opened one at a time, however many there are: what came before is told.
    both = [str(photograph), str(text)]
    assert main(["predict", MODEL, *both, "--checkpoint", str(checkpoint)]) == 2
    told = capsys.readouterr()
    assert told.out.startswith(str(photograph))
    assert "text.png is no image" in told.err


def test_hub(model: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is uploaded to a Hub that is a folder here comes back the same."""
    calls: list[tuple[str, Any]] = []

    class Api:
        def __init__(self, token: str | None = None) -> None:
            calls.append(("token", token))

        def create_repo(self, repo_id: str, **options: Any) -> None:
            calls.append((repo_id, options))

        def file_exists(self, repo_id: str, filename: str) -> bool:
            return (tmp_path / repo_id / filename).exists()

        def upload_folder(self, *, repo_id: str, folder_path: str, **_: Any) -> None:
            shutil.copytree(folder_path, tmp_path / repo_id, dirs_exist_ok=True)

    def download(repo_id: str, filename: str, **_: Any) -> str:
        return str(tmp_path / repo_id / filename)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    address = push_to_hub(model, "someone/resnet20", private=True, token="secret")
    assert address == "https://huggingface.co/someone/resnet20"
    assert calls[0] == ("token", "secret")
    assert calls[1] == ("someone/resnet20", {"private": True, "exist_ok": True})
    assert "library_name: resnet-variants" in (tmp_path / "someone/resnet20/README.md").read_text()
    (tmp_path / "someone/resnet20/README.md").write_text("by hand")
    push_to_hub(model, "someone/resnet20")
    assert (tmp_path / "someone/resnet20/README.md").read_text() == "by hand"
    for again in (
        from_pretrained("someone/resnet20"),
        from_pretrained(str(tmp_path / "someone/resnet20")),
    ):
        assert all(
            torch.equal(a, b)
            for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True)
        )


def test_timm_plugin() -> None:
    import resnet_variants.timm_plugin as plugin

    assert {"scnet50", "shufflenet_v2_x1_0", "ecaresnet18", MODEL} <= set(plugin.REGISTERED)
    assert "resnet50" not in plugin.REGISTERED
    network = timm.create_model(MODEL, num_classes=7, in_chans=1, drop_path_rate=0.1)
    assert isinstance(network, Network)
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, 7)
    config = timm.data.resolve_model_data_config(network)
    assert config["input_size"] == (3, 32, 32)
    assert timm.data.create_transform(**config)
    assert "scnet50.in1k" in timm.list_pretrained("scnet50*")
    features = timm.create_model("ecaresnet18", features_only=True, out_indices=(1, 3))
    assert features.feature_info.channels() == [64, 256]
    with pytest.raises(ValueError, match="takes no cache_dir"):
        timm.create_model(MODEL, cache_dir="/tmp/cache")


def test_torchvision_plugin() -> None:
    import resnet_variants.torchvision_plugin as plugin

    assert "resnet50" not in plugin.REGISTERED
    network = torchvision.models.get_model(MODEL, num_classes=3)
    assert isinstance(network, Network)
    assert network.num_classes == 3
    assert "scnet50" in torchvision.models.list_models()
    with pytest.raises(ValueError, match=r"Unknown weights of scnet50 'V1'"):
        torchvision.models.get_model("scnet50", weights="V1")
    with pytest.raises(TypeError, match="weights must be a tag"):
        torchvision.models.get_model("scnet50", weights=3)
