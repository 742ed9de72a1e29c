"""BN-Inception and Inception-ResNet-v2: counts, the gate slot, any size, honest feature sizes."""

import pytest
import torch

from resnet_variants import create_model, profile
from resnet_variants.blocks.gates import ATTENTION
from resnet_variants.blocks.inception import MaxPoolUp

SHORT = {"bn_inception": {}, "inception_resnet_v2": {"layers": (1, 1, 1)}}


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("bn_inception", 11285224),  # hujie-frank/SENet's definition, without SE
        ("se_bn_inception", 11931622),
        ("inception_resnet_v2", 55843464),  # timm, pytorchcv
        ("se_inception_resnet_v2", 64387444),
    ],
)
def test_parameters(name: str, params: int) -> None:
    assert profile(name).params == params


def test_biases_as_pytorchcv() -> None:
    assert profile("bn_inception", conv_bias=True).params == 11295240


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (75, 97), (225, 224)])
@pytest.mark.parametrize("name", SHORT)
def test_feature_sizes(name: str, size: tuple[int, int]) -> None:
    model = create_model(name, features_only=True, **SHORT[name]).eval()
    with torch.no_grad():
        features = model(torch.randn(1, 3, *size))
    for feature, level in zip(features, model.feature_info, strict=True):
        assert feature.shape[1:] == (level.channels, *map(level.size, size))


QUICK = ("se", "se_gc", "eca", "ssa", "salient", "group_salient", "cbam")


@pytest.mark.parametrize(
    "gate",
    [gate if gate in QUICK else pytest.param(gate, marks=pytest.mark.slow) for gate in ATTENTION],
)
@pytest.mark.parametrize("name", SHORT)
def test_every_gate(name: str, gate: str) -> None:
    args = {"group_width": 2} if gate == "se_gc" else {}
    args = {"channels_per_map": 2} if gate == "group_salient" else args
    model = create_model(
        name, attention=gate, attention_args=args, stem="cifar", num_classes=3, **SHORT[name]
    )
    model(torch.randn(2, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("side", [5, 6, 27, 28])
def test_pooling_rounds_up(side: int) -> None:
    x = torch.randn(1, 2, side, side)
    y = MaxPoolUp()(x)
    assert y.shape[2] == -(-side // 2)
    if side % 2 == 0:  # as Caffe
        assert torch.equal(y, torch.nn.MaxPool2d(3, 2, ceil_mode=True)(x))


def test_refused() -> None:
    with pytest.raises(ValueError, match="no residual branch"):
        create_model("bn_inception", drop_path_rate=0.1)
    with pytest.raises(ValueError, match="cannot be dilated"):
        create_model("inception_resnet_v2", output_stride=16)
    with pytest.raises(ValueError, match="Did you mean 'cifar'"):
        create_model("bn_inception", stem="cifa")


def test_branches_can_start_at_zero() -> None:
    model = create_model("inception_resnet_v2", zero_init_last=True, layers=(1, 1, 1)).eval()
    x = torch.randn(1, 2080, 2, 2)
    with torch.no_grad():
        torch.testing.assert_close(model.stages[2][2](x), x)


def test_drop_path() -> None:
    torch.manual_seed(0)
    model = create_model("inception_resnet_v2", drop_path_rate=0.5, layers=(1, 1, 1))
    unit = model.stages[2][2]
    x = torch.randn(64, 2080, 1, 1)
    dropped = (unit(x) == x).flatten(1).all(1).float().mean().item()
    assert 0.25 < dropped < 0.75
