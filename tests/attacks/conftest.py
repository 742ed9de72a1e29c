"""A server that the tests of downloads ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from resnet_variants.checkpoints import download

from .server import Site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.delenv("RESNET_VARIANTS_WEIGHTS", raising=False)
    monkeypatch.delenv("RESNET_VARIANTS_OFFLINE", raising=False)
    monkeypatch.setattr(download, "_WAITS", (0.01, 0.02))
    monkeypatch.setattr(download, "_TIMEOUT", 0.5)
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()
