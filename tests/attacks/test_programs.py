"""Exported files are programs: one that was not written just now is not read by a torch that would
run code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from resnet_variants.export.formats import FORMATS


def test_programs_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.10.0"))
    (tmp_path / "x.pt2").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"x\.pt2 was not read.*2\.11 reads it"):
        FORMATS["torch-export"].load(tmp_path / "x.pt2")
