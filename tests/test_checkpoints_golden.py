"""Networks here give what the authors' own networks gave, through the authors' tensor names."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from resnet_variants import create_model
from resnet_variants.checkpoints import export_state_dict, load_checkpoint

from .golden import fill

# golden record -> (model, what differs from it, the dialect of its keys)
GOLDEN: dict[str, tuple[str, dict[str, Any], str]] = {
    "eca_resnet18": ("ecaresnet18", {"attention_args": {"kernel_size": 3}}, "ecanet"),
    "eca_resnet50_k3557": ("ecaresnet50", {}, "ecanet"),
    "res2net50_26w_4s": ("res2net50_26w_4s", {}, "res2net"),
    "res2net50_v1b_26w_4s": ("res2net50_v1b", {}, "res2net"),
    "res2next50": ("res2next50", {}, "res2net"),
    "resnest50": ("resnest50", {}, "resnest"),
    "resnest50_fast_1s4x24d": ("resnest50_fast_1s4x24d", {}, "resnest"),
    "resnest50_fast_2s2x40d": ("resnest50_fast_2s2x40d", {}, "resnest"),
    "scnet50": ("scnet50", {}, "scnet"),
    "scnet101_v1d": ("scnet101_v1d", {}, "scnet"),
    "shufflenet_v1_g3_1.0x": ("shufflenet_v1_g3_x1_0", {}, "megvii"),
    "shufflenet_v1_g8_0.5x": ("shufflenet_v1_g8_x0_5", {}, "megvii"),
    "shufflenet_v2_1.0x": ("shufflenet_v2_x1_0_megvii", {}, "megvii"),
    "caffe_Attention-56": ("ran56", {}, "caffe_ran"),
    "caffe_AttentionNeXt-56": ("ranext56", {}, "caffe_ran"),
    "caffe_SE-BN-Inception": ("se_bn_inception", {}, "caffe_senet"),
    "caffe_SKNet-50": ("sknet50", {"stem_pool": "max_ceil"}, "caffe_sknet"),
}


@pytest.mark.parametrize("record", GOLDEN)
def test_same_outputs_as_the_authors(record: str) -> None:
    """Float64, 1e-9 of the logits' spread; and the names travel back unchanged."""
    name, changes, dialect = GOLDEN[record]
    golden = fill.golden(record)
    theirs = fill.state_dict(golden["keys"])
    model = create_model(name, dtype=torch.float64, **changes)
    report = load_checkpoint(model, theirs)
    assert set(export_state_dict(model, dialect)) == set(theirs)
    back = export_state_dict(model, report.dialect)
    assert all(torch.equal(back[key], tensor) for key, tensor in theirs.items())

    with torch.inference_mode():
        logits = model.eval()(fill.image(golden["input"]))
    spread = golden["logit_std"]
    for number, values in golden["logits"].items():
        there = torch.tensor(values, dtype=torch.float64)
        assert (logits[:, int(number)] - there).abs().max() <= 1e-9 * spread
    assert logits.mean().item() == pytest.approx(golden["logit_mean"], abs=1e-9 * spread)
    assert logits.std().item() == pytest.approx(spread, rel=1e-6)
    extra = 0 if "classifier.0.weight" not in theirs else 1000  # Megvii's have no bias there
    assert sum(p.numel() for p in model.parameters()) == golden["params"] + extra


def test_every_record_is_compared() -> None:
    assert {path.stem for path in fill.FOLDER.glob("*.json")} == set(GOLDEN)
