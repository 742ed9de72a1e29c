"""Dialects: what other libraries call the tensors of the networks here, both ways."""

from __future__ import annotations

from ...choices import Registry
from . import tables
from .translate import Dialect, Pair, strip_prefixes

__all__ = ["DIALECTS", "OWN", "Dialect", "Pair", "strip_prefixes"]

OWN = "resnet_variants"

DIALECTS: Registry[Dialect] = Registry("dialect")
for _dialect in (
    Dialect("torchvision", "torchvision", tables.TORCHVISION),
    Dialect("timm", "timm", tables.TIMM),
    Dialect("pytorchcv", "pytorchcv (osmr/imgclsmob)", tables.PYTORCHCV),
    Dialect("mmpretrain", "open-mmlab/mmpretrain", tables.MMPRETRAIN),
    Dialect("pycls", "facebookresearch/pycls", tables.PYCLS),
    Dialect("cadene", "Cadene/pretrained-models.pytorch, timm legacy_se*", tables.CADENE),
    Dialect("ecanet", "BangguWu/ECANet", tables.ECANET),
    Dialect("res2net", "Res2Net/Res2Net-PretrainedModels", tables.RES2NET),
    Dialect("resnest", "zhanghang1989/ResNeSt", tables.RESNEST),
    Dialect("scnet", "MCG-NKU/SCNet", tables.SCNET),
    Dialect("megvii", "megvii-model/ShuffleNet-Series", tables.MEGVII),
    Dialect(
        "kuangliu", "kuangliu/pytorch-cifar, akamaster/pytorch_resnet_cifar10", tables.KUANGLIU
    ),
    Dialect("caffe_senet", "hujie-frank/SENet", tables.CAFFE_SENET, batch_counts=False),
    Dialect("caffe_sknet", "implus/SKNet", tables.CAFFE_SKNET, batch_counts=False),
):
    DIALECTS.register(_dialect.name, _dialect)
