"""What could be two networks is refused and named; what stands beside weights hides nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_variants.checkpoints import errors, load_checkpoint, read_checkpoint

from .making import network, pth, same, state, write

FIRST = state()
SECOND = {name: tensor + 1 for name, tensor in FIRST.items()}


def _behind(prefix: str, tensors: dict[str, Any]) -> dict[str, Any]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


PREFIXES = [
    ("student.", "teacher."),
    ("encoder_q.", "encoder_k."),
    ("module.encoder_q.", "module.encoder_k."),
    ("online.encoder.", "target.encoder."),
    ("", "ema."),
    ("model.", "model_ema."),
]


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(("a", "b"), PREFIXES)
def test_two_networks_behind_prefixes(a: str, b: str, wrapped: bool) -> None:
    both: dict[str, Any] = {**_behind(a, FIRST), **_behind(b, SECOND)}
    source = {"state_dict": both} if wrapped else both
    for order in (source, dict(reversed(both.items()))):
        with pytest.raises(errors.CheckpointError, match="several networks.*choose one by prefix="):
            load_checkpoint(network(), order)
    load_checkpoint(model := network(), source, prefix=b)
    assert same(model.state_dict(), SECOND)
    if a:
        load_checkpoint(model, source, prefix=a)
        assert same(model.state_dict(), FIRST)


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["0", "4"])
def test_the_order_of_hashes_decides_nothing(tmp_path: Path, seed: str) -> None:
    path = write(tmp_path, pth({**_behind("student.", FIRST), **_behind("teacher.", SECOND)}))
    program = (
        "import sys; from tests.attacks.making import network; "
        "from resnet_variants.checkpoints import load_checkpoint; "
        "load_checkpoint(network(), sys.argv[1])"
    )
    env = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], env=env, capture_output=True, text=True
    )
    assert "begin with 'student.', 'teacher.'" in done.stderr


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("state_dict", "state_dict_ema"),
        ("model", "ema"),
        ("net", "model"),
        ("model", "teacher"),
        ("student", "teacher"),
        ("state_dict", "averaged"),
    ],
)
def test_two_sets_of_weights(tmp_path: Path, a: str, b: str) -> None:
    path = write(tmp_path, pth({a: FIRST, b: SECOND, "epoch": 1}))
    with pytest.raises(errors.CheckpointError, match=f"'{a}'.*'{b}'|'{b}'.*'{a}'") as caught:
        read_checkpoint(path)
    assert "key=" in str(caught.value)
    assert same(read_checkpoint(path, key=a).tensors, FIRST)
    assert same(read_checkpoint(path, key=b).tensors, SECOND)


def test_weights_at_the_top_and_in_a_wrapper(tmp_path: Path) -> None:
    path = write(tmp_path, pth({**FIRST, "ema": SECOND}))
    with pytest.raises(errors.CheckpointError, match=r"'' \(the top\), 'ema'"):
        read_checkpoint(path)
    assert same(read_checkpoint(path, key="").tensors, FIRST)
    assert same(read_checkpoint(path, key="ema").tensors, SECOND)


def test_one_set_under_several_names_is_one(tmp_path: Path) -> None:
    path = write(tmp_path, pth({"model": FIRST, "state_dict": FIRST}))
    assert same(read_checkpoint(path).tensors, FIRST)


@pytest.mark.parametrize(
    "beside",
    [
        {"best_acc1": torch.tensor(71.2)},
        {"rng_state": torch.get_rng_state()},
        {"cuda_rng_state": [torch.zeros(8)], "loss": torch.tensor(0.5)},
        {"optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}},
        {"ema": {"decay": torch.tensor(0.99)}},
        {"criterion": {"weight": torch.ones(10)}},
    ],
    ids=lambda beside: " ".join(beside),
)
def test_what_stands_beside_hides_nothing(tmp_path: Path, beside: dict[str, Any]) -> None:
    for wrapper in ("state_dict", "model"):
        path = write(tmp_path, pth({"epoch": 3, **beside, wrapper: FIRST}))
        load_checkpoint(model := network(), path)
        assert same(model.state_dict(), FIRST)


def test_circles_end(tmp_path: Path) -> None:
    circle: dict[str, Any] = {"epoch": 1}
    circle["model"] = circle["net"] = circle
    with pytest.raises(errors.BrokenFileError, match="holds no tensors"):
        load_checkpoint(network(), write(tmp_path, pth(circle)))
    circle["state_dict"] = FIRST
    load_checkpoint(model := network(), write(tmp_path, pth(circle)))
    assert same(model.state_dict(), FIRST)


def test_wrappers_that_share_their_insides(tmp_path: Path) -> None:
    content: Any = {"x": 1}
    for _ in range(30):
        content = {"model": content, "net": content, "state_dict": content, "ema": content}
    with pytest.raises(errors.BrokenFileError, match="holds no tensors"):
        read_checkpoint(write(tmp_path, pth(content)))


def test_unknown_name_around_the_weights(tmp_path: Path) -> None:
    path = write(tmp_path, pth({"generator": FIRST}))
    with pytest.raises(errors.BrokenFileError, match=r"may be under 'generator': choose by key="):
        read_checkpoint(path)
    assert same(read_checkpoint(path, key="generator").tensors, FIRST)
