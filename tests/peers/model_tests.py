"""timm's and torchvision's own tests of models, run on this library's networks: docs/peers.md.

    pip download --no-deps --no-binary timm timm && tar xf timm-*.tar.gz
    python tests/peers/model_tests.py --timm timm-1.0.31/tests --torchvision vision/test

Their source stays where it is, and nothing of it is copied: a test is called by its name, for the
network of each family that the other library lacks, and for networks of its own beside them. Each
call is a process of its own, remembered in docs/peers.json, so that a stopped run goes on.
"""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import tyro

from resnet_variants import list_families, list_models
from resnet_variants.timm_plugin import REGISTERED as IN_TIMM
from resnet_variants.torchvision_plugin import REGISTERED as IN_TORCHVISION

DOCS = Path(__file__).parents[2] / "docs"
MEMORY, PAGE = DOCS / "peers.json", DOCS / "peers.md"

TIMM = (
    "test_model_forward", "test_model_backward", "test_model_default_cfgs",
    "test_model_forward_features", "test_model_forward_intermediates_features",
    "test_model_forward_intermediates", "test_model_forward_fx", "test_model_backward_fx",
    "_assert_factory_device", "_assert_frozen_survives_reset_and_resize",
    "test_model_forward_torchscript", "test_prune_intermediate_layers_contract",
)  # fmt: skip
TORCHVISION = (
    "test_classification_model",
    "test_build_fx_feature_extractor",
    "test_forward_backward",
)
TIMM_OWN = (
    "resnet18", "resnet50d", "seresnet50", "ecaresnet50t", "skresnet18", "res2net50_26w_4s",
    "resnest14d", "regnety_002", "inception_resnet_v2",
)  # fmt: skip
TORCHVISION_OWN = (
    "resnet18",
    "resnext50_32x4d",
    "regnet_y_400mf",
    "shufflenet_v2_x0_5",
    "googlenet",
)

HEAD = """# Others' own tests on our networks

timm's `test_models.py` and torchvision's `test_models.py` and `test_backbone_utils.py`, called by
the names of their tests: on the smallest network of each family that the other library lacks
(through `resnet_variants.timm_plugin` and `resnet_variants.torchvision_plugin`), and on networks of
its own beside them. torchvision's comparison with its stored outputs is left out (they belong to
its own networks' random weights), and so is its scripting. What ours do not pass: timm's scripting
(`torch.jit.script` is deprecated in torch, and refused with a sentence that says so); and
torchvision's training step on a single image in networks that normalise pooled values by batch (SK,
split attention, self-calibration), which torch refuses for any library's. Written by `python
tests/peers/model_tests.py`, which needs their source beside it.
"""

Results = dict[str, str]  # "host | test | network" -> "" when it passes, or the reason


def smallest(registered: list[str]) -> dict[str, str]:
    """The first network of each family that the other library lacks."""
    found = {}
    for family in list_families():
        names = [name for name in list_models(family=family) if name in registered]
        if names:
            found[family] = names[0]
    return found


def timms(folder: Path) -> Callable[[str, str], None]:
    """Calls a test of timm's."""
    sys.path.insert(0, str(folder))
    tests = import_module("test_models")

    def call(test: str, network: str) -> None:
        if test == "test_prune_intermediate_layers_contract":
            getattr(tests, test)(network)
        elif test == "test_model_default_cfgs" or test.startswith("_assert"):
            getattr(tests, test)(network, *([1] if test.startswith("test") else []), "meta")
        else:
            getattr(tests, test)(network, 2 if "backward" in test else 1)

    return call


def torchvisions(folder: Path) -> Callable[[str, str], None]:
    """Calls a test of torchvision's."""
    from torchvision.models import get_model_builder

    sys.path.insert(0, str(folder))
    sys.modules.pop("test_models", None)
    models, backbones = import_module("test_models"), import_module("test_backbone_utils")
    models._assert_expected = models._check_jit_scriptable = lambda *arguments, **named: None

    def call(test: str, network: str) -> None:
        if test == "test_classification_model":
            models.test_classification_model(get_model_builder(network), "cpu")
        else:
            getattr(backbones.TestFxFeatureExtraction(), test)(network)

    return call


def outcome(call: Callable[[str, str], None], test: str, network: str, limit: float) -> str:
    """Nothing when it passes; else the reason."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    process = fork.Process(target=_report, args=(theirs, call, test, network))
    process.start()
    theirs.close()
    reason = f"not done within {limit:g} s"
    try:
        if ours.poll(limit):
            reason = ours.recv()
    except EOFError:
        reason = "the process ended"
    process.kill()
    process.join()
    return reason


def _report(answer: Connection, call: Callable[[str, str], None], test: str, network: str) -> None:
    warnings.simplefilter("ignore")
    try:
        call(test, network)
        answer.send("")
    except BaseException as error:  # pytest's Skipped and Failed, too
        answer.send(" ".join(f"{type(error).__name__}: {error}".split())[:200])
    os._exit(0)


def remembered() -> Results:
    text = MEMORY.read_text() if MEMORY.exists() else ""
    return dict(json.loads(text or "{}"))


def remember(key: str, reason: str) -> None:
    """Write it and the page, one process at a time."""
    with PAGE.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        results = remembered() | {key: reason}
        fresh = MEMORY.with_suffix(".new")  # whole, should this process end now
        fresh.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        fresh.replace(MEMORY)
        PAGE.write_text(page(results))


def page(results: Results) -> str:
    """Counts by test, and what does not pass."""
    text = HEAD
    for host, tests, own in (
        ("timm", TIMM, TIMM_OWN),
        ("torchvision", TORCHVISION, TORCHVISION_OWN),
    ):
        ran: dict[tuple[str, bool], list[tuple[str, str]]] = {}
        for key, reason in results.items():
            where, test, network = key.split(" | ")
            if where == host:
                ran.setdefault((test, network in own), []).append((network, reason))
        text += f"\n## {host}\n\n| test | ours pass | {host}'s own pass |\n| --- | --: | --: |\n"
        for test in tests:
            cells = [ran.get((test, theirs), []) for theirs in (False, True)]
            counts = [f"{sum(not r for _, r in each)} of {len(each)}" for each in cells]
            text += f"| `{test}` | {counts[0]} | {counts[1]} |\n"
        for title, theirs in (("Ours", False), (f"{host}'s own", True)):
            reasons = Counter(
                (test, reason)
                for test in tests
                for _, reason in ran.get((test, theirs), [])
                if reason
            )
            if reasons:
                text += f"\n{title} that do not:\n\n"
            for (test, reason), count in sorted(reasons.items()):
                names = [n for n, r in ran[test, theirs] if r == reason]
                shown = ", ".join(names[:3]) + (" …" if count > 3 else "")
                text += f"- `{test}`, {count} ({shown}): {reason.replace('|', '/')}\n"
    return text


def main(
    *, timm: Path | None = None, torchvision: Path | None = None, limit: float = 300,
    tests: tuple[str, ...] = (), again: bool = False,
) -> None:  # fmt: skip
    """Run what is not there yet.

    Args:
        timm: the folder with timm's tests
        torchvision: the folder with torchvision's
        limit: seconds for a test of a network
        tests: by name; all of those in this file by default
        again: run those that are there, too
    """
    torch.set_num_threads(1)
    hosts = [
        ("timm", timm, timms, TIMM, [*smallest(IN_TIMM).values(), *TIMM_OWN]),
        ("torchvision", torchvision, torchvisions, TORCHVISION,
         [*smallest(IN_TORCHVISION).values(), *TORCHVISION_OWN]),
    ]  # fmt: skip
    for host, folder, caller, known, networks in hosts:
        if folder is None:
            continue
        call = caller(folder.resolve())
        for network in networks:
            for test in known:
                key = f"{host} | {test} | {network}"
                if (tests and test not in tests) or (key in remembered() and not again):
                    continue
                reason = outcome(call, test, network, limit)
                print(f"{key}: {reason or 'passes'}", flush=True)
                remember(key, reason)


if __name__ == "__main__":
    tyro.cli(main)
