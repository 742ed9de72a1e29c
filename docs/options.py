"""Write ``resnet_variants/options.py``, the arguments of ``create_model`` for editors and type
checkers, from the configurations: ``python docs/options.py``. A test compares the two."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import resnet_variants
from resnet_variants.config import BUILDERS

TARGET = Path(resnet_variants.__file__).with_name("options.py")
_FACTORY = re.compile(r"\b(Module|Gate|Conv)Factory\b")


def text() -> str:
    """The module: the fields of each family's configuration, and of any, with their types."""
    lines, every = [_HEAD], {}
    for builder in BUILDERS:
        config = BUILDERS[builder][0]
        if not config.__module__.startswith("resnet_variants."):
            continue
        own: dict[str, dict[str, None]] = {}
        for field in dataclasses.fields(config):
            for each in _alternatives(_FACTORY.sub("ModuleFactory", str(field.type))):
                own.setdefault(field.name, {})[each] = None
                every.setdefault(field.name, {})[each] = None
        name = config.__name__.removesuffix("Config")
        lines += _class(f"{name}Options", f"What networks of the builder ``{builder}`` take.", own)
    lines += _class("Options", "What ``create_model`` takes beside its own arguments.", every)
    return "\n".join([*lines, ""])


def _class(name: str, doc: str, fields: dict[str, dict[str, None]]) -> list[str]:
    known = [
        f"    {field}: {' | '.join(_sorted(types))}" for field, types in sorted(fields.items())
    ]
    return ["", "", f"class {name}(TypedDict, total=False):", f'    """{doc}"""', "", *known]


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

Long because written by ``python docs/options.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from torch import nn

ModuleFactory = Callable[..., nn.Module]'''

if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
