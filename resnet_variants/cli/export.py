"""The command ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from ..checkpoints.models import load
from ..export.formats import FORMATS
from ..export.write import export_model
from ..factory import create_model
from ..registry import is_model, resolve_name


def export(
    name: str,
    /,
    *,
    to: Literal["onnx", "torch-export", "torchscript", "openvino"] = "onnx",
    output: Path | None = None,
    pretrained: bool = False,
    checkpoint: Path | None = None,
    num_classes: int | None = None,
    in_chans: int | None = None,
    features_only: bool = False,
    size: tuple[int, int, int] | None = None,
) -> None:
    """Write a network as a file for another runtime, and check its answers against torch's.

    Args:
        name: a model's name or alias, the folder of a run, or a file that resnet_variants.save
            wrote
        to: the kind of file
        output: where to write it; NAME.onnx, .pt2, .ts or .xml by default
        pretrained: with published weights
        checkpoint: with the weights of this file
        num_classes: classes of the classifier; 0 for pooled features
        in_chans: channels of the image
        features_only: feature levels instead of logits
        size: fix batch, height and width; by default the file takes any
    """
    asked = {"num_classes": num_classes, "in_chans": in_chans}
    changes: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    if not is_model(name) and Path(name).expanduser().exists():
        if changes or features_only or pretrained or checkpoint is not None:
            raise ValueError(f"{name} is a whole network: it is exported as it is.")
        model, stem = load(name), Path(name).name.removesuffix(".safetensors")
    else:
        model, stem = (
            create_model(
                name,
                pretrained=pretrained,
                checkpoint_path=checkpoint,
                features_only=features_only,
                **changes,
            ),
            resolve_name(name),
        )
    path = output or Path(stem + FORMATS[to].suffix)
    done = export_model(model, path, to=to, dynamic=size is None, size=size)
    print(f"{done.path}: {done.format}, largest difference from torch on random images")
    for difference in done.differences:
        print(f"  {difference}")
