"""Write the generated parts of docs/: tables of networks and of fields, and the diagrams.

    python docs/make.py                     all pages
    python docs/make.py docs/families/se.md one page
    python docs/make.py --check             write nothing; fail when a part is out of date

A generated part stands between ``<!-- KIND WORDS -->`` and ``<!-- end -->``; the functions below
say what WORDS are. All else is written by hand.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the tests say which networks equal which

from docs import gates_table  # noqa: E402
from resnet_variants import NetworkConfig, list_families, model_config, profile  # noqa: E402
from resnet_variants.config import BUILDERS  # noqa: E402
from resnet_variants.zoo import ENTRIES  # noqa: E402
from resnet_variants.zoo.entry import Entry  # noqa: E402

FAMILIES = ROOT / "docs" / "families"
PAGES = [ROOT / "docs" / f"{name}.md" for name in ("README", "gates")]
PAGES += sorted(FAMILIES.glob("*.md"))
README = ROOT / "README.md"
PART = re.compile(r"(<!-- (\w+)([^\n]*?) -->\n).*?(<!-- end -->)", re.DOTALL)

Count = Callable[[Entry], tuple[int, int]]  # parameters, MACs


def counted(entry: Entry) -> tuple[int, int]:
    """Parameters and MACs of a network, on the meta device."""
    counts = profile(entry.name, input_size=entry.input_size)
    return counts.params, counts.macs


def rewritten(page: Path, count: Count = counted) -> str:
    """The page with its generated parts as they should be. Pictures are only linked."""
    pictures = iter(figures(page))

    def fill(match: re.Match[str]) -> str:
        begin, kind, words, end = match.groups()
        if kind == "figure":
            name, call = next(pictures)
            body = f"![{' and '.join(call['names'])} as a diagram]({name})"
        else:
            body = {
                "models": lambda: models_table(words, count),
                "fields": lambda: fields_table(words),
                "families": families_table,
                "gates": lambda: _table(gates_table.HEAD, gates_table.rows(), gates_table.RIGHT),
                "machine": gates_table.machine,
                "sources": gates_table.sources,
                "versions": versions_table,
            }[kind]()
        return f"{begin}\n{body}\n\n{end}"

    return PART.sub(fill, page.read_text())


def figures(page: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """``figure NAME [NAME] [stage=S] [block=B]``: a file for each, and the call of ``draw``."""
    found = [
        words.split() for _, kind, words, _ in PART.findall(page.read_text()) if kind == "figure"
    ]
    for i, words in enumerate(found, 1):
        options = dict(word.split("=") for word in words if "=" in word)
        yield (
            f"{page.stem}{'' if i == 1 else f'-{i}'}.svg",
            {"names": [word for word in words if "=" not in word]}
            | {name: int(value) for name, value in options.items()},
        )


def picture(names: list[str], **where: int) -> str:
    """The diagram as SVG whose text is text: small, and to be compared."""
    import matplotlib

    from resnet_variants.explain.draw import draw

    with matplotlib.rc_context({"svg.fonttype": "none"}), tempfile.TemporaryDirectory() as folder:
        return draw(*names, out=Path(folder) / "picture.svg", **where).read_text()


def texts(svg: str) -> list[str]:
    """What a picture says: the rest may differ with the version of matplotlib."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def models_table(words: str, count: Count) -> str:
    """``models FAMILY[, FAMILY]``: the zoo's networks of these families."""
    families = [each.strip() for each in words.split(",")]
    entries = [each for family in families for each in ENTRIES if each.family == family]
    head = ["name", "parameters", "GMACs", "image", "same outputs as", "configuration"]
    rows = []
    for each in entries:
        if each.name.endswith("_cifar100"):  # the twin of the one before
            continue
        params, macs = count(each)
        also = f" ({', '.join(f'`{alias}`' for alias in each.aliases)})" if each.aliases else ""
        equal = ", ".join(sorted(equals().get(_key(each.config), ())))
        row = [f"`{each.name}`{also}", f"{params:,}", f"{macs / 1e9:.3f}", f"{each.input_size}"]
        rows.append([*row, equal, _changes(each.config)])
    return _table(head, rows, right=(1, 2, 3))


def _changes(config: NetworkConfig) -> str:
    """What a configuration has other than its builder's defaults."""
    plain = BUILDERS[config.builder][0]()
    changed = {
        each.name: getattr(config, each.name)
        for each in dataclasses.fields(config)
        if getattr(config, each.name) != getattr(plain, each.name)
    }
    return " ".join(f"`{name}={value}`" for name, value in changed.items())


def versions_table() -> str:
    """What the default tests gave with each release, as tests/versions.py entered it."""
    head = ["Python", "torch", "torchvision", "passed", "failed", "on", "date"]
    names = ["python", "torch", "torchvision", "passed", "failed", "system", "date"]
    found = json.loads((ROOT / "docs" / "versions.json").read_text())
    rows = [[f"{row[n]:,}" if n == "passed" else str(row[n]) for n in names] for row in found]
    return _table(head, rows, right=(3, 4))


@cache
def equals() -> dict[str, set[str]]:
    """Whose networks the tests compare with which configuration, output by output."""
    from tests import test_checkpoints_golden, test_checkpoints_peers

    found: dict[str, set[str]] = {}
    for name, changes, _ in test_checkpoints_golden.GOLDEN.values():
        found.setdefault(_key(model_config(name).replace(**changes)), set()).add("authors")
    for make, there, here in test_checkpoints_peers._pairs():
        library = make.__name__.strip("_")
        changes = test_checkpoints_peers.CHANGES.get(there, {}) if library == "pytorchcv" else {}
        config = model_config(here).replace(**changes)
        found.setdefault(_key(config), set()).add(library)
    return found


def _key(config: NetworkConfig) -> str:
    # A classifier's size, dropout: no other network.
    values = config.to_dict() | {"num_classes": 0, "drop_rate": 0}
    return json.dumps(values, sort_keys=True)


def fields_table(words: str) -> str:
    """``fields CONFIG [FIELD …]``: fields of a configuration, all of its own without names."""
    name, *fields = words.split()
    configs = {config.__name__: config for config, _ in (BUILDERS[each] for each in BUILDERS)}
    config = configs[name]
    shared = {each.name for each in dataclasses.fields(NetworkConfig)}
    meanings = _meanings(config)
    rows = []
    for each in dataclasses.fields(config):
        if each.name not in (fields or meanings.keys() - shared):
            continue
        default = each.default if each.default is not dataclasses.MISSING else {}
        rows.append([f"`{each.name}`", f"`{default!r}`", meanings[each.name]])
    missing = set(fields) - {row[0].strip("`") for row in rows}
    if missing:
        raise ValueError(f"{name} has no fields {sorted(missing)}.")
    return _table(["field", "default", "values and meaning"], rows)


def _meanings(config: type[NetworkConfig]) -> dict[str, str]:
    """The docstring behind each field, a subclass's before its base's."""
    found: dict[str, str] = {}
    for each in reversed(config.__mro__):
        if not dataclasses.is_dataclass(each):
            continue
        (definition,) = ast.parse(inspect.getsource(each)).body
        assert isinstance(definition, ast.ClassDef)
        for field, behind in zip(definition.body, definition.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                text = _string(behind)
                if text:
                    found[field.target.id] = " ".join(text.split()).replace("``", "`")
    return found


def _string(node: ast.stmt) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return ""


def pages_of_families() -> dict[str, Path]:
    """The page on which each family's networks are listed."""
    found = {}
    for page in sorted(FAMILIES.glob("*.md")):
        for _, kind, words, _ in PART.findall(page.read_text()):
            if kind == "models":
                found |= {family.strip(): page for family in words.split(",")}
    return found


def families_table() -> str:
    """``families``: the pages, in the zoo's order."""
    pages = pages_of_families()
    rows = []
    for page in dict.fromkeys(pages[family] for family in list_families()):
        families = [family for family in list_families() if pages[family] == page]
        entries = [each for each in ENTRIES if each.family in families]
        title = page.read_text().partition("\n")[0].lstrip("# ")
        papers = "; ".join(dict.fromkeys(each.paper for each in entries))
        link = f"[{title}](families/{page.name})"
        rows.append([link, ", ".join(families), str(len(entries)), papers])
    return _table(["page", "families in `list_models`", "networks", "papers"], rows, right=(2,))


def _table(head: list[str], rows: list[list[str]], right: tuple[int, ...] = ()) -> str:
    rule = ["--:" if i in right else "---" for i in range(len(head))]
    cells = [head, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def main() -> int:
    """Write the pages, or name those that are out of date."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="*", type=Path, help="all of them by default")
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    options = parser.parse_args()
    stale = []
    for page in [each.resolve() for each in options.pages] or [README, *PAGES]:
        text = rewritten(page)
        if options.check and page.read_text() != text:
            stale.append(page)
        elif not options.check:
            page.write_text(text)
        for name, call in figures(page):
            file, svg = page.parent / name, picture(**call)
            if not options.check:
                file.write_text(svg)
            elif not file.exists() or texts(file.read_text()) != texts(svg):
                stale.append(file)
    for each in stale:
        print(f"{each.relative_to(ROOT)} is out of date: python docs/make.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
