"""Writes ``fingerprints.csv``: ``python -m resnet_variants.checkpoints.fingerprints``.

To be run when the zoo has changed; a test compares the file with the zoo.
"""

from __future__ import annotations

from pathlib import Path

from ..registry import create_model, list_models
from .matching import fingerprint


def lines() -> list[str]:
    """A line a model: its name and the fingerprint of its tensors."""
    rows = ["model,fingerprint"]
    for name in list_models():
        state = create_model(name, device="meta").state_dict()
        rows.append(f"{name},{fingerprint(tensor.shape for tensor in state.values())}")
    return rows


if __name__ == "__main__":
    Path(__file__).with_suffix(".csv").write_text("\n".join(lines()) + "\n", encoding="utf-8")
