"""Each gate is its paper's formula, and keeps the shape in both memory layouts."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_variants.blocks import (
    ECA,
    ECANS,
    SE,
    SEGC,
    SSA,
    Gate,
    GroupSalient,
    Salient,
    SEVar1,
    SEVar2,
    SEVar3,
    eca_kernel_size,
)
from resnet_variants.blocks.drop_path import DropPath
from resnet_variants.blocks.gates import ATTENTION
from resnet_variants.blocks.residual import add_residual


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 32, 5, 7, dtype=torch.float64)


def mean(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, 1)


def channelwise(x: Tensor, excitation: Tensor) -> Tensor:
    return x * torch.sigmoid(excitation).reshape(x.shape[0], -1, 1, 1)


def test_se(x: Tensor) -> None:
    gate = SE(32, reduction=4).double()
    hidden = F.relu(mean(x).flatten(1) @ gate.fc1.weight.T + gate.fc1.bias)
    expected = channelwise(x, hidden @ gate.fc2.weight.T + gate.fc2.bias)
    torch.testing.assert_close(gate(x), expected)


@pytest.mark.parametrize(
    ("channels", "divisor", "hidden"),
    [(64, 1, 4), (64, 8, 8), (96, 8, 8), (512, 8, 32), (16, 1, 1)],
)
def test_se_hidden_width(channels: int, divisor: int, hidden: int) -> None:
    assert SE(channels, divisor=divisor).fc1.out_features == hidden


def test_se_variants(x: Tensor) -> None:
    y = mean(x).flatten(1)
    torch.testing.assert_close(SEVar1(32)(x), channelwise(x, y))
    var2 = SEVar2(32).double()
    nn.init.normal_(var2.weight)
    torch.testing.assert_close(var2(x), channelwise(x, var2.weight * y))
    var3 = SEVar3(32).double()
    torch.testing.assert_close(var3(x), channelwise(x, y @ var3.fc.weight.T))


def test_se_gc_is_block_diagonal(x: Tensor) -> None:
    gate = SEGC(32, groups=4).double()
    blocks = torch.block_diag(*gate.conv.weight.flatten(1).split(8))
    torch.testing.assert_close(gate(x), channelwise(x, mean(x).flatten(1) @ blocks.T))
    assert SEGC(32, group_width=4).conv.groups == 8
    assert SEGC(32).conv.groups == 16


def _neighbours(x: Tensor, taps: Tensor) -> Tensor:
    """Each channel's mean and its neighbours', weighted by ``taps``: (C, k) or (k,)."""
    k = taps.shape[-1]
    y = F.pad(mean(x).flatten(1), (k // 2, k // 2))
    return sum(y[:, i : i + x.shape[1]] * taps[..., i] for i in range(k))  # type: ignore[return-value]


def test_eca(x: Tensor) -> None:
    gate = ECA(32, kernel_size=5).double()
    torch.testing.assert_close(gate(x), channelwise(x, _neighbours(x, gate.conv.weight.flatten())))
    own = ECANS(32, kernel_size=3).double()
    torch.testing.assert_close(own(x), channelwise(x, _neighbours(x, own.conv.weight[:, 0])))


@pytest.mark.parametrize(
    ("channels", "kernel"), [(16, 3), (64, 3), (128, 5), (256, 5), (1024, 5), (2048, 7)]
)
def test_eca_kernel_size(channels: int, kernel: int) -> None:
    assert eca_kernel_size(channels) == kernel == ECA(channels).conv.kernel_size[0]


@pytest.mark.parametrize("reduce", ["mean", "sum"])
def test_ssa(x: Tensor, reduce: str) -> None:
    gate = SSA(32, reduce=reduce).double().train()
    weighted = getattr(torch, reduce)(mean(x) * x, 1, keepdim=True)
    torch.testing.assert_close(
        gate(x), x * torch.sigmoid(F.batch_norm(weighted, None, None, training=True))
    )
    assert sum(p.numel() for p in gate.parameters()) == 2


def test_group_salient_has_a_map_for_each_group(x: Tensor) -> None:
    gate = GroupSalient(32, channels_per_map=8).double().train()
    maps = (mean(x) * x).unflatten(1, (4, 8)).mean(2)
    maps = torch.sigmoid(F.batch_norm(maps, None, None, training=True))
    torch.testing.assert_close(gate(x), x * maps.repeat_interleave(8, 1))
    assert sum(p.numel() for p in gate.parameters()) == 8
    assert GroupSalient(16).groups == 1  # fewer channels than a map takes: one map


def test_salient(x: Tensor) -> None:
    gate = Salient(32).double().train()
    saliency = F.batch_norm(F.conv2d(x, gate.conv.weight), None, None, training=True)
    torch.testing.assert_close(gate(x), x * torch.sigmoid(saliency))
    assert sum(p.numel() for p in gate.parameters()) == 34


@pytest.mark.parametrize("name", list(ATTENTION))
def test_fused_with_the_shortcut(name: str, x: Tensor) -> None:
    """Gate, drop path and addition in one pass are what they are one by one."""
    gate = ATTENTION[name](32).double()
    shortcut = torch.randn_like(x)
    assert isinstance(gate, Gate) or name in ("gc", "shuffle")  # one adds, one shuffles
    fused = add_residual(shortcut, x, gate, nn.Identity())
    torch.testing.assert_close(fused, shortcut + gate(x))
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(gate(last), gate(x))
    assert gate(last).is_contiguous(memory_format=torch.channels_last)


def test_drop_path_drops_branches_in_training_alone() -> None:
    torch.manual_seed(0)
    drop = DropPath(0.3)
    x = torch.ones(20000, 2, 1, 1)
    kept = drop(x)
    assert kept.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert torch.equal(kept[:, 0], kept[:, 1])
    assert kept.mean().item() == pytest.approx(1, abs=0.03)
    assert torch.equal(drop.eval()(x), x)
    with pytest.raises(ValueError, match=r"in \[0, 1\)"):
        DropPath(1.0)
