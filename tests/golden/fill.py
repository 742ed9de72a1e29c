"""Weights and images that depend on a tensor's name and shape only.

The same name and shape give the same numbers in any framework, so two implementations of a
network can be compared without a file of weights.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent


def values(key: str, shape: Sequence[int]) -> np.ndarray:
    """The numbers of the tensor called ``key``, in float64 (a batch count: zero, int64).

    The generator is seeded with the CRC-32 of the whole key; what is drawn follows from the
    key's last word: statistics and biases around their usual values, one-dimensional weights
    (a normalisation's) between 0.3 and 0.9, others He-normal over their inputs.
    """
    generator = np.random.default_rng(zlib.crc32(key.encode()))
    shape = tuple(shape)
    match key.rpartition(".")[2]:
        case "num_batches_tracked":
            return np.zeros(shape, np.int64)
        case "running_var":
            return generator.uniform(0.5, 1.5, shape)
        case "running_mean" | "bias":
            return generator.normal(0.0, 0.1, shape)
    if len(shape) == 1:
        return generator.uniform(0.3, 0.9, shape)
    return generator.normal(0.0, math.sqrt(2.0 / math.prod(shape[1:])), shape)


def state_dict(keys: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """A state dict in float64 with ``keys`` (name to shape)."""
    return {key: torch.from_numpy(np.asarray(values(key, shape))) for key, shape in keys.items()}


def image(shape: Iterable[int]) -> Tensor:
    """The input of the golden networks, standard normal, (N, C, H, W) in float64."""
    return torch.from_numpy(np.random.default_rng(0).normal(0.0, 1.0, tuple(shape)))


def golden(name: str) -> dict[str, Any]:
    """The record ``NAME.json``."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
