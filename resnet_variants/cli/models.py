"""The commands that answer questions about models: ``list`` and ``info``."""

from __future__ import annotations

import dataclasses
from json import dumps
from typing import Any

from tqdm import tqdm

from ..choices import nearest
from ..factory import ModelInfo, model_info
from ..profiling import Counts, profile
from ..registry import list_families, list_models
from ..text import indent, short, table


def list_(
    pattern: str = "*", /, *, family: str | None = None, counts: bool = False, json: bool = False
) -> None:
    """Print the models that match a pattern, with their family.

    Args:
        pattern: glob such as 'se*_cifar'
        family: only this family, such as 'ResNet-D'
        counts: parameters and multiply-accumulates too, counted now
        json: print JSON instead
    """
    names = list_models(pattern, family=family)
    if not names:
        raise ValueError(_no_match(pattern, family))
    families = {name: each for each in list_families() for name in list_models(family=each)}
    found = []
    for name in tqdm(names, desc="counting", unit="model", leave=False, disable=not counts):
        values: dict[str, Any] = {"model": name, "family": families[name]}
        if counts:
            known = model_info(name)
            values |= {"input": known.input_size, "parameters": known.params, "MACs": known.macs}
            values["paper"] = known.paper
        found.append(values)
    if json:
        print(dumps(found, indent=2))
        return
    shown = {"parameters": "{:,}".format, "MACs": short}
    rows = [[shown.get(key, str)(value) for key, value in each.items()] for each in found]
    print(table(list(found[0]), rows))


def info(name: str, /, *, input_size: int | None = None, json: bool = False) -> None:
    """Print what is known of a model: family, paper, counts by stage, weights, configuration.

    Args:
        name: a model's name or alias
        input_size: side of the image that is counted; the model's own by default
        json: print JSON instead
    """
    known = model_info(name)
    size = input_size or known.input_size
    counts = profile(known.name, input_size=size)
    if json:
        print(_to_json(known, counts, size))
        return
    facts = [
        ("family", known.family),
        ("paper", known.paper),
        ("aliases", ", ".join(known.aliases) or "none"),
        ("image", f"{size} x {size}"),
        ("parameters", f"{counts.params:,}"),
        ("MACs", f"{short(counts.macs)} multiply-accumulates, {short(counts.flops)} FLOPs"),
        ("activations", short(counts.activations)),
        ("memory", f"{short(counts.memory_access)}B read and written"),
        ("weights", ", ".join(weights.tag for weights in known.weights) or "none published"),
    ]
    print(known.name)
    print(indent(table(None, facts)))
    print("\n" + indent(_stages(counts.stages)))
    fields = [(field, repr(value)) for field, value in known.config.to_dict().items()]
    print("\nconfiguration\n" + indent(table(None, fields)))


def _stages(stages: dict[str, Counts]) -> str:
    rows = [
        (
            part,
            f"{counts.params:,}",
            short(counts.macs),
            short(counts.activations),
            f"{short(counts.memory_access)}B",
        )
        for part, counts in stages.items()
    ]
    return table(("part", "parameters", "MACs", "activations", "memory"), rows)


def _to_json(known: ModelInfo, counts: Counts, size: int) -> str:
    values = {
        "name": known.name,
        "family": known.family,
        "paper": known.paper,
        "aliases": known.aliases,
        "input_size": size,
        **dataclasses.asdict(counts),
        "flops": counts.flops,
        "weights": [weights.tag for weights in known.weights],
        "config": known.config.to_dict(),
    }
    return dumps(values, indent=2)


def _no_match(pattern: str, family: str | None) -> str:
    where = f" in the family {family!r}" if family else ""
    message = f"No model's name matches {pattern!r}{where}."
    wider = f"*{pattern.strip('*')}*"
    if list_models(wider, family=family):
        return f"{message} Did you mean {wider!r}?"
    guess = nearest(pattern, list_models(family=family))
    return f"{message} Did you mean {guess!r}?" if guess else message
