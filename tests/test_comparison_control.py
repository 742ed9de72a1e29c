"""The control of a gated network: plain, wider, and of its cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from resnet_variants import model_config, profile
from resnet_variants.comparison import Trial, equal_cost, run_trial
from resnet_variants.comparison.tables import markdown_report
from resnet_variants.storage import read_json

from .training_runs import short, tiny

NETWORKS: dict[str, tuple[str, dict[str, Any], int]] = {
    "resnet": ("resnet20_cifar", {"widths": (8, 8, 16), "layers": (1, 1, 1)}, 1),
    "resnext": ("resnext50_32x4d", {"layers": (1, 1)}, 1),
    "anynet": ("anynet", {"depths": (1, 1), "widths": (32, 64), "group_width": 16}, 16),
    "shufflenet_v1": ("shufflenet_v1_g3_x0_5", {"layers": (1, 1)}, 12),
    "shufflenet_v2": ("shufflenet_v2_x0_5", {"widths": (24, 48), "layers": (1, 1)}, 2),
    "ran": ("ran56_cifar", {"widths": (32, 64), "modules": (1,), "mask_depths": (1,)}, 1),
}


LOADED = short(weights="default")


@pytest.mark.parametrize(
    ("family", "cost"), [*((family, "params") for family in NETWORKS), ("resnet", "macs")]
)
def test_costs_are_equal_to_a_channel(family: str, cost: str) -> None:
    name, changes, step = NETWORKS[family]
    plain = _config(name).replace(num_classes=10, **changes)
    gated = plain.replace(attention="se", attention_args={"reduction": 2})
    found = equal_cost(gated, cost, image_size=32)  # type: ignore[arg-type]
    assert found.wanted == getattr(profile(gated, 32), cost)
    assert found.reached == getattr(profile(found.config, 32), cost)
    wider = {"attention": None, "widths": found.widths}
    assert found.config == plain.replace(**wider)
    last = (*found.widths[:-1], found.widths[-1] + step)
    one_more = getattr(profile(plain.replace(widths=last), 32), cost)
    assert abs(found.reached - found.wanted) <= one_more - found.reached


def _config(name: str) -> Any:
    if name != "anynet":
        return model_config(name)
    from resnet_variants.builders.regnet import AnyNetConfig

    return AnyNetConfig()


def test_latency_is_measured_in_turns() -> None:
    found = equal_cost(tiny(attention="lsk", layers=(1,), widths=(8,)), "latency", image_size=32)
    assert found.config.attention is None  # type: ignore[attr-defined]
    assert found.reached > 0 < found.wanted
    assert sum(found.widths) > 8


def test_a_trial_adds_controls_and_keeps_them(tmp_path: Path) -> None:
    axis = {"attention": ["none", "lsk", "simam"]}
    trial = Trial(networks={"net": tiny()}, recipe=short(), seeds=(0,), vary=axis, control="params")
    report = run_trial(trial, tmp_path, progress=False)
    plain, lsk, simam, control = (row.name for row in report.rows)
    assert (plain, lsk, simam) == tuple(f"net attention={each}" for each in axis["attention"])
    assert control.startswith("net attention=none widths=[")
    # what costs nothing has the plain network itself as its control
    assert [(c.name, c.control) for c in report.controls] == [(lsk, control), (simam, plain)]
    beside = report.controls[0]
    runs = {row.name: row.metrics["params"].mean for row in report.rows}
    assert (beside.wanted, beside.reached) == (runs[lsk], runs[control])
    assert beside.difference is not None
    tops = {row.name: row.metrics["top1"].mean for row in report.rows}
    assert beside.difference.mean == pytest.approx(tops[lsk] - tops[control])
    assert f"{beside.reached / beside.wanted:.2%}" in markdown_report(report)
    before = read_json(tmp_path / "trial.json")
    run_trial(trial, tmp_path, progress=False)
    assert read_json(tmp_path / "trial.json") == before
    assert len(list((tmp_path / "runs").iterdir())) == 4


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"control": "flops"}, "Unknown control 'flops'"),
        ({"networks": ["resnet20_cifar"], "control": "macs"}, "no network of the trial has a gate"),
        (
            {"networks": ["seresnet20_cifar"], "control": "macs", "recipe": LOADED},
            "none of them can begin with weights=",
        ),
        ({"networks": ["regnety_002"], "control": "macs"}, "'regnet' network have no widths"),
    ],
)  # fmt: skip
def test_what_cannot_be_controlled_is_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Trial(**{"networks": {"net": tiny(attention="se")}, "recipe": short(), **changes})


def test_a_gate_beyond_all_widths_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 16 times the width"):
        equal_cost(tiny(attention="se", attention_args={"hidden": 200_000}), image_size=32)
    with pytest.raises(ValueError, match="this one has no gate"):
        equal_cost("resnet50")
