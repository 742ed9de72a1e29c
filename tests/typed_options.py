"""What a type checker says of arguments of ``create_model``: read by mypy, in ``make lint``.

A wrong argument that it did not flag would be an "unused type: ignore", an error itself.
"""

from __future__ import annotations

import torch

from resnet_variants import create_model
from resnet_variants.options import RegNetOptions, ResNetOptions

create_model("resnet50", attention="se", layers=(1, 1, 1, 1))
create_model("resnet50", attention=None, norm_layer=torch.nn.BatchNorm2d)
regnet: RegNetOptions = {"w_0": 24}
create_model("regnetx_032", **regnet)

create_model("resnet50", atention="se")  # type: ignore[call-arg]
create_model("resnet50", num_classes="ten")  # type: ignore[arg-type]
resnet: ResNetOptions = {"w_0": 24}  # type: ignore[typeddict-unknown-key]
