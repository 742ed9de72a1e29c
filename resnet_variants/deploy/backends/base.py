"""What a back end is."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...choices import Registry
from ...network import Network

Run = Callable[[Tensor], Any]
"""float32 images (N, C, H, W) of any batch and size to what the network gives, in float32"""


@dataclass(frozen=True)
class Backend:
    """A way to run a network: how it is prepared, and what for.

    ``prepare(model, example, precision, calibration)`` leaves the model as it is and gives a
    ``Run`` for each memory layout worth measuring, by the layout's name. ``calibration`` is
    None but for int8.
    """

    prepare: Callable[[Network, Tensor, str, Tensor | None], dict[str, Run]]
    precisions: tuple[str, ...] = ("float32",)
    package: str | None = None
    """what must be installed besides torch"""
    extra: str | None = None
    """the extra of this package that installs it"""
    automatic: bool = True
    """whether ``backend="auto"`` tries it"""

    def installed(self) -> bool:
        """Whether the package that it needs is there."""
        return self.package is None or importlib.util.find_spec(self.package) is not None

    def require(self) -> None:
        """Raise ImportError, with the command that helps, where the package is missing."""
        if not self.installed():
            install = f"'resnet-variants[{self.extra}]'" if self.extra else self.package
            raise ImportError(f"This back end needs {self.package}: pip install {install}.")


BACKENDS: Registry[Backend] = Registry("backend")
