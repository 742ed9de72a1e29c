"""The command ``optimize``."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..checkpoints.catalogue import Weights
from ..checkpoints.preprocessing import transforms_for
from ..deploy import optimize_for_inference
from ..network import Network
from ..photographs import SUFFIXES, image_files, read_image
from ..storage import check_place
from ..text import table
from .weights import open_network


def optimize(
    name: str,
    /,
    *,
    precision: Literal["float32", "tf32", "float16", "bfloat16", "int8", "auto"] = "float32",
    backend: str = "auto",
    calibration: Path | None = None,
    images: int = 48,
    max_difference: float | None = None,
    save: Path | None = None,
    checkpoint: Path | None = None,
    weights: str | None = None,
    batch: int = 1,
    size: int | None = None,
    rounds: int = 5,
    json: bool = False,
) -> None:
    """Find the fastest way to run a network on this machine, and keep it in a file.

    Args:
        name: a model's name, the folder of a run, or a file that resnet_variants.save wrote
        precision: what it computes in; auto is the fastest within MAX_DIFFERENCE
        backend: torch, inductor, aotinductor, onnxruntime, openvino; auto is the fastest of those
            installed that compile in seconds, with SAVE of those that can be saved
        calibration: folder of photographs, at any depth: int8 takes its ranges from them, and
            differences are measured on them, not on random images
        images: take only so many of them
        max_difference: how far outputs may be off, relative to their greatest value
        save: the file, .safetensors, that load_deployed and predict take
        checkpoint: weights of the model; published ones by default
        weights: tag of the published weights; with CHECKPOINT: whose preprocessing to use
        batch: images at a time
        size: side of the images; the weights' own by default
        rounds: repeats of each way, at least
        json: print JSON instead
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, not {batch}.")
    if save is not None and save.suffix != ".safetensors":
        raise ValueError(f"save={str(save)!r}: a deployed network is saved as .safetensors.")
    if save is not None:
        check_place(save.parent)
    network, known = open_network(name, checkpoint=checkpoint, weights=weights, device="cpu")
    network.eval()
    photographs = None if calibration is None else _read(calibration, images, network, known)
    if photographs is not None:
        example = photographs[torch.arange(batch) % len(photographs)]
    else:
        side = size or (224 if known is None else known.size)
        generator = torch.Generator().manual_seed(0)
        example = torch.randn(batch, network.config.in_chans, side, side, generator=generator)
    deployed = optimize_for_inference(
        network,
        example,
        backend,
        precision=precision,
        calibration=photographs,
        max_difference=max_difference,
        savable=save is not None,
        rounds=rounds,
    )
    if known is not None:
        deployed.weights = known
    if save is not None:
        deployed.save(save)
    report = deployed.report
    if json:
        print(dumps(report.to_dict() | {"file": save and str(save)}, indent=2))
        return
    print(report)
    rows = [(way, f"{speedup:.2f}") for way, speedup in report.tried.items()]
    rows += [(way, f"off by {far:.1e}") for way, far in report.refused.items()]
    print(table(("tried", "times as fast as eager"), rows))
    if save is not None:
        print(f"wrote {save}, {save.stat().st_size / 2**20:.1f} MiB")


def _read(folder: Path, count: int, network: Network, known: Weights | None) -> Tensor:
    """Photographs of a folder, evenly over its files, as the network takes them."""
    paths, _ = image_files(folder)
    if not paths:
        raise ValueError(f"calibration={str(folder)!r} holds no image ({' '.join(SUFFIXES)}).")
    if count < 1:
        raise ValueError(f"images must be at least 1, not {count}.")
    count = min(count, len(paths))
    transform = transforms_for(network, known)
    chosen = [paths[i * len(paths) // count] for i in range(count)]
    return torch.stack([transform(read_image(path)) for path in chosen])
