"""``torch``'s compiler ahead of time: a package of compiled code, which can be saved."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...export import export_program
from ...export.formats import outputs
from ...network import Network
from ...network.folding import summed
from .base import BACKENDS, Backend, Outputs, through_files

_NAME = "network.pt2"


def _write(
    model: Network, example: Tensor, precision: str, calibration: Tensor | None, folder: Path
) -> None:
    import torch._inductor as inductor

    with torch.no_grad(), inductor.config.patch(freezing=True):
        # Traced at sizes of its own: an example's, of a batch of 1 say, would be taken as fixed.
        program = export_program(summed(model))
        inductor.aoti_compile_and_package(program, package_path=str(folder / _NAME))


def _load(folder: Path, precision: str) -> Outputs:
    import torch._inductor as inductor

    run = inductor.aoti_load_package(str(folder / _NAME))
    return lambda images: outputs(run(images))


BACKENDS.register(
    "aotinductor",
    Backend(through_files(_write, _load), automatic=False, load=_load, runs_code=True),
)
