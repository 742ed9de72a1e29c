"""docs/ says what is true: generated parts are fresh, links lead somewhere, snippets run."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import resnet_variants
from resnet_variants import list_families
from resnet_variants.zoo.entry import Entry

from .documents import ROOT, broken_links, run_all, snippets


def _make() -> Any:
    spec = importlib.util.spec_from_file_location("docs_make", ROOT / "docs" / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = _make()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TAUGHT = [*make.PAGES, ROOT / "docs" / "extending.md", ROOT / "docs" / "tasks.md"]


def _name(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("page", [make.README, *make.PAGES], ids=_name)
def test_generated_parts_are_fresh(page: Path) -> None:
    """Counts of the first network of a page anew, of the others as written: ``make docs``
    counts all of them."""
    text = page.read_text()
    rows = re.findall(r"^\| `(\w+)`.*? \| ([\d,]+) \| ([\d.]+) \|", text, re.MULTILINE)
    written = {name: (params, gmacs) for name, params, gmacs in rows}
    first = rows[0][0] if rows else ""

    def count(entry: Entry) -> tuple[int, int]:
        if entry.name == first or entry.name not in written:
            return make.counted(entry)
        params, gmacs = written[entry.name]
        return int(params.replace(",", "")), round(float(gmacs) * 1e9)

    assert make.rewritten(page, count) == text, "python docs/make.py"


@pytest.mark.parametrize("page", sorted(make.FAMILIES.glob("*.md")), ids=_name)
def test_pictures_show_the_networks(page: Path) -> None:
    shown = list(make.figures(page))
    assert shown, "a page of a family has a picture"
    for name, call in shown:
        svg = (page.parent / name).read_text()
        assert make.texts(svg) == make.texts(make.picture(**call)), f"python docs/make.py {page}"


def test_no_picture_is_left_over() -> None:
    names = {page.parent / name for page in make.PAGES for name, _ in make.figures(page)}
    assert names == set(make.FAMILIES.glob("*.svg"))


def test_every_family_has_a_page() -> None:
    pages = make.pages_of_families()
    assert set(pages) == set(list_families())
    for page in make.FAMILIES.glob("*.md"):
        headings = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
        parts = ["What changed", "The picture", "Use", "Configuration", "Networks", "Fidelity"]
        assert headings == parts, page


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_links_lead_somewhere(document: Path) -> None:
    assert broken_links(document) == []


def test_snippets_run(tmp_path: Path) -> None:
    """Each alone, as its reader would run it."""
    programs = {
        f"{_name(document)}, {each.section}, {i}": each.text
        for document in TAUGHT
        for i, each in enumerate(snippets(document.read_text()), 1)
        if each.language == "python"
    }
    assert len(programs) > len(make.PAGES)
    run_all(programs, tmp_path)


def _public() -> Iterator[tuple[str, object]]:
    """Modules, and the classes, functions and methods that are defined in them."""
    for found in pkgutil.walk_packages(resnet_variants.__path__, "resnet_variants."):
        module = importlib.import_module(found.name)
        yield found.name, module
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) == found.name
            if name.startswith("_") or not own:
                continue
            if inspect.isfunction(value):
                yield f"{found.name}.{name}", value
            elif inspect.isclass(value):
                yield f"{found.name}.{name}", value
                for each, member in vars(value).items():
                    if not each.startswith("_") and _is_method(member):
                        yield f"{found.name}.{name}.{each}", getattr(value, each)


def _is_method(member: object) -> bool:
    return inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod)


def test_everything_public_has_a_docstring() -> None:
    """A method may have its base's."""
    assert [name for name, value in _public() if not inspect.getdoc(value)] == []
