"""Wrappers, circles, depth, two networks in one file; own files and odd paths."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from resnet_variants.checkpoints import load, save
from resnet_variants.network import Network

from .. import making
from ..fuzzing import Case
from ..making import OWN, same, state
from .kinds import BESIDE, FOLDER, WRAPS, kind, loading

# Dictionaries -------------------------------------------------------------------------------------


@kind(12)
def dictionaries(r: random.Random) -> Case:
    """Wrappers, circles, depth; two networks in one file."""
    first = state()
    second = {name: tensor + 1 for name, tensor in first.items()}
    if r.random() < 0.5:
        first, second = second, first
    pairs = (
        ("student.", "teacher."),
        ("encoder_q.", "encoder_k."),
        ("module.encoder_q.", "module.encoder_k."),
        ("online.", "target."),
        ("", "ema."),
        ("model.", "model_ema."),
        ("backbone.", "momentum_backbone."),
        ("a.b.", "a.c."),
    )
    wraps = (
        ("state_dict", "state_dict_ema"),
        ("model", "model_ema"),
        ("model", "ema"),
        ("net", "model"),
        ("student", "teacher"),
        ("model", "teacher"),
        ("state_dict", "averaged"),
        ("model", "swa"),
    )
    how = r.choice(
        "prefixes prefixes wraps wraps three asked circle shared deep list empty beside "
        "both".split()
    )
    expected: str = "refused"
    options: dict[str, Any] = {}
    content: Any
    if how in ("prefixes", "asked"):
        a, b = r.choice(pairs)
        halves = [{a + k: v for k, v in first.items()}, {b + k: v for k, v in second.items()}]
        r.shuffle(halves)
        content = {**halves[0], **halves[1]}
        if how == "asked":
            a, b = r.choice(pairs[:4])
            content = {
                **{a + k: v for k, v in first.items()},
                **{b + k: v for k, v in second.items()},
            }
            right = a if same(first, state()) else b
            options, expected = {"prefix": right}, "same"
        if r.random() < 0.3:
            content = {r.choice(WRAPS): content}
    elif how == "wraps":
        a, b = r.choice(wraps)
        content = {a: first, b: {"module": second} if r.random() < 0.2 else second, "epoch": 1}
        if r.random() < 0.3:
            options, expected = {"key": a if same(first, state()) else b}, "same"
    elif how == "three":
        content = {f"{w}.{k}": v + i for i, w in enumerate("abc") for k, v in first.items()}
    elif how == "circle":
        content = {"epoch": 1}
        content["model"] = content
        content["state"] = {"net": content}
        if r.random() < 0.5:
            content["state_dict"], expected = state(), "same"
    elif how == "shared":
        content = {"x": 1} if r.random() < 0.5 else state()
        expected = "same" if len(content) > 1 else "refused"
        for _ in range(7 if expected == "same" else 30):
            content = {"model": content, "net": content, "state_dict": content, "ema": content}
    elif how == "deep":
        content = state()
        for _ in range(depth := r.choice((1, 3, 200, 900))):
            content = {r.choice(WRAPS): content}
        expected = "same" if depth < 7 else "refused"
    elif how == "list":
        content = r.choice(([state()], (state(), 1), {"a": [state()]}, list(state().items())))
    elif how == "empty":
        content = r.choice(
            ({}, {"model": {}}, {"state_dict": None}, {"model": {"a": 1}}, {"model": 3})
        )
    elif how == "beside":
        content, expected = {"state_dict": state(), **BESIDE}, "same"
    else:  # weights at the top, and others in a wrapper
        content = {**first, "model": second}
    source: Any = content
    if r.random() < 0.6 or how == "list":
        try:
            source = r.choice((making.pth, making.old))(content)
        except RecursionError:
            source = content
    return loading(f"dictionaries: {how}", source, expected, **options)


# Files that load() reads --------------------------------------------------------------------------


@kind(6)
def own_files(r: random.Random) -> Case:
    path = FOLDER / f"{os.getpid()}.safetensors"
    save(making.network(), path)
    config = making.CONFIG.to_dict()
    field = r.choice(sorted(config))
    value = r.choice(
        (None, -1, 0, "x", "", [], {}, [1, 2], 1e300, True, [[]], {"a": 1}, 7, ["x"], -0.5)
    )
    said = {
        "json": r.choice(
            ("{", "", "null", "[]", "3", '"x"', "{}", "[" * 100_000, '{"a":' * 50_000, "NaN")
        ),
        "field": json.dumps({**config, field: value}),
        "gone": json.dumps({k: v for k, v in config.items() if k != field}),
        "more": json.dumps({**config, "more": value}),
        "builder": json.dumps({**config, "builder": value}),
        "weights": json.dumps(config),
    }
    how = r.choice(sorted(said))

    def edit(header: dict[str, Any]) -> None:
        about = header["__metadata__"]
        about["resnet_variants.config"] = said[how]
        if how == "weights":
            about["resnet_variants.weights"] = r.choice(
                ("{", "[]", "{}", '{"model": 3}', "null", "[" * 99_999)
            )

    path.write_bytes(making.header(path.read_bytes(), edit))

    def taken(model: Network) -> str | None:
        return None if same(model.state_dict(), state()) else "silent: other weights"

    return Case(f"own files: {how} {field}={value!r}", lambda: load(path), OWN, taken)


# Paths --------------------------------------------------------------------------------------------


@kind(3)
def paths(r: random.Random) -> Case:
    how = r.choice("zero null random fifo socket folder loop gone long nul user bytes proc".split())
    at: Any = FOLDER / how
    if how in ("zero", "null", "random"):
        at = Path("/dev") / how
    elif how == "fifo" and not at.exists():
        os.mkfifo(at)
    elif how == "socket" and not at.exists():
        import socket

        with socket.socket(socket.AF_UNIX) as end:
            end.bind(str(at))
    elif how == "folder":
        at.mkdir(exist_ok=True)
    elif how == "loop" and not at.is_symlink():
        at.symlink_to(at)
    elif how == "long":
        at = "x" * 5000
    elif how == "nul":
        at = "a\0b"
    elif how == "user":
        at = "~nosuchuser_q/x.pth"
    elif how == "bytes":
        at = os.fsdecode(os.fsencode(FOLDER) + b"/\xff.pth")
        Path(at).write_bytes(making.pth(state()))
        return loading("paths: bytes", at, "same")
    elif how == "proc":
        at = "/proc/self/status"
    return loading(f"paths: {how}", at, "refused")
