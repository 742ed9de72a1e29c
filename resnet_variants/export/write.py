"""Export: write, read back, compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..network import Network, network_of
from ..network.folding import summed
from ..storage import several
from .check import Difference, check
from .formats import FORMATS, example_images, example_size


@dataclass(frozen=True)
class Export:
    """A file, and how far its answers are from the network's at each size tried."""

    path: Path
    format: str
    differences: tuple[Difference, ...]


def export_model(
    model: Network,
    path: str | Path,
    *,
    to: str | None = None,
    dynamic: bool = True,
    size: tuple[int, int, int] | None = None,
    tolerance: float = 1e-4,
) -> Export:
    """Write the network in eval mode, read it back, and compare it on random images.

    ``to`` is ``onnx``, ``torch-export``, ``torchscript`` or ``openvino``, by default what the
    suffix says. ``dynamic`` takes any batch, height and width; else it is fixed at ``size``
    (batch, height, width). Branches that are summed (``conv="repvgg"``) are written as the one
    convolution that they are. Raises ValueError for an unknown format, a folder that cannot be
    written, and when the file's answers differ by more than ``tolerance`` of the largest; the file
    is left for a look then.
    """
    model = network_of(model)
    path = Path(path).expanduser()
    name = _format_of(path) if to is None else to
    form = FORMATS[name]
    if size is None:
        size = example_size(model) if dynamic else (1, 224, 224)
    images = example_images(model, size)
    training = model.training
    model.eval()
    try:
        with several(path) as whole:
            form.write(summed(model), images, whole, dynamic)
        sizes = [size, *_other_sizes(form.least(model))] if dynamic else [size]
        differences = check(model, form.load(path), sizes, tolerance=tolerance)
    finally:
        model.train(training)
    return Export(path, name, tuple(differences))


def _other_sizes(least: int) -> Sequence[tuple[int, int, int]]:
    """The smallest image, odd ones, ones that are not square."""
    return ((1, least, least), (3, 2 * least + 1, 3 * least), (2, 5 * least, 4 * least + 3))


def _format_of(path: Path) -> str:
    for name in FORMATS:
        if FORMATS[name].suffix == path.suffix:
            return name
    known = ", ".join(f"{FORMATS[name].suffix} ({name})" for name in FORMATS)
    raise ValueError(
        f"{path.name!r} does not say what to export to. Suffixes: {known}; or give to=."
    )
