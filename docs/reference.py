"""Write the reference of every module, made from its docstrings by pdoc.

python docs/reference.py [FOLDER]      docs/api by default; a warning of pdoc's is an error
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import pkgutil
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

import pdoc

import resnet_variants


def main(folder: Path) -> None:
    """Write the pages to ``folder``; index.html is where to start."""
    package = resnet_variants.__name__
    modules = [each.name for each in pkgutil.walk_packages(resnet_variants.__path__, f"{package}.")]
    specs: list[str] = []
    covered: set[str] = set()
    for module in [package, *modules]:
        _resolve(importlib.import_module(module))
        if module not in covered:  # pdoc follows a package, but where __all__ says what it has
            specs.append(module)
            covered |= set(pdoc.extract.walk_specs([module]))
    for name in resnet_variants.__all__:  # pdoc does not see what is imported when first used
        setattr(resnet_variants, name, getattr(resnet_variants, name))
    warnings.simplefilter("error")
    # A TypedDict that a call makes has no lines in which to look for its fields.
    warnings.filterwarnings("ignore", message="Cannot determine where .*Options")
    pdoc.render.configure(docformat="google", show_source=False)
    pdoc.pdoc(*specs, output_directory=folder)
    print(f"{len(covered)} modules: {folder / 'index.html'}")


def _resolve(module: ModuleType) -> None:
    """Give dataclasses the types of their bases' fields, which other modules may know alone."""
    for value in vars(module).values():
        own = getattr(value, "__module__", None) == module.__name__
        if own and isinstance(value, type) and dataclasses.is_dataclass(value):
            fields = {each.name for each in dataclasses.fields(value) if each.init}
            with contextlib.suppress(NameError):  # imported for type checkers only: pdoc can
                hints = get_type_hints(value)
                types = {name: hint for name, hint in hints.items() if name in fields}
                value.__init__.__annotations__ = types | {"return": None}


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "api")
