"""Weights into networks: all or nothing, reported, adapted where asked, and out again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from resnet_variants import build, create_model
from resnet_variants.checkpoints import (
    MismatchError,
    errors,
    export_state_dict,
    load,
    load_checkpoint,
    save,
    write_checkpoint,
)
from resnet_variants.checkpoints.reader import adapt_input
from resnet_variants.network import Network

SMALL = "resnet20_cifar"


def _random(name: str = SMALL, **changes: Any) -> Network:
    """A network whose every tensor is drawn, running statistics too."""
    model = create_model(name, **changes)
    generator = torch.Generator().manual_seed(0)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return model


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


def _same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.module.", "net.backbone."])
@pytest.mark.parametrize("dialect", ["resnet_variants", "kuangliu", "pytorchcv", "mmpretrain"])
def test_dialect_and_prefix_are_recognised(dialect: str, prefix: str) -> None:
    source, model = _random(), create_model(SMALL)
    names = {prefix + name: tensor for name, tensor in export_state_dict(source, dialect).items()}
    report = load_checkpoint(model, {"state_dict": names, "epoch": 3})
    assert report.dialect == dialect
    assert _same(model.state_dict(), source.state_dict())
    assert report.loaded == len(model.state_dict())
    assert not report.ignored


def test_missing_batch_counts_are_reported() -> None:
    state = {k: v for k, v in _random().state_dict().items() if "num_batches" not in k}
    report = load_checkpoint(create_model(SMALL), state)
    assert report.converted == ["19 batch counts set to 0, the file has none"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_are_converted_and_reported(dtype: torch.dtype) -> None:
    state = {
        k: v.to(dtype) if v.is_floating_point() else v for k, v in _random().state_dict().items()
    }
    report = load_checkpoint(model := create_model(SMALL), state)
    assert "to float32" in report.converted[0]
    assert all(p.dtype == torch.float32 for p in model.parameters())


def _nan(state: dict[str, Tensor]) -> None:
    state["stem.convs.0.conv.weight"][0, 0] = float("nan")


def _infinite(state: dict[str, Tensor]) -> None:
    state["head.fc.bias"][3] = float("inf")


def _integers(state: dict[str, Tensor]) -> None:
    state["head.fc.weight"] = state["head.fc.weight"].to(torch.int8)


def _complex(state: dict[str, Tensor]) -> None:
    state["head.fc.weight"] = state["head.fc.weight"].to(torch.complex64)


def _sparse(state: dict[str, Tensor]) -> None:
    state["head.fc.weight"] = state["head.fc.weight"].to_sparse()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_nan, r"stem\.convs\.0\.conv\.weight has 9 of 432 values that are not finite"),
        (_infinite, r"head\.fc\.bias has 1 of 10 values that are not finite"),
        (_integers, r"head\.fc\.weight holds whole numbers \(int8\)"),
        (_complex, r"is complex \(complex64\)"),
        (_sparse, r"is quantised or sparse"),
    ],
)
def test_bad_tensors_leave_the_network_as_it_was(spoil: Any, message: str) -> None:
    state = _copy(_random().state_dict())
    spoil(state)
    model = create_model(SMALL)
    before = _copy(model.state_dict())
    with pytest.raises(errors.BadTensorError, match=message):
        load_checkpoint(model, state)
    assert _same(model.state_dict(), before)


def test_mismatch_lists_everything_and_changes_nothing() -> None:
    state = export_state_dict(_random("resnet32_cifar"), "kuangliu")
    state["layer1.0.conv1.weight"] = torch.zeros(8, 16, 3, 3)
    del state["bn1.bias"]
    model = create_model(SMALL)
    before = _copy(model.state_dict())
    with pytest.raises(MismatchError) as caught:
        load_checkpoint(model, state)
    text = str(caught.value)
    for part in (
        "it is as it was",
        "Read by kuangliu names",
        "missing in the file, 1: bn1.bias",
        "unexpected, 72: layer1.3.",
        "and 67 more",
        "misshapen, 1: layer1.0.conv1.weight is (8, 16, 3, 3), here (16, 16, 3, 3)",
    ):
        assert part in text, text
    assert _same(model.state_dict(), before)


def test_mismatch_names_the_model_that_fits() -> None:
    state = export_state_dict(_random("resnet32_cifar"), "kuangliu")
    with pytest.raises(MismatchError, match="They fit 'resnet32_cifar'"):
        load_checkpoint(create_model(SMALL), state)


def test_nothing_in_common() -> None:
    with pytest.raises(MismatchError, match=r"None of the 1 tensors .* name that any dialect"):
        load_checkpoint(create_model(SMALL), {"encoder.mlp": torch.zeros(2)})


def test_dialect_that_asks_for_another_configuration() -> None:
    state = export_state_dict(
        _random("shufflenet_v1_g3_x0_25", shuffle_order="paper"), "mmpretrain"
    )
    with pytest.raises(MismatchError, match=r"mmpretrain, whose networks have shuffle_order=paper"):
        load_checkpoint(create_model("shufflenet_v1_g3_x0_25"), state)


def test_twins_are_named_and_published_twins_refused(tmp_path: Path) -> None:
    model = create_model("resnet50", device="meta")
    state = {name: torch.zeros(t.shape, dtype=t.dtype) for name, t in model.state_dict().items()}
    path = write_checkpoint(state, tmp_path / "weights.pth")
    report = load_checkpoint(model := create_model("resnet50"), path)
    assert report.twins == ["resnet50a"]
    assert "which compute something else" in str(report)
    published = path.rename(tmp_path / "resnet50-0633-b00d1c8e.pth")  # pytorchcv's, the original
    with pytest.raises(MismatchError, match=r"of another network.*'resnet50a'"):
        load_checkpoint(model, published)


def test_other_number_of_classes() -> None:
    state = export_state_dict(_random(), "kuangliu")
    model = create_model(SMALL, num_classes=4)
    with pytest.raises(MismatchError, match=r"classifier differs, the file has 10.*num_classes=10"):
        load_checkpoint(model, state)
    head = model.head.fc.weight.clone()
    report = load_checkpoint(model, state, classifier="new")
    assert torch.equal(model.head.fc.weight, head)
    assert report.adapted == ["new classifier of 4 classes, the file has 10"]
    report = load_checkpoint(model, state, classifier=[9, 0, 3, 3])
    assert torch.equal(model.head.fc.weight, state["linear.weight"][[9, 0, 3, 3]])
    assert torch.equal(model.head.fc.bias, state["linear.bias"][[9, 0, 3, 3]])
    assert report.adapted == ["4 of the file's 10 classes"]
    with pytest.raises(ValueError, match=r"the file has no classes 10"):
        load_checkpoint(model, state, classifier=[10, 1, 2, 3])
    with pytest.raises(ValueError, match=r"Unknown classifier 'neu'\. Did you mean 'new'"):
        load_checkpoint(model, state, classifier="neu")


@pytest.mark.parametrize("channels", [1, 2, 4, 6, 7])
@pytest.mark.parametrize("how", ["repeat", "mean", "zeros"])
def test_other_number_of_input_channels(channels: int, how: str) -> None:
    state = export_state_dict(_random(), "kuangliu")
    model = create_model(SMALL, in_chans=channels)
    with pytest.raises(MismatchError, match="image's channels differs"):
        load_checkpoint(model, state)
    if how == "zeros" and channels < 3:
        with pytest.raises(ValueError, match=r"are fewer than 3"):
            load_checkpoint(model, state, input_channels=how)
        return
    report = load_checkpoint(model, state, input_channels=how)
    assert report.adapted == [f"first convolution from 3 to {channels} input channels, by {how!r}"]
    if how != "zeros":  # a grey image gives what it gave
        old = state["conv1.weight"].sum(1)
        scale = 3 / channels if channels % 3 and how == "repeat" and channels > 1 else 1
        new = model.stem.convs[0].conv.weight.sum(1)
        if scale == 1:
            assert torch.allclose(new, old, rtol=1e-5)


def test_adapted_input_keeps_a_constant_image() -> None:
    weight = torch.rand(8, 3, 3, 3)
    for channels in (1, 3, 6, 9):
        for how in ("repeat", "mean"):
            adapted = adapt_input(weight, channels, how)
            assert torch.allclose(adapted.sum(1), weight.sum(1), atol=1e-5)


def test_features_take_what_they_have(tmp_path: Path) -> None:
    source = _random()
    state = export_state_dict(source, "kuangliu")
    features = create_model(SMALL, features_only=True, out_indices=(1, 2))
    report = load_checkpoint(features, state)
    assert {"linear.weight", "linear.bias", "layer3.0.conv1.weight"} <= set(report.ignored)
    pooled = create_model(SMALL, num_classes=0)
    assert set(load_checkpoint(pooled, state).ignored) == {"linear.weight", "linear.bias"}
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        expected = source.eval().forward_features(image).mean((2, 3))
        assert torch.equal(pooled.eval()(image), expected)


def test_exporting_refuses_what_has_no_place() -> None:
    model = _random("shufflenet_v1_g3_x0_25")
    with pytest.raises(errors.CheckpointError, match=r"head\.fc\.bias is not zero"):
        export_state_dict(model, "megvii")
    torch.nn.init.zeros_(model.head.fc.bias)
    there = export_state_dict(model, "megvii")
    assert "classifier.0.bias" not in there
    again = create_model("shufflenet_v1_g3_x0_25")
    load_checkpoint(again, there)
    assert _same(again.state_dict(), model.state_dict())


def test_unknown_and_unable_dialects() -> None:
    model = create_model(SMALL, attention="ssa")
    with pytest.raises(errors.UnknownDialectError, match=r"'tim'\. Did you mean 'timm'"):
        export_state_dict(model, "tim")
    with pytest.raises(errors.UnknownDialectError, match=r"'timm' has no names for this network"):
        export_state_dict(model, "timm")
    with pytest.raises(errors.UnknownDialectError, match="Those that have: resnet_variants"):
        load_checkpoint(model, {"a": torch.zeros(1)}, dialect="timm")


def test_wrong_kind_of_source() -> None:
    with pytest.raises(TypeError, match="source must be a file"):
        load_checkpoint(create_model(SMALL), 3)
    with pytest.raises(TypeError, match="must be a network of this library"):
        load_checkpoint(torch.nn.Linear(2, 2), {})  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{}, {"attention": "eca", "num_classes": 3, "in_chans": 1}])
def test_save_and_load(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = _random(SMALL, **changes)
    path = save(model, tmp_path / "new" / "model.safetensors")
    again = load(path)
    assert again.config == model.config
    assert _same(again.state_dict(), model.state_dict())
    assert load(path, dtype=torch.bfloat16).head.fc.weight.dtype == torch.bfloat16


def test_save_says_what_it_cannot(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"saved as \.safetensors"):
        save(create_model(SMALL), tmp_path / "model.pth")
    path = write_checkpoint({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    with pytest.raises(errors.CheckpointError, match=r"has no configuration.*checkpoint_path"):
        load(path)


def test_create_model_with_a_file(tmp_path: Path) -> None:
    source = _random()
    path = write_checkpoint(export_state_dict(source, "kuangliu"), tmp_path / "w.pth")
    model = create_model(SMALL, checkpoint_path=path)
    assert _same(model.state_dict(), source.state_dict())
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())
    model(torch.rand(2, 3, 32, 32)).sum().backward()
    torch.optim.SGD(model.parameters(), 0.1).step()  # the file's mapped pages are not written
    assert _same(create_model(SMALL, checkpoint_path=path).state_dict(), source.state_dict())
    with pytest.raises(MismatchError, match="num_classes=10"):
        create_model(SMALL, checkpoint_path=path, num_classes=7)
    with pytest.raises(ValueError, match="not both"):
        create_model(SMALL, checkpoint_path=path, pretrained=True)


def test_a_registered_gate_travels_in_the_library_s_own_names(tmp_path: Path) -> None:
    model = _random(SMALL, attention="salient")
    again = build(model.config)
    load_checkpoint(again, save(model, tmp_path / "m.safetensors"))
    assert _same(again.state_dict(), model.state_dict())


def test_weights_that_no_output_depends_on_are_ignored() -> None:
    """SSANet's released class still has Salient-Net's convolution."""
    source = _random("ssaresnet18")
    state = export_state_dict(source, "salientnet")
    dead = [name.replace(".bn.weight", ".conv.weight") for name in state if "Salient.bn.w" in name]
    report = load_checkpoint(
        model := create_model("ssaresnet18"),
        state | {name: torch.ones(1, 9, 1, 1) for name in dead},
    )
    assert sorted(report.ignored) == sorted(dead)
    assert len(dead) == 8
    assert _same(model.state_dict(), source.state_dict())
