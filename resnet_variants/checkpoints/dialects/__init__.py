"""Dialects: what other libraries call the tensors of the networks here, both ways."""

from __future__ import annotations

from ...choices import Registry
from . import authors, libraries
from .translate import Dialect, Pair, strip_prefixes

__all__ = ["DIALECTS", "OWN", "Dialect", "Pair", "strip_prefixes"]

OWN = "resnet_variants"

DIALECTS: Registry[Dialect] = Registry("dialect")
for _dialect in (
    Dialect("torchvision", "torchvision", libraries.TORCHVISION),
    Dialect("timm", "timm", libraries.TIMM),
    Dialect("pytorchcv", "pytorchcv (osmr/imgclsmob)", libraries.PYTORCHCV),
    Dialect("mmpretrain", "open-mmlab/mmpretrain", libraries.MMPRETRAIN),
    Dialect("pycls", "facebookresearch/pycls", libraries.PYCLS),
    Dialect("cadene", "Cadene/pretrained-models.pytorch, timm legacy_se*", libraries.CADENE),
    Dialect("ecanet", "BangguWu/ECANet", authors.ECANET),
    Dialect("res2net", "Res2Net/Res2Net-PretrainedModels", authors.RES2NET),
    Dialect("resnest", "zhanghang1989/ResNeSt", authors.RESNEST),
    Dialect("scnet", "MCG-NKU/SCNet", authors.SCNET),
    Dialect(
        "salientnet",
        "AmigoCDT/Salient-Net",
        authors.SALIENTNET,
        extra=authors.SALIENTNET_EXTRA,
    ),
    Dialect("attention_module", "Jongchan/attention-module", authors.ATTENTION_MODULE),
    Dialect("fcanet", "cfzd/FcaNet", authors.FCANET, extra=authors.FCANET_EXTRA),
    Dialect("triplet", "landskape-ai/triplet-attention", authors.TRIPLET),
    Dialect("megvii", "megvii-model/ShuffleNet-Series", authors.MEGVII),
    Dialect(
        "kuangliu", "kuangliu/pytorch-cifar, akamaster/pytorch_resnet_cifar10", authors.KUANGLIU
    ),
    Dialect("caffe_senet", "hujie-frank/SENet", authors.CAFFE_SENET, batch_counts=False),
    Dialect(
        "caffe_ran", "fwang91/residual-attention-network", authors.CAFFE_RAN, batch_counts=False
    ),
    Dialect("caffe_sknet", "implus/SKNet", authors.CAFFE_SKNET, batch_counts=False),
):
    DIALECTS.register(_dialect.name, _dialect)
