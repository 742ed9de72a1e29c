"""Backbones for torchvision's detectors and for segmentation: a feature pyramid on any network."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN
from torchvision.models.segmentation.fcn import FCNHead
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from .factory import create_model
from .finetune import freeze
from .network import Network

LEVELS = (4, 8, 16, 32)  # the reductions that torchvision's anchors are for


class FeaturePyramid(nn.Module):
    """A network and a feature pyramid on it (Lin et al., CVPR 2017), as torchvision's detectors
    take it: (N, C, H, W) to maps called ``"0"`` (the finest) to ``"3"``, and ``"pool"``.

    ``frozen_stages`` are the first stages that are not trained, with the stem; None: none.
    What else there is goes to ``create_model``: ``pretrained``, ``norm_layer``, … Raises
    ValueError for a network without maps of a 4th, 8th, 16th and 32nd of the image.
    """

    def __init__(
        self,
        name: str,
        *,
        out_channels: int = 256,
        frozen_stages: int | None = None,
        **config: Any,
    ) -> None:
        super().__init__()
        whole = create_model(name, **config, device="meta").feature_info.reduction()
        if any(level not in whole for level in LEVELS):
            raise ValueError(f"{name!r} has maps of the image over {whole}; needed: {LEVELS}.")
        last = {reduction: index for index, reduction in enumerate(whole)}
        chosen = tuple(last[level] for level in LEVELS)
        self.body: Network = create_model(name, **config, features_only=True, out_indices=chosen)
        if frozen_stages is not None:
            freeze(self.body, frozen_stages)
        self.fpn = FeaturePyramidNetwork(
            self.body.feature_info.channels(), out_channels, extra_blocks=LastLevelMaxPool()
        )
        self.out_channels = out_channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.body(images)
        return self.fpn(OrderedDict((str(i), each) for i, each in enumerate(maps)))


def faster_rcnn(
    name: str, num_classes: int, *, detector: dict[str, Any] | None = None, **backbone: Any
) -> FasterRCNN:
    """A Faster R-CNN on the network called ``name``.

    ``num_classes`` counts the background; ``detector`` are arguments of torchvision's
    ``FasterRCNN``, the others those of ``FeaturePyramid``.
    """
    return FasterRCNN(FeaturePyramid(name, **backbone), num_classes, **(detector or {}))


class PyramidSegmenter(nn.Module):
    """Semantic segmentation: all levels of a pyramid, resized to the finest, summed and
    classified (the semantic branch of Kirillov et al., CVPR 2019, without its upsampling
    convolutions). (N, C, H, W) to logits (N, num_classes, H, W).
    """

    def __init__(self, name: str, num_classes: int, **backbone: Any) -> None:
        super().__init__()
        self.pyramid = FeaturePyramid(name, **{"out_channels": 128} | backbone)
        self.head = FCNHead(self.pyramid.out_channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        levels = self.pyramid(images)
        finest = levels["0"]
        size = finest.shape[-2:]
        for key in ("1", "2", "3"):
            finest = finest + F.interpolate(levels[key], size, mode="bilinear")
        logits = self.head(finest)
        return F.interpolate(logits, images.shape[-2:], mode="bilinear")
