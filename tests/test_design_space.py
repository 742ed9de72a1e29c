"""Populations of networks: drawn within a budget, counted, compared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from resnet_variants import build, model_config, profile
from resnet_variants.builders import AnyNetConfig
from resnet_variants.design_space import (
    SPACES,
    count_macs,
    edf,
    likely_range,
    plot_edf,
    sample,
)

BUDGET = (100e6, 900e6)


@pytest.mark.parametrize("space", list(SPACES))
def test_samples_keep_the_budget(space: str) -> None:
    configs = sample(space, 3, macs=BUDGET, seed=1)
    assert configs == sample(space, 3, macs=BUDGET, seed=1) != sample(space, 3, macs=BUDGET)
    for config in configs:
        counted = profile(config).macs
        assert counted == count_macs(config)
        assert BUDGET[0] <= counted <= BUDGET[1]
        assert len(config.stage_shapes) == 4


@pytest.mark.parametrize(
    "name", ["regnetx_004", "regnety_016", "regnety_008_tv", "regnetx_002_cifar"]
)
@pytest.mark.parametrize("size", [32, 97, 224])
def test_count_is_the_profile(name: str, size: int) -> None:
    config = model_config(name)
    assert count_macs(config, size) == profile(config, size).macs  # type: ignore[arg-type]


def test_spaces_narrow_step_by_step() -> None:
    """AnyNetX A is free; B shares the ratio, C the groups; D's widths and E's depths rise."""

    def drawn(space: str) -> list[AnyNetConfig]:
        return sample(space, 40, macs=(0, 1e12))  # type: ignore[return-value]

    def rises(values: tuple[int, ...]) -> bool:
        return list(values) == sorted(values)

    free = drawn("anynetx_a")
    assert any(len(set(each.per_stage("bottleneck_ratio"))) > 1 for each in free)
    assert not all(rises(each.widths) for each in free)
    for space in ("anynetx_b", "anynetx_c", "anynetx_d", "anynetx_e"):
        assert all(len(set(each.per_stage("bottleneck_ratio"))) == 1 for each in drawn(space))
    assert all(rises(each.widths) for each in drawn("anynetx_d"))
    assert not all(rises(each.depths) for each in drawn("anynetx_d"))
    assert all(rises(each.depths) for each in drawn("anynetx_e"))
    for each in free:
        assert max(each.depths) <= 16 and max(each.widths) <= 1024 + 32


def test_samples_for_small_images_train() -> None:
    changes = dict(stem="cifar", num_classes=10)
    (config,) = sample("regnety", 1, macs=(1e6, 30e6), input_size=32, **changes)
    logits = build(config)(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 10)
    logits.sum().backward()


def test_refusals() -> None:
    with pytest.raises(ValueError, match="'anynetx_f'.*'anynetx_"):
        sample("anynetx_f", 1)
    with pytest.raises(ValueError, match="hold 0 networks"):
        sample("regnetx", 1, macs=(0, 1), max_draws=10)
    with pytest.raises(ValueError, match="'attention'"):
        sample("regnetx", 1, attention="se")
    with pytest.raises(ValueError, match="at least one"):
        edf([], [1])
    with pytest.raises(ValueError, match="2 values for 1 errors"):
        likely_range([1, 2], [1])


def test_distribution_is_strict_as_in_the_paper() -> None:
    errors = [50.0, 30, 40, 40]
    assert edf(errors, [29, 30, 40, 41, 60]) == [0, 0, 0.25, 0.75, 1]
    assert edf(errors, [29, 30, 40, 41, 60], inclusive=True) == [0, 0.25, 0.75, 0.75, 1]


def test_likely_range_finds_the_good_values() -> None:
    values = list(range(200))
    low, middle, high = likely_range(values, [abs(value - 120) for value in values])
    assert 110 < low <= middle <= high < 130 and abs(middle - 120) < 4
    assert likely_range(values, values, seed=3) == likely_range(values, values, seed=3)


def test_plot(tmp_path: Path) -> None:
    ax = plot_edf({"A": [50, 40, 45], "B": [30, 35]})
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["A: n=3, min=40, mean=45", "B: n=2, min=30, mean=32.5"]
    ax.figure.savefig(tmp_path / "edf.png")
    assert (tmp_path / "edf.png").stat().st_size > 1000


def test_importing_needs_no_matplotlib() -> None:
    code = "import sys, resnet_variants.design_space; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
