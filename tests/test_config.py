"""A configuration is the whole truth about a network, and survives every way of storing it."""

import json

import pytest
import torch
from torch import nn

from resnet_variants import (
    config_from_dict,
    create_model,
    initialise,
    is_model,
    list_models,
    model_config,
    model_info,
    register_attention,
    register_model,
)
from resnet_variants.blocks.gates import ATTENTION
from resnet_variants.registry import _ALIASES, _MODELS


@pytest.mark.parametrize("name", list_models())
def test_json_round_trip(name: str) -> None:
    config = model_config(name)
    again = config_from_dict(json.loads(json.dumps(config.to_dict())))
    assert again.to_dict() == config.to_dict()
    assert type(again) is type(config)


def test_arguments_go_with_their_part() -> None:
    config = model_config("seresnet50")
    assert config.attention_args == {"divisor": 8}
    assert config.replace(attention="eca").attention_args == {}
    assert config.replace(attention_args={"reduction": 4}).attention_args == {
        "divisor": 8,
        "reduction": 4,
    }
    assert config.replace(num_classes=3).attention_args == {"divisor": 8}


def test_a_gate_a_stage() -> None:
    model = create_model("resnet50", attention=(None, "se", "eca", None), num_classes=2)
    assert [type(stage[0].attention).__name__ for stage in model.stages] == [
        "NoneType",
        "SE",
        "ECA",
        "NoneType",
    ]


def test_shared_parts_start_equal_whatever_else_differs() -> None:
    plain = create_model("resnet20_cifar")
    gated = create_model("seresnet20_cifar", attention_at="pre")
    for model in (plain, gated):
        initialise(model, seed=3)
    state = gated.state_dict()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    initialise(plain, seed=4)
    assert not torch.equal(plain.stem.convs[0].conv.weight, state["stem.convs.0.conv.weight"])


def test_initialise_leaves_the_random_state_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    initialise(create_model("resnet20_cifar", device="cpu", layers=(1, 1, 1)), seed=1)
    torch.manual_seed(0)
    model = create_model("resnet20_cifar", layers=(1, 1, 1))
    torch.manual_seed(0)
    initialise(model, seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_zero_init_last_starts_as_the_identity() -> None:
    model = create_model("resnet50", zero_init_last=True, widths=(8, 8, 8, 8)).eval()
    unit = model.stages[0][1]
    x = torch.rand(1, 32, 8, 8)
    assert torch.equal(unit(x), x)
    initialise(model, seed=0)
    assert torch.equal(unit(x), x)


def test_listing() -> None:
    names = list_models()
    assert len(names) == len(set(names))
    assert list_models("resnet*d") == [n for n in names if n.startswith("resnet") and n[-1] == "d"]
    assert list_models(family="wide resnet") == ["wide_resnet50_2", "wide_resnet101_2"]
    assert is_model("resnet50b") and not is_model("resnet51")
    info = model_info("resnet50b")
    assert (info.name, info.params, info.family) == ("resnet50", 25557032, "ResNet-B")
    assert info.aliases == ("resnet50b",)
    assert round(info.macs / 1e9, 4) == 4.0892


def test_a_model_and_a_gate_of_ones_own() -> None:
    @register_attention("halve_for_test")
    class Halve(nn.Module):
        def __init__(self, channels: int, factor: float = 0.5) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.factor

    try:
        config = model_config("resnet20_cifar").replace(
            attention="halve_for_test", attention_args={"factor": 0.25}
        )
        register_model("mine", config, aliases=("my_own",), input_size=32)
        model = create_model("my_own", num_classes=3)
        assert model.stages[0][0].attention.factor == 0.25
        assert config_from_dict(model.config.to_dict()) == model.config
        assert create_model("resnet18", attention="halve_for_test") is not None
    finally:
        ATTENTION.unregister("halve_for_test")
        _MODELS.unregister("mine")
        _ALIASES.pop("my_own")


def test_device_and_dtype() -> None:
    assert create_model("resnet152", device="meta").head.fc.weight.is_meta
    model = create_model("resnet20_cifar", dtype=torch.float64)
    assert {p.dtype for p in model.parameters()} == {torch.float64}
