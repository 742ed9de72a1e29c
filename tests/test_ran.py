"""The Residual Attention Network: depths, masks, the two kinds of learning, any size."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_variants import create_model, list_models, model_config, profile
from resnet_variants.blocks.attention_module import MASKS, AttentionModule, _resize

THIN = dict(widths=(64, 64, 64, 128), stem_width=16, num_classes=5)


@pytest.mark.parametrize("depth", [56, 92, 128, 164, 236])
def test_depth_is_that_of_the_name(depth: int) -> None:
    assert model_config(f"ran{depth}").depth == depth


@pytest.mark.parametrize(
    ("name", "params"),
    [
        # the authors' network definitions
        ("ran56", 31810728),
        ("ran92", 52466344),
        ("ranext56", 31318824),
        ("ranext92", 52102952),
        # pytorchcv: the same parts, joined otherwise at the last upsampling
        ("ran128", 65294504),
        pytest.param("ran236", 103778984, marks=pytest.mark.slow),
    ],
)
def test_parameters(name: str, params: int) -> None:
    assert profile(name).params == params


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (65, 97), (225, 224), (192, 256)])
@pytest.mark.parametrize("unit", ["resnet", "resnext", "inception"])
def test_any_size(unit: str, size: tuple[int, int]) -> None:
    model = create_model("ran56", unit=unit, groups=8, **THIN).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, *size)).shape == (1, 5)


def test_masks_deeper_than_the_network() -> None:
    """A map of one position stays one, and larger ones are pooled as in the authors' masks."""
    model = create_model("ran56", mask_depths=(4, 3, 2), **THIN).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 32, 33)).shape == (1, 5)
    pool = model.stages[0][1].mask.pool
    assert torch.equal(pool(torch.full((1, 1, 1, 1), -2.0)), torch.full((1, 1, 1, 1), -2.0))
    x = torch.randn(1, 2, 6, 7)
    assert torch.equal(pool(x), nn.MaxPool2d(3, 2, ceil_mode=True)(x))


@pytest.mark.parametrize("size", [(14, 18), (13, 5), (1, 9), (7, 9), (2, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_upsampling(size: tuple[int, int], layout: torch.memory_format) -> None:
    """Outputs, layout and gradients of torch's interpolation; outside autocast's type."""

    def plain(x: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(x, size, mode="bilinear", align_corners=True)

    def both(x: Tensor) -> Iterator[tuple[Tensor, ...]]:
        for resize in (_resize, plain):
            leaf = x.clone().requires_grad_()
            y = resize(leaf, size)
            yield y.detach(), *torch.autograd.grad((y * y.cos()).sum(), leaf)

    torch.manual_seed(0)
    x = torch.randn(2, 3, 7, 9, dtype=torch.float64).contiguous(memory_format=layout)
    for found, expected in zip(*both(x), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
    assert _resize(x, size).is_contiguous(memory_format=layout)
    with torch.autocast("cpu", torch.bfloat16):
        assert _resize(x.float(), size).dtype == torch.float32
    half = x.bfloat16()
    assert torch.equal(_resize(half, size), plain(half, size))


@pytest.mark.parametrize("name", list_models("ran*_cifar"))
def test_cifar(name: str) -> None:
    """The number in the name counts the trunk's layers."""
    model = create_model(name, device="meta")
    assert model.config.depth == int(name.removeprefix("ran").split("_")[0])
    assert model(torch.empty(2, 3, 32, 32, device="meta")).shape == (2, 10)


def test_masks() -> None:
    torch.manual_seed(0)
    x = 5 * torch.randn(2, 16, 6, 7)
    mixed, channel, spatial = (MASKS[name]()(x) for name in ("mixed", "channel", "spatial"))
    torch.testing.assert_close(mixed, 1 / (1 + torch.exp(-x)))
    torch.testing.assert_close(channel.square().sum(1), torch.ones(2, 6, 7))
    standard = torch.logit(spatial.double())
    torch.testing.assert_close(
        standard.mean((2, 3)), torch.zeros(2, 16).double(), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        standard.var((2, 3), correction=0), torch.ones(2, 16).double(), atol=1e-4, rtol=0
    )


class _Constant(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full_like(x, self.value)


@pytest.mark.parametrize(("learning", "zero", "one"), [("residual", 1, 2), ("naive", 0, 1)])
def test_learning(learning: str, zero: float, one: float) -> None:
    """A mask of zeros leaves the trunk to residual learning, and nothing to naive learning."""
    model = create_model("ran56", learning=learning, **THIN).eval()
    module = model.stages[0][1]
    assert isinstance(module, AttentionModule)
    x = torch.randn(1, 64, 16, 16)
    with torch.no_grad():
        trunk = module.trunk(module.before(x))
        for mask, factor in ((0.0, zero), (1.0, one)):
            module.mask.gate = _Constant(mask)
            torch.testing.assert_close(module(x), module.after(factor * trunk))


def test_every_parameter_learns_and_branches_drop() -> None:
    torch.manual_seed(0)
    model = create_model("ran56", attention="eca", mask="spatial", drop_path_rate=0.3, **THIN)
    model(torch.randn(4, 3, 64, 64)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    unit = model.stages[3][2]
    x = torch.randn(64, 128, 2, 2)
    assert unit.drop_path.rate == pytest.approx(0.3)
    dropped = (unit(x) == x).flatten(1).all(1).float().mean().item()
    assert 0.05 < dropped < 0.6
    assert not (unit.eval()(x) == x).flatten(1).all(1).any()


@pytest.mark.parametrize("unit", ["resnet", "resnext", "inception"])
def test_branches_can_start_at_zero(unit: str) -> None:
    model = create_model("ran56", unit=unit, groups=8, zero_init_last=True, **THIN).eval()
    x = torch.rand(2, 128, 4, 4)  # not negative: units that end in an activation keep it, too
    with torch.no_grad():
        torch.testing.assert_close(model.stages[3][2](x), x)


def test_without_normalisation_the_shortcut_stays_raw() -> None:
    unit = create_model("ran56", norm_layer="identity", **THIN).eval().stages[3][2]
    x = torch.randn(2, 128, 4, 4)
    kept = x.clone()
    with torch.no_grad():
        unit(x)
    assert torch.equal(x, kept)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"modules": (1, 1)}, "modules"),
        ({"mask": "mixd"}, "Did you mean 'mixed'"),
        ({"learning": "naiv"}, "Did you mean 'naive'"),
        ({"unit": "resnet50"}, "Did you mean 'resnet'"),
        ({"unit": "resnext", "groups": 48}, "divide into"),
        ({"output_stride": 8}, "cannot be dilated"),
        ({"t": 0}, "t must be"),
    ],
)
def test_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        create_model("ran56", **changes)
