"""What mkdocs calls while it builds the site: pages from files of the repository outside of docs/,
the notebooks as pages, and the reference, a page a package or module, from docstrings."""

from __future__ import annotations

import json
import os
import pkgutil
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

import resnet_variants

ROOT = Path(__file__).parent.parent
PAGES = {"README.md": "introduction.md"} | {
    name: f"project/{name}" for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
}
"""files of the repository that are pages of the site"""
_LINK = re.compile(r"(\]\(|src=\"|href=\")([^)\s\"#]+)(#[^)\s\"]*)?([)\"])")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and sources that documents link to."""
    for source, target in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, target, content=_relinked(text, source, target)))
    linked: set[str] = set()
    for file in files.documentation_pages():
        if file.src_uri not in PAGES.values():
            linked |= _targets(file.content_string, f"docs/{file.src_uri}")
    for source in PAGES:
        linked |= _targets((ROOT / source).read_text(encoding="utf-8"), source)
    for path in sorted(linked):
        files.append(File.generated(config, f"source/{path}", abs_src_path=str(ROOT / path)))
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=notebook(path)))
    names = sorted(each.name for each in pkgutil.iter_modules(resnet_variants.__path__))
    lines = ["# Reference\n", "::: resnet_variants\n    options: {show_submodules: false}\n"]
    for name in names:
        text = f"::: resnet_variants.{name}\n"
        files.append(File.generated(config, f"api/{name}.md", content=text))
        lines.append(f"- [`resnet_variants.{name}`]({name}.md)")
    files.append(File.generated(config, "api/index.md", content="\n".join(lines) + "\n"))
    return files


def notebook(path: Path) -> str:
    """A notebook as a page: its text, its code and what came out."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        for output in cell.get("outputs", []):
            if "text" in output:
                parts.append(f"```text\n{''.join(output['text']).rstrip()}\n```")
            elif "image/png" in output.get("data", {}):
                png = "".join(output["data"]["image/png"]).replace("\n", "")
                parts.append(f'<img alt="what the code drew" src="data:image/png;base64,{png}">')
    return "\n\n".join([*parts, f"[This page as a notebook]({path.name}){{ download }}", ""])


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to files outside of docs/ to their place in the site."""
    uri = page.file.src_uri
    if uri in PAGES.values() or uri.startswith("api/"):
        return markdown
    return _relinked(markdown, f"docs/{uri}", uri)


def _place(path: str) -> str | None:
    """Where a file of the repository is in the site, or None for what is no file of it."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/").replace(".ipynb", ".md")
    return f"source/{path}" if (ROOT / path).is_file() else None


def _relinked(text: str, source: str, target: str) -> str:
    """The text of a file of the repository for its place in the site."""

    def new(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        itself = "notebooks/" in source and posixpath.splitext(path)[0] in source
        place = None if ":" in match[2] or itself else _place(path)
        if place is None:
            return match[0]
        link = os.path.relpath(place, posixpath.dirname(target) or ".")
        return f"{match[1]}{link}{match[3] or ''}{match[4]}"

    return _LINK.sub(new, text)


def _targets(text: str, source: str) -> set[str]:
    """The files outside of docs/ that a document links to and that are no pages."""
    found = set()
    for match in _LINK.finditer(text):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        if ":" not in match[2] and not path.startswith("docs/") and path not in PAGES:
            found |= {path} if (ROOT / path).is_file() else set()
    return found
