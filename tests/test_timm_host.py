"""Through the plug-in our networks are timm's: what its clients and its own tests ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models import FeatureInfo, get_pretrained_cfg_value
from timm.optim import create_optimizer_v2

import resnet_variants.timm_plugin as plugin
from resnet_variants import list_families, list_models

IMAGES = torch.randn(2, 3, 96, 96)
ADDED = {
    family: next(name for name in list_models(family=family) if name in plugin.REGISTERED)
    for family in list_families()
    if set(list_models(family=family)) & set(plugin.REGISTERED)
}
each = pytest.mark.parametrize("name", ADDED.values(), ids=ADDED)
few = pytest.mark.parametrize("name", ["ssaresnet18", "shufflenet_v2_x0_5", "bn_inception"])


@each
def test_configuration_is_complete(name: str) -> None:
    model = timm.create_model(name).eval()
    cfg = model.pretrained_cfg
    weights = model.state_dict()
    for part in ("classifier", "first_conv"):
        assert f"{cfg[part]}.weight" in weights
    for key in ("mean", "std", "crop_pct", "interpolation"):
        assert cfg[key]
    size = torch.zeros(1, *cfg["input_size"])
    meta = model.to("meta")
    assert tuple(meta.forward_features(size.to("meta")).shape[2:]) == cfg["pool_size"]
    assert get_pretrained_cfg_value(name, "input_size")
    assert model.head_hidden_size == model.num_features
    assert model.in_chans == cfg["input_size"][0]
    assert model.no_weight_decay() == set()


@few
@pytest.mark.parametrize("feature_cls", plugin.FEATURES)
def test_feature_levels_in_all_of_timms_forms(name: str, feature_cls: str) -> None:
    ours = timm.create_model(name, features_only=True).eval()
    indices = (1, len(ours.feature_info) - 1)
    theirs = timm.create_model(
        name, features_only=True, feature_cls=feature_cls, out_indices=indices
    ).eval()
    levels: Any = theirs(IMAGES)
    levels = list(levels.values()) if feature_cls == "dict" else levels
    info = [ours.feature_info[i] for i in indices]
    assert theirs.default_cfg["architecture"] == name
    assert theirs.feature_info.channels() == [level.channels for level in info]
    assert [x.shape[1] for x in levels] == [level.channels for level in info]
    assert [x.shape[2] for x in levels] == [level.size(96) for level in info]


@few
def test_intermediates_as_timm_asks_for_them(name: str) -> None:
    model = timm.create_model(name).eval()
    info = FeatureInfo(model.feature_info, len(model.feature_info))
    with torch.no_grad():
        last, levels = model.forward_intermediates(IMAGES, norm=True, output_fmt="NCHW")
        torch.testing.assert_close(last, model.forward_features(IMAGES))
    assert [x.shape[1] for x in levels] == info.channels()
    assert model.feature_info.get_dicts(["num_chs"])[0] == {"num_chs": info.channels()[0]}
    assert model.prune_intermediate_layers([1]) == [1]
    pruned = model.forward_intermediates(IMAGES, [1], intermediates_only=True)
    torch.testing.assert_close(pruned[0], levels[1])
    model.prune_intermediate_layers([0], prune_norm=True)
    torch.testing.assert_close(model.forward_features(IMAGES), levels[0])


def test_layer_decay_decays() -> None:
    model = timm.create_model("ssaresnet18")
    optimiser = create_optimizer_v2(model, "sgd", lr=0.1, layer_decay=0.5, weight_decay=1e-4)
    scales = {group["lr_scale"] for group in optimiser.param_groups}
    assert len(scales) == 10  # the stem, eight units, the head


def test_a_file_in_the_overlay(tmp_path: Path) -> None:
    model = timm.create_model("seresnet20_cifar", num_classes=7).eval()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    overlay = {"file": str(tmp_path / "w.pth"), "num_classes": 7}
    twin = timm.create_model(
        "seresnet20_cifar", pretrained=True, num_classes=7, pretrained_cfg_overlay=overlay
    ).eval()
    torch.testing.assert_close(twin(IMAGES), model(IMAGES))
    other = timm.create_model(
        "seresnet20_cifar", pretrained=True, num_classes=3, pretrained_cfg_overlay=overlay
    )
    torch.testing.assert_close(other.stem.convs[0].conv.weight, model.stem.convs[0].conv.weight)


def test_arguments_of_the_normalisation() -> None:
    model = timm.create_model("ssaresnet18", bn_eps=1e-3, bn_momentum=0.2)
    assert model.stem.convs[0].norm.eps == 1e-3 and model.stem.convs[0].norm.momentum == 0.2


@pytest.mark.parametrize("source", ["local-dir", "hf-hub"])
def test_a_repository_of_timms(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from timm.models import _hub

    model = timm.create_model("seresnet20_cifar", num_classes=7, in_chans=4).eval()
    _hub.save_for_hf(model, tmp_path, safe_serialization=True)
    found = {"local-dir": str(tmp_path), "hf-hub": "user/name"}[source]
    monkeypatch.setattr(_hub, "has_hf_hub", lambda necessary=False: True)
    monkeypatch.setattr(  # downloads are not the network's part
        _hub, "hf_hub_download", lambda repo_id, filename, **_: str(tmp_path / filename)
    )
    twin = timm.create_model(f"{source}:{found}", pretrained=True, device="cpu").eval()
    images = torch.randn(1, 4, 32, 32)
    torch.testing.assert_close(twin(images), model(images))
    other = timm.create_model(f"{source}:{found}", pretrained=True, num_classes=3)
    torch.testing.assert_close(other.stem.convs[0].conv.weight, model.stem.convs[0].conv.weight)
    assert other.num_classes == 3
