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
    """The module: each field of any family's configuration, with the types that it has there."""
    types: dict[str, dict[str, None]] = {}
    for builder in BUILDERS:
        config = BUILDERS[builder][0]
        if config.__module__.startswith("resnet_variants."):
            for field in dataclasses.fields(config):
                known = types.setdefault(field.name, {})
                for each in _alternatives(_FACTORY.sub("ModuleFactory", str(field.type))):
                    known[each] = None
    lines = [f"    {name}: {' | '.join(_sorted(known))}" for name, known in sorted(types.items())]
    return "\n".join([_HEAD, *lines, ""])


def _alternatives(written: str) -> list[str]:
    """The members of a union, which may have others inside of brackets."""
    return re.findall(r"(?:[^|\[\]\s]|\[(?:[^\[\]]|\[[^\[\]]*\])*\])+", written)


def _sorted(members: dict[str, None]) -> list[str]:
    return sorted(members, key=lambda each: (each == "None", "[" in each, each))


_HEAD = '''"""The arguments of ``create_model`` that are fields of some family's configuration, for
editors and type checkers. Which of them a family takes is checked when a network is made.

Written by ``python docs/options.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from torch import nn

ModuleFactory = Callable[..., nn.Module]


class Options(TypedDict, total=False):
    """What ``create_model`` takes beside its own arguments: the fields of all configurations."""
'''

if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
