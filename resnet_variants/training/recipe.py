"""A training recipe: one typed dataclass that is the Python API, the command line and the YAML."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_type_hints

from ..choices import Registry, unknown
from ..storage import read_yaml
from .augmentations import check_augmentation
from .corruptions import parse_corruption
from .optimizers import check_optimizer, optimizer_uses
from .values import check_range, typed

# What says where and how fast a run goes, not what comes out of it: free to change on resuming.
MACHINE_FIELDS = (
    "data_dir",
    "download",
    "workers",
    "device",
    "sharding",
    "save_steps",
    "save_seconds",
    "cache_mb",
    "keep_best",
)
# Fields that stand for fields of the network's configuration, and replace them.
NETWORK_FIELDS = ("drop_path_rate", "drop_rate", "zero_init_last")
# Fields whose None stands for a value, in a run that starts from no weights.
_UNSAID: dict[str, Any] = {"interpolation": "bilinear"}
# What ``augment`` says how to do, and the policies that it has for batches.
_DRAWN = ("random_erasing", "mixup", "cutmix")
BATCHED_POLICIES = ("none", "randaugment", "trivialaugment")
# Fields that have an effect only when training starts from weights.
_OF_WEIGHTS = ("freeze_stages", "frozen_norm", "gate_start")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained and tested. The defaults are the preset ``digits``.

    Raises ValueError for a value that is of the wrong type, out of range, or makes no sense
    with the others, naming the field, the value and what was expected.
    """

    # Data -----------------------------------------------------------------------------------
    data: str = "digits"
    """``digits`` or ``mnist5k`` (inside a package), a data set of torchvision (``cifar10``,
    ``fashion_mnist``, ``imagenet``, ``fake``, …) or a folder with ``train/CLASS/*`` and
    ``test/CLASS/*`` or ``val/CLASS/*``"""
    data_dir: str | None = None
    """where torchvision's data sets lie"""
    download: bool = False
    """let torchvision download a data set that is not there"""
    image_size: int | None = None
    """side of the square images; None: the weights', or as they are stored"""
    eval_size: int | None = None
    """side of the images in tests; None: as in training"""
    train_images: int | None = None
    """train on a class-balanced subset of so many images, the same one for every seed"""
    test_images: int | None = None
    """test on a class-balanced subset of so many images"""
    val_images: int = 0
    """hold out a class-balanced part of the training images, the same one for every seed: while
    the network trains these are tested, and the test images once, at the end"""
    label_noise: float = 0.0
    """share of training labels replaced by another class (the noise trial of the RAN paper)"""
    corruptions: tuple[str, ...] = ()
    """test also on corrupted images: ``gaussian_noise:3`` is severity 3 of 5"""
    on_corrupt_file: Literal["skip", "raise"] = "skip"
    """an image that cannot be read is left out and reported, or ends the run"""
    workers: int | None = None
    """loader processes; None: none for images that fit ``cache_mb``, else up to 8"""
    cache_mb: int = 1024
    """keep decoded images in memory when all of them take less"""
    mean: tuple[float, ...] | None = None
    """mean of the channels, images in [0, 1]; None: the weights', or measured on training
    images"""
    std: tuple[float, ...] | None = None
    """standard deviation of the channels; None: the weights', or measured on training images"""

    # Augmentation ---------------------------------------------------------------------------
    crop: Literal["none", "pad", "resized"] = "pad"
    """``pad``: shift by up to an eighth of the side; ``resized``: a part, scaled (ImageNet)"""
    flip: bool = False
    """mirror half of the images"""
    auto_augment: str = "none"
    """``randaugment`` or ``trivialaugment`` of torchvision, one that was registered, or a policy of
    timm by its name, such as ``rand-m7-mstd0.5-inc1``, if timm is installed"""
    random_erasing: float = 0.0
    """probability of erasing a rectangle, to the mean colour"""
    cutout: int = 0
    """side of a square of each image, in pixels, that becomes the mean colour (DeVries and Taylor
    2017: 16 for CIFAR-10, 8 for CIFAR-100), cut last; 0: none"""
    augment: Literal["images", "batches"] = "images"
    """``auto_augment``, ``random_erasing``, ``mixup`` and ``cutmix`` image by image and one mix a
    batch, with torchvision; or in whole batches, where the images stay on the device, too: each
    image draws by itself, mixes with its neighbour, and erasing comes after ``auto_augment``"""
    repeats: int = 1
    """repeated augmentation (Hoffer et al. 2020): each image is so many times in a row in the
    order, augmented differently; an epoch has as many images, so others wait for the next"""
    start_size: int | None = None
    """progressive size: of the training images at first; it grows in steps of 16 to ``image_size``
    over the first three quarters of the epochs"""
    mixup: float = 0.0
    """alpha of mixup; 0: off. With CutMix, a batch has one of the two"""
    cutmix: float = 0.0
    """alpha of CutMix; 0: off"""
    label_smoothing: float = 0.0
    """share of the target spread over all classes"""
    loss: Literal["cross_entropy", "bce"] = "cross_entropy"
    """``bce``: each class is a question of its own, and all classes of a mixed image are right"""
    interpolation: Literal["bilinear", "bicubic", "nearest"] | None = None
    """how images are resized; None: as the weights', or bilinear"""
    eval_crop: float | None = None
    """test on the centre of an image whose shorter side is ``image_size / eval_crop`` (ImageNet:
    0.875); None: as the weights', or the whole image, squared unless ``crop`` is ``resized``"""

    # Start ----------------------------------------------------------------------------------
    weights: str | None = None
    """start from these: the network's ``default`` published weights or those with a tag, a name of
    the catalogue (``resnet50.tv2_in1k``), a file in any dialect, or the folder of a run; a
    classifier of other classes and an added gate are new"""
    freeze_stages: int | None = None
    """with weights: train neither the stem nor so many stages, counted from the image; 0: not
    the stem"""
    frozen_norm: bool = False
    """with weights: keep statistics, scale and shift of all batch normalisation"""
    layer_decay: float = 1.0
    """learning rate of each unit, as a part of that of the one after it; the classifier has all"""
    gate_start: Literal["identity", "random"] = "identity"
    """with weights: a gate that they do not have starts as the identity, where it can"""

    # Schedule -------------------------------------------------------------------------------
    epochs: float = 15
    """passes over the training images"""
    batch_size: int = 64
    """images of an optimiser's step, over all processes and accumulated parts together"""
    accumulate: int = 1
    """parts that a batch is computed in, for less memory"""
    optimizer: str = "sgd"
    """``sgd``, ``adamw``, ``rmsprop``, one that was registered, or one of timm by its name
    (``lamb``, ``muon``, …), if it is installed"""
    lr: float = 0.1
    """highest learning rate"""
    schedule: Literal["cosine", "step", "linear", "constant"] = "cosine"
    milestones: tuple[float, ...] = (0.3, 0.6, 0.9)
    """``step``: parts of the training after which the rate falls to a tenth"""
    warmup_epochs: float = 1
    """epochs of linear rise to the highest rate"""
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    norm_weight_decay: float | None = None
    """weight decay of normalisation and biases; None: as the others"""
    bias_weight_decay: float | None = None
    """weight decay of biases that are no normalisation's; None: as normalisation's"""
    clip_norm: float = 0.0
    """longest gradient; 0: any"""
    ema: float = 0.0
    """decay of the averaged weights that are tested in place of the last; 0: off"""
    ema_every: int = 1
    """steps between two updates of the averaged weights"""
    ema_start: Literal["rise", "warmup"] = "rise"
    """how start values are forgotten: the decay rises with the updates, or the average only
    follows the weights until the learning rate has risen (torchvision)"""

    # Network --------------------------------------------------------------------------------
    drop_path_rate: float | None = None
    """stochastic depth; None: as the network says"""
    drop_rate: float | None = None
    """dropout before the classifier; None: as the network says"""
    zero_init_last: bool | None = None
    """start residual branches at zero; None: as the network says"""

    # Machine --------------------------------------------------------------------------------
    seed: int = 0
    """start values, data order and augmentation all follow from it"""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """mixed precision"""
    channels_last: bool = False
    """memory format; faster convolutions on most machines"""
    compile: bool = False
    """torch.compile"""
    capture: bool = True
    """on a GPU, replay a step as one graph where it can be; its optimiser rounds otherwise"""
    grad_checkpointing: bool = False
    """compute units again in the backward pass, for less memory"""
    deterministic: bool = False
    """only deterministic algorithms, slower on a GPU"""
    device: Literal["auto", "cpu"] = "auto"
    """``auto``: an accelerator if there is one"""
    sharding: Literal["ddp", "fsdp"] = "ddp"
    """several processes: each holds the whole model, or a part of it"""
    test_every: int = 1
    """test after every so many epochs, and after the last"""
    keep_best: Literal["none", "top1", "test_loss"] = "none"
    """keep the weights of the best epoch, too, as ``best.safetensors``: by accuracy or loss on the
    held out training images, or without such (then flattered) on the test images"""
    save_steps: int = 0
    """save every so many steps too, not only after each epoch"""
    save_seconds: float = 0.0
    """save when so many seconds have passed since the last time, within an epoch too, instead of
    after each epoch: for epochs of a second, or of hours. Several processes do so between epochs"""

    def __post_init__(self) -> None:
        hints = get_type_hints(Recipe)
        for field in dataclasses.fields(Recipe):
            value = typed(field.name, getattr(self, field.name), hints[field.name])
            object.__setattr__(self, field.name, value)
            check_range(field.name, value)
        for each in self.corruptions:
            parse_corruption(each)
        self._check_combination()
        check_optimizer(self.optimizer)
        check_augmentation(self.auto_augment)

    def _check_combination(self) -> None:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs={self.warmup_epochs} leaves nothing of epochs={self.epochs}."
            )
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size={self.batch_size} cannot be computed in accumulate="
                f"{self.accumulate} equal parts."
            )
        if any(not 0 < m < 1 for m in self.milestones) or list(self.milestones) != sorted(
            self.milestones
        ):
            raise ValueError(
                f"milestones={self.milestones} must be rising parts of the training, in (0, 1)."
            )
        if self.start_size is not None and not (
            self.image_size and self.start_size <= self.image_size and self.crop == "resized"
        ):
            raise ValueError(
                f"start_size={self.start_size} needs crop='resized' and an image_size that is not "
                f"smaller, not {self.image_size}."
            )
        if self.eval_size is not None and self.image_size is None:
            raise ValueError(f"eval_size={self.eval_size} needs an image_size.")
        if self.crop == "resized" and self.image_size is None and self.weights is None:
            raise ValueError("crop='resized' needs an image_size, for instance 224.")
        if self.eval_crop is not None and self.image_size is None and self.weights is None:
            raise ValueError(f"eval_crop={self.eval_crop} needs an image_size.")
        if self.weights is None and (self.frozen_norm or self.freeze_stages is not None):
            name = "frozen_norm" if self.frozen_norm else "freeze_stages"
            raise ValueError(
                f"{name}={getattr(self, name)} would keep what was drawn by chance: give weights."
            )
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together: give both or neither.")
        if self.augment == "batches" and self.auto_augment not in BATCHED_POLICIES:
            raise ValueError(
                f"augment='batches' has no auto_augment={self.auto_augment!r}, only "
                f"{', '.join(BATCHED_POLICIES)}: use augment='images'."
            )
        uses = optimizer_uses(self.optimizer)
        if self.nesterov and "nesterov" in uses and not self.momentum:
            raise ValueError("nesterov=True needs a momentum over 0.")
        if self.sharding == "fsdp" and self.precision == "fp16":
            raise ValueError("sharding='fsdp' has no scaled gradients: use precision='bf16'.")

    def replace(self, **changes: Any) -> Self:
        """A copy with other values; an unknown field is refused with the nearest one."""
        _check_names(changes)
        return dataclasses.replace(self, **changes)

    @property
    def network_changes(self) -> dict[str, Any]:
        """Fields of the network's configuration that the recipe sets."""
        changes = {n: getattr(self, n) for n in NETWORK_FIELDS if getattr(self, n) is not None}
        return changes | ({"norm_layer": "frozen_batchnorm"} if self.frozen_norm else {})

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON values."""
        values = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The recipe that ``to_dict`` or a YAML file wrote; ``preset`` names what to start from."""
        values = dict(values)
        base = PRESETS[values.pop("preset")].to_dict() if "preset" in values else {}
        _check_names(values)
        return cls(**{**base, **values})

    def identity(self) -> dict[str, Any]:
        """What decides the numbers that come out, but for the seed, the images, which are known by
        their content, and the network, whose configuration says what the recipe sets of it.

        Fields that the others leave without effect are not there, so two recipes that compute
        the same are equal here.
        """
        hidden = {*MACHINE_FIELDS, *NETWORK_FIELDS, "seed", "data", "weights"}
        if self.weights is None:
            hidden.update(_OF_WEIGHTS)
        if self.auto_augment == "none" and not any(getattr(self, name) for name in _DRAWN):
            hidden.add("augment")
        if not self.cutout:
            hidden.add("cutout")
        if self.schedule != "step":
            hidden.add("milestones")
        hidden.update({"momentum", "nesterov"}.difference(optimizer_uses(self.optimizer)))
        out = {k: v for k, v in self.to_dict().items() if k not in hidden}
        out |= {name: value for name, value in _UNSAID.items() if out.get(name) is None}
        if self.norm_weight_decay is None:
            out["norm_weight_decay"] = self.weight_decay
        if self.bias_weight_decay is None:
            out["bias_weight_decay"] = out["norm_weight_decay"]
        if self.eval_size is None:
            out["eval_size"] = self.image_size
        if not self.ema:
            del out["ema_every"], out["ema_start"]
        return out

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a YAML (or JSON) file."""
        if not Path(path).exists():
            raise ValueError(f"No recipe file {str(path)!r}.")
        return cls.from_dict(read_yaml(Path(path)))

    def save(self, path: str | Path) -> None:
        """Write a YAML file."""
        import yaml

        Path(path).write_text(yaml.safe_dump(self.to_dict(), sort_keys=False))


def _check_names(values: Mapping[str, Any]) -> None:
    names = [field.name for field in dataclasses.fields(Recipe)]
    for name in values:
        if name not in names:
            raise unknown("field of a recipe", name, names, limit=len(names))


PRESETS: Registry[Recipe] = Registry("preset")
