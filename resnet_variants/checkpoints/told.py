"""Weights as timm's users tell of them: ``pretrained_cfg``, a tag or a mapping with timm's keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..choices import quoted
from .repositories import FILE, repository_file


def what_is_told(cfg: Any, overlay: Any = None) -> dict[str, Any]:
    """``pretrained_cfg`` (a ``PretrainedCfg`` of timm's, too) and ``pretrained_cfg_overlay`` as one
    mapping, without what is None."""
    if isinstance(cfg, str):
        cfg = {"tag": cfg}
    elif dataclasses.is_dataclass(cfg) and not isinstance(cfg, type):
        cfg = vars(cfg)
    for name, each in (("pretrained_cfg", cfg), ("pretrained_cfg_overlay", overlay)):
        if not isinstance(each, Mapping | None):
            tag = "a tag or " if name == "pretrained_cfg" else ""
            raise TypeError(
                f"{name} must be {tag}a mapping such as timm's, for instance "
                f"{{'file': 'weights.pth'}}, not {quoted(each)}."
            )
    return {k: v for k, v in {**(cfg or {}), **(overlay or {})}.items() if v is not None}


def sizes_told(told: Mapping[str, Any]) -> tuple[int | None, int]:
    """Classes, where they are told, and input channels of the network that was trained."""
    size = told.get("input_size", (3,))
    if not isinstance(size, (tuple, list)) or not size or type(size[0]) is not int:
        raise TypeError(
            f"pretrained_cfg's input_size must be (channels, height, width), not {quoted(size)}."
        )
    return told.get("num_classes"), size[0]


def source_told(told: Mapping[str, Any]) -> Any:
    """Tensors, or a file, in timm's order; None where published weights are meant."""
    source = told.get("state_dict") or told.get("file")
    if source is None and "hf_hub_id" in told:
        source = repository_file(told["hf_hub_id"], told.get("hf_hub_filename", FILE))
    return source
