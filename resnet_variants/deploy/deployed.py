"""A network ready to run, and the one file that it can be kept in."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..checkpoints.catalogue import Weights, weights_from_dict
from ..checkpoints.errors import BrokenFileError, CheckpointError, UnsafeFileError
from ..checkpoints.files import read_checkpoint, shown, write_checkpoint
from ..checkpoints.models import DEPLOYED
from ..checkpoints.preprocessing import class_names, transforms_for
from ..config import NetworkConfig, config_from_dict
from ..network.inputs import check_images, check_size
from .backends import BACKENDS, FromFiles, Run, cannot_be_saved
from .devices import without_autocast
from .report import DeployReport, report_from_dict

if TYPE_CHECKING:
    from torchvision.transforms.v2 import Compose

_VERSION = 2


class Deployed:
    """A network ready to run: called like the network, for any batch and image size."""

    def __init__(
        self,
        run: Run,
        report: DeployReport,
        config: NetworkConfig,
        weights: Weights | None = None,
        *,
        min_size: int,
    ) -> None:
        self._run = run
        self._types = ["float32", *{"float16", "bfloat16"} & {report.precision}]
        self._places = ("cpu", *BACKENDS[report.backend].devices)
        self.min_size = min_size
        """pixels of the smallest side of an image that it takes"""
        self.report = report
        self.config = config
        """of the network that it was made from"""
        self.weights = weights
        """the published or own weights that are in it: preprocessing, names of classes"""

    def __call__(self, images: Tensor) -> Any:
        """The network's outputs for images (N, C, H, W), in their type: float32, or the half
        precision that it computes in. Raises TypeError and ValueError for others, in every back
        end alike: of some of theirs nobody hears."""
        check_images(images, self.config.in_chans)
        check_size(images, self.min_size)
        if str(images.dtype).removeprefix("torch.") not in self._types:
            raise TypeError(
                f"This network takes images in {' or '.join(self._types)}, not {images.dtype}: "
                f"images.float(). What it computes in, {self.report.precision}, was chosen when it "
                "was made."
            )
        if images.device.type not in self._places or images.layout != torch.strided:
            raise ValueError(
                f"Expected dense images on {' or '.join(dict.fromkeys(self._places))}, not "
                f"{images.layout} on {images.device}."
            )
        with torch.inference_mode(), without_autocast():
            return self._run(images)

    def __repr__(self) -> str:
        return f"Deployed({self.report})"

    @property
    def num_classes(self) -> int:
        """Classes that it tells apart; 0 for features."""
        return self.config.num_classes

    @property
    def class_names(self) -> list[str]:
        """Names of its classes; their numbers where the names are not known."""
        return class_names(self.weights, self.num_classes)

    def transforms(self) -> Compose:
        """What makes images of photographs, as ``transforms_for`` does. Raises ValueError when
        it is not known."""
        return transforms_for(self, self.weights)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one file that ``load_deployed`` reads without preparing anything: the back end's
        own files, precision, report, configuration, preprocessing and names of classes.

        It ends in ``.safetensors``, whose tensors are the bytes of those files. Raises ValueError
        for a back end whose networks cannot be kept, and names those that can.
        """
        if not isinstance(self._run, FromFiles):
            raise cannot_be_saved(self.report.backend)
        files = self._run.files()
        weights = self.weights and dataclasses.replace(
            self.weights, class_names=tuple(self.class_names)
        )
        about = {
            "version": _VERSION,
            "machine": _machine(),
            "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
            "single": self._run.single,
            "min_size": self.min_size,
            "report": self.report.to_dict(),
            "config": self.config.to_dict(),
            "weights": weights and weights.to_dict(),
        }
        tensors = {
            name: torch.frombuffer(bytearray(data), dtype=torch.uint8)
            for name, data in files.items()
        }
        if Path(path).suffix != ".safetensors":
            raise ValueError(f"{shown(path)}: a deployed network is saved as .safetensors.")
        return write_checkpoint(tensors, path, metadata={DEPLOYED: json.dumps(about)})


def load_deployed(path: str | os.PathLike[str], *, allow_code: bool = False) -> Deployed:
    """The network that ``Deployed.save`` wrote, on any machine that has its back end.

    The file is read as data and checked: no gaps, checksums, known fields. Files of some back
    ends (``aotinductor``) are compiled code, which runs when it is loaded: they are taken with
    ``allow_code=True`` alone, from somebody you trust, and on processors like the one that wrote
    them. Raises ``CheckpointError`` (``BrokenFileError``, ``UnsafeFileError``) for another or a
    damaged file, ImportError for a back end that is not installed, and ValueError where the back
    end cannot compute in the file's precision.
    """
    checkpoint = read_checkpoint(path, key="")
    name = shown(path)
    if DEPLOYED not in checkpoint.metadata:
        raise CheckpointError(
            f"{name} holds no deployed network: Deployed.save did not write it. A network that "
            "resnet_variants.save wrote is read by resnet_variants.load."
        )
    files = {each: tensor.numpy().tobytes() for each, tensor in checkpoint.tensors.items()}
    try:
        about = json.loads(checkpoint.metadata[DEPLOYED])
        if about["version"] != _VERSION:
            raise ValueError(f"version {about['version']!r} of this file, not {_VERSION}")
        sums = {each: hashlib.sha256(data).hexdigest() for each, data in files.items()}
        if sums != about["sha256"]:
            raise ValueError("a checksum is wrong: its bytes were changed after it was written")
        if odd := [each for each in files if Path(each).name != each or each in (".", "..")]:
            raise ValueError(f"{odd[0][:80]!r} is no name of a file")
        report = report_from_dict(about["report"])
        config = config_from_dict(about["config"])
        weights = about["weights"] and weights_from_dict(about["weights"])
        single, machine, least = bool(about["single"]), about["machine"], int(about["min_size"])
    except Exception as error:
        raise BrokenFileError(f"{name} is broken: {error}.") from error
    backend = BACKENDS[report.backend]
    if backend.load is None:
        raise CheckpointError(f"{name}: backend={report.backend!r} reads no files.")
    backend.require()
    if backend.runs_code:
        _check_code(name, report.backend, machine, allow_code)
    folder = tempfile.TemporaryDirectory(prefix="deployed-")
    for each, data in files.items():
        (Path(folder.name) / each).write_bytes(data)
    try:
        outputs = backend.load(Path(folder.name), report.precision)
    except ValueError:
        raise
    except Exception as error:
        raise BrokenFileError(f"{name} cannot be read by {report.backend}: {error}") from error
    return Deployed(FromFiles(folder, outputs, single), report, config, weights, min_size=least)


def _check_code(name: str, backend: str, machine: dict[str, str], allow_code: bool) -> None:
    if not allow_code:
        raise UnsafeFileError(
            f"{name} was not read: files of backend={backend!r} are compiled code, which runs when "
            "it is loaded. If you trust who wrote it: load_deployed(path, allow_code=True)."
        )
    if machine != (here := _machine()):
        raise CheckpointError(
            f"{name} was compiled for {machine}, and this is {here}: prepare it here again, or "
            "save with backend='openvino' or 'onnxruntime', whose files do not depend on it."
        )


def _machine() -> dict[str, str]:
    """What compiled code depends on."""
    return {
        "torch": torch.__version__.split("+")[0],
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }
