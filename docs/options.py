"""Write ``resnet_variants/options.py``, the arguments of ``create_model`` for editors and type
checkers, from the configurations: ``python docs/options.py``. A test compares the two."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import resnet_variants
from resnet_variants.builders.staged import StagedConfig
from resnet_variants.config import BUILDERS

TARGET = Path(resnet_variants.__file__).with_name("options.py")
_FACTORY = re.compile(r"\b(Module|Gate|Conv)Factory\b")


def text() -> str:
    """The module: the fields of each configuration, in classes that descend from each other as the
    configurations do, and those of any, with their types."""
    lines, every, done = [_HEAD], dict[str, dict[str, None]](), set[type]()
    for builder in BUILDERS:
        config = BUILDERS[builder][0]
        if not config.__module__.startswith("resnet_variants."):
            continue
        for each in reversed(config.__mro__[:-1]):  # but ``object``
            if each not in done:
                done.add(each)
                lines += _class(each)
        for name, types in _types(config).items():
            every.setdefault(name, {}).update(types)
    about = "What ``create_model`` takes beside its own arguments."
    own = {name: types for name, types in every.items() if name not in _types(StagedConfig)}
    return "\n".join([*lines, *_written("Options", _name(StagedConfig), about, own), ""])


def _types(config: type) -> dict[str, dict[str, None]]:
    """The fields of a configuration, and the alternatives of each one's type."""
    return {
        field.name: dict.fromkeys(_alternatives(_FACTORY.sub("ModuleFactory", str(field.type))))
        for field in dataclasses.fields(config)
    }


def _class(config: type) -> list[str]:
    """What a configuration has beside that which it descends from."""
    parent = config.__mro__[1]
    inherited, base = (_types(parent), _name(parent)) if parent is not object else ({}, "TypedDict")
    own = {name: each for name, each in _types(config).items() if inherited.get(name) != each}
    builder = vars(config).get("builder")
    about = (
        f"What networks of the builder ``{builder}`` take."
        if builder
        else f"The fields of ``{config.__name__.lstrip('_')}``."
    )
    return _written(_name(config), base, about, own)


def _name(config: type) -> str:
    return f"{config.__name__.removeprefix('_').removesuffix('Config')}Options"


def _written(name: str, base: str, doc: str, fields: dict[str, dict[str, None]]) -> list[str]:
    known = [
        f"    {field}: {' | '.join(_sorted(types))}" for field, types in sorted(fields.items())
    ]
    return ["", "", f"class {name}({base}, total=False):", f'    """{doc}"""', "", *known]


def _alternatives(written: str) -> list[str]:
    """The members of a union, which may have others inside of brackets."""
    return re.findall(r"(?:[^|\[\]\s]|\[(?:[^\[\]]|\[[^\[\]]*\])*\])+", written)


def _sorted(members: dict[str, None]) -> list[str]:
    return sorted(members, key=lambda each: (each == "None", "[" in each, each))


_HEAD = '''"""The arguments of ``create_model`` that are fields of configurations, for editors and
type checkers: of each family, and ``Options``, which ``create_model`` says it takes. Which of them
the family of a name takes is checked when a network is made; a type checker knows it of a
dictionary:

    options: RegNetOptions = {"attention": "se", "w_0": 24}
    create_model("regnetx_032", **options)

(Overloads by name were tried: a misspelt argument was answered with 41 kB of possible variants.)

Written by ``python docs/options.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from torch import nn

ModuleFactory = Callable[..., nn.Module]'''

if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
