"""A network owns its memory: what happens to the file afterwards, or to the tensors that it was
made from, does not reach it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from resnet_variants import build, create_model
from resnet_variants.checkpoints import load, load_checkpoint, save
from resnet_variants.network import Network

from .making import CONFIG, CONTAINERS, pth, same, state, write

WAYS: dict[str, Callable[[Path], Network]] = {
    "create_model": lambda path: create_model(
        "resnet20_cifar", layers=CONFIG.layers, widths=CONFIG.widths, checkpoint_path=path
    ),
    "load_checkpoint": lambda path: _filled(path),
    "load": lambda path: load(_own_file(path)),
}


def _filled(path: Path) -> Network:
    load_checkpoint(model := build(CONFIG), path)
    return model


def _own_file(path: Path) -> Path:
    load_checkpoint(model := build(CONFIG), path)
    return save(model, path.with_suffix(".safetensors")).replace(path)


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))


def _save_over(path: Path) -> None:
    torch.save({"other": torch.zeros(9)}, path)


@pytest.mark.parametrize("then", [_overwrite, _save_over, lambda p: os.truncate(p, 0), os.unlink])
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("way", WAYS)
def test_file_that_changes(tmp_path: Path, way: str, container: str, then: Callable) -> None:
    path = write(tmp_path, CONTAINERS[container](state()))
    model = WAYS[way](path)
    then(path)
    assert same(model.state_dict(), state())


def test_saving_over_the_file_that_was_loaded(tmp_path: Path) -> None:
    path = write(tmp_path, pth(state()))
    model = WAYS["create_model"](path)
    torch.save(model.state_dict(), path)
    assert same(torch.load(path), state())


def _pointers(model: Network) -> list[int]:
    return [tensor.untyped_storage().data_ptr() for tensor in model.state_dict().values()]


@pytest.mark.parametrize("from_file", [True, False])
@pytest.mark.parametrize("how", ["shared", "expanded", "parts of one", "strided"])
def test_storages_become_tensors_of_their_own(tmp_path: Path, how: str, from_file: bool) -> None:
    given = state()
    some, other = "stages.0.0.conv1.norm.weight", "stages.0.0.conv2.norm.weight"
    if how == "shared":
        given[some] = given[other]
    elif how == "expanded":
        given[some] = torch.full((1,), 2.0).expand(8)
    elif how == "parts of one":
        given[some], given[other] = torch.rand(16).split(8)
    else:
        given[some] = torch.rand(16)[::2]
    source = write(tmp_path, pth(given)) if from_file else given
    model = create_model(
        "resnet20_cifar", layers=CONFIG.layers, widths=CONFIG.widths, checkpoint_path=source
    )
    assert same(model.state_dict(), given)
    assert len(set(_pointers(model))) == len(given)
    theirs = {tensor.untyped_storage().data_ptr() for tensor in given.values()}
    assert theirs.isdisjoint(_pointers(model))
    for tensor in model.state_dict().values():
        assert tensor.is_contiguous()
        assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_a_network_s_own_tensors_in_another_order() -> None:
    """What is put in may be what is there already, elsewhere."""
    load_checkpoint(model := build(CONFIG), state())
    some, other = "stages.0.0.conv1.norm.weight", "stages.0.0.conv2.norm.weight"
    crossed = model.state_dict()
    crossed[some], crossed[other] = crossed[other], crossed[some]
    wanted = {name: tensor.clone() for name, tensor in crossed.items()}
    load_checkpoint(model, crossed)
    assert same(model.state_dict(), wanted)
