"""Wrong input is refused at creation, with the user's value, the valid ones and the nearest."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from resnet_variants import (
    config_from_dict,
    create_model,
    export_state_dict,
    list_models,
    load,
    load_checkpoint,
    model_config,
    optimize_for_inference,
    profile,
    register_attention,
    register_model,
    save,
)
from resnet_variants.blocks.gates import ATTENTION
from resnet_variants.checkpoints.hub import push_to_hub
from resnet_variants.explain import effective_receptive_field, receptive_field
from resnet_variants.export import export_model
from resnet_variants.finetune import convert_norm, freeze, unfreeze
from resnet_variants.quantize import quantize


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("resnet5O", "resnet50"),
        ("ResNet-50", "resnet50"),
        ("seresnet_50", "seresnet50"),
        ("resnext50_32x4", "resnext50_32x4d"),
        ("resnet20-cifar", "resnet20_cifar"),
    ],
)
def test_unknown_model(name: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"model '{name}'. Did you mean '{nearest}'"):
        create_model(name)


@pytest.mark.parametrize(
    ("argument", "nearest"),
    [("num_class", "num_classes"), ("atention", "attention"), ("dropout_rate", "drop_rate")],
)
def test_unknown_argument(argument: str, nearest: str) -> None:
    with pytest.raises(TypeError, match=f"'{argument}'. Did you mean '{nearest}'"):
        create_model("resnet50", **{argument: 1})


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("ca", ("coordinate", "se", "cbam")),
        ("SA", ("shuffle", "ssa", "cbam")),
        ("tam", ("triplet",)),
        ("gca", ("gc", "gc_scale")),
    ],
)
def test_a_name_of_several_gates_is_answered_with_all(said: str, meant: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=f"Unknown attention '{said}'. It can mean") as caught:
        create_model("resnet50", attention=said)
    answer = str(caught.value).partition("Valid:")[0]
    for each in meant:
        assert f"'{each}'" in answer
        assert each in ATTENTION


@pytest.mark.parametrize(
    ("field", "value", "nearest"),
    [
        ("stem", "conv_7", "conv7"),
        ("shortcut", "average", "avg"),
        ("attention", "eac", "eca"),
        ("attention_at", "standart", "standard"),
        ("block", "bottle_neck", "bottleneck"),
        ("conv", "res2nett", "res2net"),
        ("act_layer", "rellu", "relu"),
        ("norm_layer", "batch_norm", "batchnorm"),
        ("global_pool", "average", "avg"),
        ("stride_in", "conv_1", "conv1"),
        ("stride_with", "avg_befor", "avg_before"),
        ("stem_pool", "maxx", "max"),
    ],
)
def test_unknown_value(field: str, value: str, nearest: str) -> None:
    with pytest.raises(ValueError) as error:
        create_model("resnet50", **{field: value})
    assert field in str(error.value)
    assert repr(value) in str(error.value)
    assert f"Did you mean '{nearest}'?" in str(error.value)
    assert "Valid: " in str(error.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("in_chans", 0),
        ("in_chans", 3.0),
        ("num_classes", -1),
        ("num_classes", True),
        ("output_stride", 4),
        ("drop_rate", 1.5),
        ("drop_path_rate", -0.1),
        ("groups", 0),
        ("layers", (3, 4, 0, 3)),
        ("layers", ()),
        ("layers", "3463"),
        ("widths", (64, 128)),
        ("attention", ("se", "eca")),
        ("attention", 7),
        ("norm_layer", 7),
        ("out_indices", (1, 2)),
    ],
)
def test_impossible_value(field: str, value: Any) -> None:
    with pytest.raises(ValueError) as error:
        create_model("resnet50", **{field: value})
    assert field in str(error.value)


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("resnet18", {"groups": 32}, "block='basic' has none"),
        ("resnet50a", {"stride_with": "avg_after"}, "use stride_in='conv2'"),
        ("resnet50", {"attention_at": "pre"}, "attention is None"),
        ("resnet50", {"attention_args": {"reduction": 8}}, "name the gate"),
        ("resnet50", {"global_pool": ""}, "num_classes must be 0"),
        ("resnet50", {"shortcut": "pad", "stem_width": 512}, "lower stem_width"),
        ("resnet50", {"features_only": True, "out_indices": (1, 7)}, "7 is not one of the 5"),
        ("resnet50", {"features_only": True, "out_indices": ()}, "no feature level"),
        ("seresnet50", {"attention_args": {"reductoin": 8}}, "Did you mean 'reduction'"),
        ("res2net50_26w_4s", {"conv_args": {"scael": 4}}, "Did you mean 'scale'"),
        ("res2net50_26w_4s", {"conv_args": {"stride": 2}}, "'stride'. Valid: 'scale'"),
        ("ecaresnet50d", {"attention_args": {"kernel_size": 4}}, "kernel_size must be odd"),
        ("resnet50", {"norm_args": {"epsilon": 1e-3}}, "Did you mean 'eps'"),
    ],
)
def test_impossible_combination(name: str, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError) as error:
        create_model(name, **changes)
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((2, 3, 31, 64), "31x64 is too small"),
        ((2, 3, 8, 8), 'stem="cifar" reduces less'),
        ((3, 64, 64), r"image.unsqueeze\(0\)"),
        ((2, 3, 4, 64, 64), r"not \(2, 3, 4, 64, 64\)"),
        ((2, 4, 64, 64), "in_chans=4"),
        ((2, 64, 64, 3), r"x.permute\(0, 3, 1, 2\)"),
    ],
)
def test_wrong_images(shape: tuple[int, ...], reason: str) -> None:
    model = create_model("resnet18", widths=(8, 8, 8, 8))
    with pytest.raises(ValueError, match=reason):
        model(torch.zeros(shape))


def test_batch_of_one_in_training() -> None:
    model = create_model("resnet18", widths=(8, 8, 8, 8))
    with pytest.raises(ValueError, match="cannot train on one image"):
        model(torch.randn(1, 3, 32, 32))
    model(torch.randn(1, 3, 33, 32))
    model.eval()(torch.randn(1, 3, 32, 32))
    create_model("resnet18", norm_layer="groupnorm")(torch.randn(1, 3, 32, 32))


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="'se' is registered already"):
        register_attention("se")(nn.Identity)
    with pytest.raises(ValueError, match="'resnet50' is registered already"):
        register_model("resnet50", model_config("resnet101"))
    with pytest.raises(ValueError, match="'resnet50b' is registered already, as 'resnet50'"):
        register_model("other", model_config("resnet101"), aliases=("resnet50b",))
    assert "other" not in list_models()


class Halved(nn.Module):
    """No gate: it changes the shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, ::2]


def test_a_gate_that_changes_the_shape() -> None:
    with pytest.raises(ValueError, match="changes the shape"):
        create_model("resnet18", attention=Halved)


def test_a_part_without_a_name_cannot_be_written_down() -> None:
    model = create_model("resnet18", attention=nn.Identity, widths=(8, 8, 8, 8))
    with pytest.raises(ValueError, match="register it"):
        model.config.to_dict()
    assert nn.Identity not in [ATTENTION[name] for name in ATTENTION]


def test_wrong_dictionaries() -> None:
    with pytest.raises(ValueError, match="no 'builder'"):
        config_from_dict({"layers": [1]})
    with pytest.raises(ValueError, match="Did you mean 'resnet'"):
        config_from_dict({"builder": "resnets"})
    with pytest.raises(ValueError, match="Did you mean 'layers'"):
        config_from_dict({"builder": "resnet", "layer": [1]})


def test_integer_dtype() -> None:
    with pytest.raises(ValueError, match="floating-point"):
        create_model("resnet18", dtype=torch.int8)


def test_wrong_family() -> None:
    with pytest.raises(ValueError, match="Did you mean 'SE-ResNet'"):
        list_models(family="SEResNet")


TAKE_A_NETWORK: dict[str, Callable[[Any], object]] = {
    "save": lambda model: save(model, "model.safetensors"),
    "export_state_dict": lambda model: export_state_dict(model, "timm"),
    "load_checkpoint": lambda model: load_checkpoint(model, {}),
    "push_to_hub": lambda model: push_to_hub(model, "me/mine"),
    "freeze": lambda model: freeze(model, 1),
    "unfreeze": unfreeze,
    "convert_norm": lambda model: convert_norm(model, "groupnorm"),
    "receptive_field": receptive_field,
    "effective_receptive_field": effective_receptive_field,
    "optimize_for_inference": lambda model: optimize_for_inference(model, torch.ones(1, 3, 32, 32)),
    "quantize": lambda model: quantize(model, torch.ones(1, 3, 32, 32), "model.onnx"),
    "export_model": lambda model: export_model(model, "model.onnx"),
}


@pytest.mark.parametrize("takes", TAKE_A_NETWORK.values(), ids=TAKE_A_NETWORK)
def test_what_is_no_network_is_refused_and_a_wrapped_one_found(takes: Callable[[Any], Any]) -> None:
    network = create_model("resnet20_cifar", device="meta")
    for model, message in (
        (nn.DataParallel(network), "not DataParallel: model.module is one"),
        ("resnet20_cifar", r"not str: create_model\('resnet20_cifar'\) makes one"),
        (nn.Linear(2, 2), r"not Linear\."),
        (None, "not NoneType"),
    ):
        with pytest.raises(TypeError, match=f"model must be a network of this library, {message}"):
            takes(model)


def test_a_compiled_network_is_its_network(tmp_path: Path) -> None:
    network = create_model("resnet20_cifar", layers=(1, 1, 1)).eval()
    compiled: Any = torch.compile(network)
    twin = load(save(compiled, tmp_path / "model.safetensors")).eval()
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(twin(images), network(images))
    assert export_state_dict(compiled, "timm").keys() == export_state_dict(network, "timm").keys()
    assert convert_norm(compiled, "groupnorm").config.norm_layer == "groupnorm"
    export_model(compiled, tmp_path / "model.pt2", dynamic=False, size=(1, 32, 32))


@pytest.mark.parametrize("size", [0, -3, "a", None, 1.5, (3, 32, 32), (32, "a")])
def test_sizes_are_whole_numbers(size: Any) -> None:
    with pytest.raises(ValueError, match="input_size must be"):
        profile("resnet18", input_size=size)
    with pytest.raises(ValueError, match="size must be a whole number of at least 1, not"):
        receptive_field(create_model("resnet20_cifar", device="meta"), size=size)
