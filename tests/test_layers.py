"""The layers of the package: which part may import which, read from the code, lazy imports
included. Every arrow runs down."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "resnet_variants"

# From the bottom: a line may import the lines above it, none of its own line and none below.
LAYERS = [
    "choices",
    "fields text storage photographs options capture",
    "blocks",
    "config",
    "network",
    "builders",
    "zoo export design_space",
    "quantize",
    "registry",
    "profiling checkpoints",
    "factory finetune deploy",
    "explain benchmark detection timm_plugin torchvision_plugin",
    "training",
    "comparison",
    "cli",
]
RANK = {part: rank for rank, line in enumerate(LAYERS) for part in line.split()}
MODULES = {
    path.relative_to(PACKAGE.parent).with_suffix("").parts: path for path in PACKAGE.rglob("*.py")
}


def _name(parts: tuple[str, ...]) -> str:
    return ".".join(part for part in parts if part != "__init__")


NAMES = {_name(parts): path for parts, path in MODULES.items()}


def _imports(name: str) -> set[str]:
    """The modules of the package that a module imports, wherever in it."""
    path = NAMES[name]
    here = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = here[: len(here) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            for each in node.names:
                inside = f"{base}.{each.name}"
                found.add(inside if inside in NAMES else base)
    return {each for each in found if each in NAMES} - {name}


def _part(name: str) -> str:
    """The room that a module is in; of the package itself the empty string."""
    return name.split(".")[1] if "." in name else ""


def test_every_part_has_its_layer() -> None:
    assert {_part(name) for name in NAMES} - {""} == set(RANK)


@pytest.mark.parametrize("part", RANK)
def test_arrows_run_down(part: str) -> None:
    for name in NAMES:
        if _part(name) == part:
            for other in map(_part, _imports(name)):
                if other not in ("", part):  # of the package itself: the version
                    assert RANK[other] < RANK[part], f"{name} imports {other}"


def test_no_circle_of_modules() -> None:
    """``prepare`` raises CycleError that names the circle. A package's ``__init__`` gathers what
    is in it and takes no part."""
    graph = {
        name: {each for each in _imports(name) if NAMES[each].name != "__init__.py"}
        for name, path in NAMES.items()
        if path.name != "__init__.py"
    }
    TopologicalSorter(graph).prepare()
