"""Files of repositories on the Hugging Face Hub, and of folders like them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FILE = "model.safetensors"


def repository_file(
    repo: str, name: str = FILE, *, revision: str | None = None, **options: Any
) -> Path:
    """A file of a folder, or of ``user/name`` or ``user/name@revision`` on the Hub, where
    ``options`` are those of ``hf_hub_download``."""
    if (path := Path(repo).expanduser() / name).is_file():
        return path
    repo_id, _, behind = repo.partition("@")
    revision = revision or behind or None
    return Path(the_hub().hf_hub_download(repo_id, name, revision=revision, **options))


def the_hub() -> Any:
    """The package ``huggingface_hub``."""
    try:
        import huggingface_hub
    except ModuleNotFoundError:
        raise ImportError(
            'The Hub needs huggingface_hub: pip install "resnet-variants[hub]"'
        ) from None
    return huggingface_hub
