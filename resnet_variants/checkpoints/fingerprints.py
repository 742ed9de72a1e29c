"""Writes ``fingerprints.csv``: ``python -m resnet_variants.checkpoints.fingerprints``.

To be run when the zoo has changed; a test compares the file with the zoo.
"""

from __future__ import annotations

from pathlib import Path

from ..builders import build_on
from ..registry import list_models, model_config
from .matching import fingerprint


def lines() -> list[str]:
    """A line a model: its name and the fingerprint of its tensors."""
    rows = ["model,fingerprint"]
    for name in list_models():
        state = build_on(model_config(name), device="meta").state_dict()
        rows.append(f"{name},{fingerprint(tensor.shape for tensor in state.values())}")
    return rows


if __name__ == "__main__":
    Path(__file__).with_suffix(".csv").write_text("\n".join(lines()) + "\n", encoding="utf-8")
