"""Networks on the Hugging Face Hub: the extra ``hub``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from ..builders import build_on
from ..config import config_from_dict
from ..network import Network, network_of
from ..registry import model_config
from ..storage import read_fields
from .models import adapted, build_filled, load, save, weights_of
from .repositories import FILE, repository_file, the_hub


def push_to_hub(
    model: Network,
    repo_id: str,
    *,
    private: bool = False,
    token: str | None = None,
    message: str = "Upload of a resnet_variants network",
) -> str:
    """Upload a network (weights, configuration, a card if there is none) to ``user/name``; gives
    its address.

    ``from_pretrained(repo_id)`` loads it. Needs the extra ``hub`` and a token with write access.
    """
    model = network_of(model)
    api = the_hub().HfApi(token=token)
    api.create_repo(repo_id, private=private, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / FILE)
        (Path(folder) / "config.json").write_text(
            json.dumps(model.config.to_dict(), indent=2), encoding="utf-8"
        )
        if not api.file_exists(repo_id, "README.md"):  # which may have been written by hand
            (Path(folder) / "README.md").write_text(_card(model, repo_id), encoding="utf-8")
        api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message)
    return f"https://huggingface.co/{repo_id}"


def from_pretrained(
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | None = None,
    local_files_only: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Network:
    """The network that ``push_to_hub`` uploaded to ``user/name``, or that is in a directory.

    ``local_files_only`` takes it from the Hub's cache, without the network.
    """
    path = repository_file(
        repo_id, revision=revision, token=token, local_files_only=local_files_only
    )
    return load(path, device=device, dtype=dtype)


def create_from_repository(
    repo: str,
    *,
    pretrained: bool | str | None = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    **changes: Any,
) -> Network:
    """The network that a repository or folder describes, ``user/name`` or ``user/name@revision``:
    one of ``push_to_hub``, or timm's (``save_for_hf``), whose ``config.json`` names the
    architecture. With its weights if ``pretrained``; ``changes`` are fields of the configuration.
    """
    path = repository_file(repo, "config.json")
    said = read_fields(path, architecture=str, model_args=dict)
    if "architecture" in said:
        known = {"num_classes": said.get("num_classes", 1000)} | said.get("model_args", {})
        config = model_config(said["architecture"]).replace(**known)
    else:
        config = config_from_dict(said)
    classes, chans = config.num_classes, config.in_chans
    config = config.replace(**changes)
    if not pretrained:
        return build_on(config, device=device, dtype=dtype)
    model = build_filled(config, repository_file(repo), **adapted(config, classes, chans))
    return model.to(device=device, dtype=dtype)


def _card(model: Network, repo_id: str) -> str:
    params = sum(p.numel() for p in model.parameters())
    weights = weights_of(model)
    trained = f"Weights: {weights.name}, {weights.dataset}, {weights.url}\n" if weights else ""
    license = weights.license if weights and weights.license != "unknown" else "other"
    return (
        f"---\nlicense: {license}\nlibrary_name: resnet-variants\ntags: [image-classification]\n"
        f"---\n# {repo_id}\n\nA network of the builder `{model.config.builder}`, "
        f"{params:,} parameters, {model.num_classes} classes.\n\n{trained}\n"
        f"```python\nfrom resnet_variants import from_pretrained\n\n"
        f'model = from_pretrained("{repo_id}")\n```\n'
    )
