"""What a back end is."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ...choices import Registry
from ...network import Network

Run = Callable[[Tensor], Any]
"""images (N, C, H, W) of any batch and size, in float32 or the half precision that it was prepared
for, to what the network gives, in their type"""
Outputs = Callable[[Tensor], list[Tensor]]
"""the same, but always a list, and float32 alone"""
Prepare = Callable[[Network, Tensor, str, Tensor | None], dict[str, Run]]
Load = Callable[[Path, str], Outputs]
"""(folder, precision)"""


@dataclass(frozen=True)
class Backend:
    """A way to run a network: how it is prepared, and what for.

    ``prepare(model, example, precision, calibration)`` leaves the model as it is and gives a
    ``Run`` for each memory layout worth measuring, by the layout's name. ``calibration`` is
    None but for int8.
    """

    prepare: Prepare
    precisions: tuple[str, ...] = ("float32",)
    package: str | None = None
    """what must be installed besides torch"""
    extra: str | None = None
    """the extra of this package that installs it"""
    automatic: bool = True
    """whether ``backend="auto"`` tries it"""
    load: Load | None = None
    """reads what was prepared, where that is files (``through_files``) and so can be saved"""
    runs_code: bool = False
    """whether reading these files runs code that is in them"""
    devices: tuple[str, ...] = ("cpu",)
    """the kinds of device that it runs on"""

    def installed(self) -> bool:
        """Whether the package that it needs is there."""
        return self.package is None or importlib.util.find_spec(self.package) is not None

    def require(self) -> None:
        """Raise ImportError, with the command that helps, where the package is missing."""
        if not self.installed():
            install = f"'resnet-variants[{self.extra}]'" if self.extra else self.package
            near = [
                name
                for name, each in ((name, BACKENDS[name]) for name in BACKENDS)
                if each.automatic and each.installed() and set(each.devices) & set(self.devices)
            ]
            raise ImportError(
                f"This back end needs {self.package}: pip install {install}. The nearest that is "
                f"here: {' or '.join(map(repr, near))}."
            )


class FromFiles:
    """A ``Run`` that was read from files, which stay on disk as long as it: it can be saved."""

    def __init__(
        self, folder: tempfile.TemporaryDirectory[str], outputs: Outputs, single: bool
    ) -> None:
        self._folder = folder
        self._outputs = outputs
        self.single = single
        """whether the network gives one tensor, not a list"""

    def __call__(self, images: Tensor) -> Any:
        outputs = self._outputs(images.float().contiguous())
        found = [each.to(images.dtype) for each in outputs]
        return found[0] if self.single else found

    def files(self) -> dict[str, bytes]:
        """Their contents by name."""
        return {each.name: each.read_bytes() for each in sorted(Path(self._folder.name).iterdir())}

    @property
    def nbytes(self) -> int:
        """Bytes of the files."""
        return sum(each.stat().st_size for each in Path(self._folder.name).iterdir())


def through_files(
    write: Callable[[Network, Tensor, str, Tensor | None, Path], None], load: Load
) -> Prepare:
    """A ``prepare`` of a function that writes files into a folder, and one that reads them."""

    def prepare(
        model: Network, example: Tensor, precision: str, calibration: Tensor | None
    ) -> dict[str, Run]:
        folder = tempfile.TemporaryDirectory(prefix="deployed-")
        write(model, example, precision, calibration, Path(folder.name))
        outputs = load(Path(folder.name), precision)
        return {"NCHW": FromFiles(folder, outputs, single=model.out_indices is None)}

    return prepare


BACKENDS: Registry[Backend] = Registry("backend")


def cannot_be_saved(name: str) -> ValueError:
    """The error for a back end whose networks are no files."""
    able = " and ".join(repr(each) for each in BACKENDS if BACKENDS[each].load is not None)
    return ValueError(
        f"backend={name!r} cannot be saved: what it prepares (packed weights, compiled code) lives "
        f"in its process alone. {able} can; optimize_for_inference(..., savable=True) chooses."
    )
