"""Recipes by name: what papers and libraries train with."""

from __future__ import annotations

import importlib.util
from typing import Any

from .recipe import PRESETS as PRESETS
from .recipe import Recipe

PRESETS.register("digits", Recipe())
PRESETS.register("demo", Recipe(epochs=8, save_seconds=10))

_CIFAR = Recipe(
    data="cifar10", data_dir="data", epochs=200, batch_size=128, warmup_epochs=5, flip=True
)
PRESETS.register("cifar", _CIFAR)
PRESETS.register(
    "cifar_fast",
    _CIFAR.replace(
        epochs=15, batch_size=256, lr=0.4, warmup_epochs=3, label_smoothing=0.1, channels_last=True
    ),
)

# Which gate helps? Long enough for small networks to converge, short enough for many seeds
PRESETS.register("gate_trial", _CIFAR.replace(epochs=60, warmup_epochs=3, channels_last=True))

# Weights of one's own or of another's, on images of one's own: a small rate, smaller still near the
# image, and no long training
_FINETUNE = Recipe(
    crop="resized",
    flip=True,
    epochs=10,
    batch_size=32,
    lr=0.01,
    weight_decay=1e-4,
    warmup_epochs=1,
    label_smoothing=0.1,
    layer_decay=0.9,
    weights="default",
)
PRESETS.register("finetune", _FINETUNE)
# Does a gate help a network that is trained already? It starts as the identity, so that all
# differences are the gate's.
PRESETS.register(
    "add_gate",
    _CIFAR.replace(epochs=10, lr=0.01, warmup_epochs=0.5, gate_start="identity", weights="default"),
)

_IMAGENET = Recipe(
    data="imagenet",
    data_dir="data",
    image_size=224,
    eval_crop=0.875,
    crop="resized",
    flip=True,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    epochs=100,
    batch_size=256,
    schedule="step",
    warmup_epochs=5,
    weight_decay=1e-4,
    zero_init_last=True,
)
# 100 epochs and all parameters decayed, as in the ECA-Net and SSANet authors' code
PRESETS.register("imagenet", _IMAGENET)
# Goyal et al., "Accurate, Large Minibatch SGD", 2017, Section 5.1: 90 epochs, Nesterov momentum of
# 0.9, 1e-4 of decay on all but the weights and biases of normalisation, the last of each branch
# begins at 0. A larger batch takes a larger rate, 0.1 for each 256 images, to which it rises from
# 0.1 over 5 epochs: with 256 images there is no rise
PRESETS.register(
    "goyal2017",
    _IMAGENET.replace(
        epochs=90,
        milestones=(30 / 90, 60 / 90, 80 / 90),
        warmup_epochs=0,
        norm_weight_decay=0.0,
        bias_weight_decay=1e-4,
    ),
)
# The recipe of torchvision's second weights (references/classification/train.py, its values in
# pytorch.org/blog/how-to-train-state-of-the-art-models-using-torchvision-latest-primitives): its
# average of weights has the decay 1 - 2e-5 * batch * 32 / epochs, each 32 steps, and starts after
# the warm-up. The rate falls by the step here, by the epoch there.
PRESETS.register(
    "imagenet_modern",
    _IMAGENET.replace(
        epochs=600,
        batch_size=1024,
        lr=0.5,
        schedule="cosine",
        image_size=176,
        eval_size=224,
        eval_crop=224 / 232,
        nesterov=False,
        weight_decay=2e-5,
        norm_weight_decay=0.0,
        bias_weight_decay=2e-5,
        label_smoothing=0.1,
        mixup=0.2,
        cutmix=1.0,
        auto_augment="trivialaugment",
        random_erasing=0.1,
        repeats=4,
        ema=1 - 2e-5 * 1024 * 32 / 600,
        ema_every=32,
        ema_start="warmup",
        zero_init_last=None,
        precision="bf16",
        channels_last=True,
    ),
)
# Wightman, Touvron and Jegou, "ResNet strikes back", arXiv 2110.00476, Table 2: A1 to A3, read
# beside OpenMMLab's configurations (resnet50_8xb256-rsb-a2-300e_in1k and its two neighbours), which
# train A1 with cross-entropy; the paper and timm's card of resnet50.a1_in1k say binary. LAMB and
# RandAugment are timm's, as there
_A2 = _IMAGENET.replace(
    epochs=300,
    batch_size=2048,
    optimizer="lamb",
    lr=5e-3,
    schedule="cosine",
    weight_decay=0.02,
    norm_weight_decay=0.0,
    loss="bce",
    mixup=0.1,
    cutmix=1.0,
    auto_augment="rand-m7-mstd0.5-inc1",
    repeats=3,
    drop_path_rate=0.05,
    interpolation="bicubic",
    eval_crop=0.95,
    precision="bf16",
    channels_last=True,
)
_STRIKES_BACK: dict[str, dict[str, Any]] = {
    "rsb_a1": {"epochs": 600, "weight_decay": 0.01, "label_smoothing": 0.1, "mixup": 0.2},
    "rsb_a2": {},
    "rsb_a3": {
        "epochs": 100,
        "lr": 8e-3,
        "image_size": 160,
        "eval_size": 224,
        "auto_augment": "rand-m6-mstd0.5-inc1",
        "repeats": 1,
        "drop_path_rate": None,
    },
}
if importlib.util.find_spec("timm") is not None:
    for _name, _changes in _STRIKES_BACK.items():
        PRESETS.register(_name, _A2.replace(**_changes))
# SSANet's code (main.py): one run of it, whose best epoch the author reports, is not what comes out
PRESETS.register(
    "ssanet_cifar",
    _CIFAR.replace(
        epochs=240,
        batch_size=100,
        nesterov=False,
        warmup_epochs=0,
        schedule="step",
        milestones=(50 / 240, 100 / 240, 150 / 240, 200 / 240),
    ),
)
