"""What people who know timm type: tags, lists of globs, repositories, numbers of numpy's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.models import PretrainedCfg

from resnet_variants import create_model, list_models, model_config
from resnet_variants.checkpoints import save


def test_a_tag_in_the_name() -> None:
    assert create_model("resnet18.tv_in1k", num_classes=3).config.num_classes == 3
    with pytest.raises(ValueError, match="a1_in1k"):
        create_model("resnet50.a1_in2k")


@pytest.mark.parametrize("key", ["file", "state_dict", "hf_hub_id"])
@pytest.mark.parametrize("name", ["seresnet20_cifar", "resnet20_cifar.akamaster_cifar10"])
def test_weights_of_a_pretrained_cfg(name: str, key: str, tmp_path: Path) -> None:
    model = create_model(name, num_classes=7, in_chans=4).eval()
    path = save(model, tmp_path / "model.safetensors")
    source = {"file": path, "state_dict": model.state_dict(), "hf_hub_id": str(tmp_path)}[key]
    told = {key: source, "num_classes": 7, "input_size": (4, 32, 32), "mean": None}
    images = torch.randn(2, 4, 32, 32)
    twins = (
        create_model(name, pretrained=True, pretrained_cfg=told),
        create_model(name, pretrained=True, pretrained_cfg_overlay=told),
        create_model(name, pretrained=True, pretrained_cfg=PretrainedCfg(**told)),
    )
    for twin in twins:
        torch.testing.assert_close(twin.eval()(images), model(images))
    other = create_model(name, pretrained=True, pretrained_cfg=told, num_classes=3, in_chans=3)
    torch.testing.assert_close(other.stages.state_dict(), model.stages.state_dict())
    assert other(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    plain = create_model(name, pretrained_cfg=told)
    assert plain.num_classes == 7 and not hasattr(plain, "load_report")


def test_a_pretrained_cfg_without_sense() -> None:
    with pytest.raises(TypeError, match="a tag or a mapping such as timm's.* not 3"):
        create_model("resnet18", pretrained_cfg=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="overlay must be a mapping such as timm's.* not 'w.pth'"):
        create_model("resnet18", pretrained_cfg_overlay="w.pth")  # type: ignore[arg-type]
    for size in (5, "3", (), (None,)):
        with pytest.raises(TypeError, match="input_size must be"):
            create_model("resnet18", pretrained_cfg={"input_size": size})
    with pytest.raises(ValueError, match="'tv_in1k' or pretrained_cfg, not both"):
        create_model("resnet18", pretrained="tv_in1k", pretrained_cfg="a1_in1k")
    with pytest.raises(ValueError, match="'no_such'.*a1_in1k"):
        create_model("resnet50", pretrained=True, pretrained_cfg="no_such")
    with pytest.raises(ValueError, match="'local-dir:here' tells of its weights itself"):
        create_model("local-dir:here", pretrained=True, pretrained_cfg="a1_in1k")


def test_lists_of_globs() -> None:
    names = list_models(["resnet*", "se*"], exclude_filters=["*_cifar", "resnet5*"])
    assert {"resnet18", "seresnet50"} <= set(names)
    assert not [name for name in names if name.endswith("_cifar") or name.startswith("resnet5")]
    assert list_models("se*") == list_models(["se*"])


def test_names_of_weights() -> None:
    names = list_models("resnet50", pretrained=True)
    assert "resnet50.a1_in1k" in names and all(name.startswith("resnet50.") for name in names)


@pytest.mark.parametrize(("typed", "meant"), [("resnset50", {"resnet50", "resnest50"})])
def test_a_name_near_two_is_answered_with_both(typed: str, meant: set[str]) -> None:
    with pytest.raises(ValueError) as error:
        create_model(typed)
    question = str(error.value).partition("Did you mean ")[2].partition("?")[0]
    assert meant <= {each.strip("'") for each in question.split(" or ")}


def test_numbers_of_numpy() -> None:
    model = create_model("resnet20_cifar", num_classes=np.int64(5), in_chans=np.int32(4))
    assert json.loads(json.dumps(model.config.to_dict()))["num_classes"] == 5
    model.reset_classifier(np.int64(7))  # type: ignore[arg-type]
    assert model(torch.zeros(1, 4, 32, 32)).shape == (1, 7)


@pytest.mark.parametrize(
    ("pool", "ours"), [("fast", "avg"), ("fastavgmax", "avgmax"), ("fastcatavgmax", "catavgmax")]
)
def test_pools_that_timm_calls_fast(pool: str, ours: str) -> None:
    assert model_config("resnet18").replace(global_pool=pool).global_pool == ours


def test_generalised_mean_lies_between_mean_and_maximum() -> None:
    pools = {
        pool: create_model("resnet20_cifar", num_classes=0, global_pool=pool).head.pool(
            torch.rand(2, 64, 8, 8, generator=torch.Generator().manual_seed(0))
        )
        for pool in ("avg", "gem", "max")
    }
    assert (pools["avg"] < pools["gem"]).all() and (pools["gem"] < pools["max"]).all()


def test_a_repository_or_folder(tmp_path: Path) -> None:
    model = create_model("seresnet20_cifar", num_classes=4).eval()
    save(model, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(model.config.to_dict()), encoding="utf-8")
    images = torch.randn(2, 3, 32, 32)
    twin = create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    torch.testing.assert_close(twin(images), model(images))
    other = create_model(f"local-dir:{tmp_path}", pretrained=True, num_classes=9)
    torch.testing.assert_close(other.stem.state_dict(), model.stem.state_dict())
    assert other(images).shape == (2, 9)


def test_a_folder_of_timms(tmp_path: Path) -> None:
    import timm

    theirs = timm.create_model("resnet18", num_classes=6).eval()
    timm.models.save_for_hf(theirs, tmp_path, safe_serialization=True)
    ours = create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)
