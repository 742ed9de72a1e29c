"""Every pair of values of every two axes is built and trained, or refused with a reason."""

import json
from functools import cache
from itertools import combinations, product
from typing import Any

import pytest
import torch

from resnet_variants import build, config_from_dict
from resnet_variants.blocks.convs import CONVS
from resnet_variants.blocks.gates import ATTENTION
from resnet_variants.blocks.residual import ATTENTION_AT
from resnet_variants.blocks.shortcuts import SHORTCUTS
from resnet_variants.blocks.stems import POOLS, STEMS
from resnet_variants.builders.resnet import BLOCKS, ResNetConfig

AXES: dict[str, list[Any]] = {
    "block": list(BLOCKS),
    "stem": list(STEMS),
    "stem_pool": list(POOLS),
    "stride_in": ["conv1", "conv2"],
    "stride_with": ["conv", "avg_after", "avg_before"],
    "shortcut": list(SHORTCUTS),
    "conv": list(CONVS),
    "groups": [1, 2],
    "base_width": [64, 32],
    "attention": [None, *ATTENTION],
    "attention_at": list(ATTENTION_AT),
    "attention_every": [1, 2],
    "output_stride": [8, 16, 32],
    "norm_layer": ["batchnorm", "groupnorm"],
    "act_layer": ["relu", "silu"],
    "drop_path_rate": [0.0, 0.2],
    "global_pool": ["avg", "catavgmax"],
}
PAIRS = list(combinations(AXES, 2))


@cache
def _train_once(config: str) -> None:
    """Many pairs have a network in common: that of either value beside defaults."""
    torch.manual_seed(0)
    model = build(config_from_dict(json.loads(config)))
    model(torch.randn(2, 3, 32, 32)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} has no gradient"
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_pair(first: str, second: str) -> None:
    built = 0
    for values in product(AXES[first], AXES[second]):
        changes: dict[str, Any] = dict(zip((first, second), values, strict=True))
        if changes.get("attention_at", "standard") != "standard" or "attention_every" in changes:
            changes.setdefault("attention", "se")  # a place needs a gate
        try:
            config = ResNetConfig(
                layers=(2, 1, 1), widths=(16, 16, 32), stem_width=16, num_classes=4, **changes
            )
        except ValueError as refusal:
            assert first in str(refusal) and second in str(refusal), refusal
            assert len(str(refusal)) > 40, "a refusal gives its reason"
        else:
            _train_once(json.dumps(config.to_dict()))
            built += 1
    assert built
