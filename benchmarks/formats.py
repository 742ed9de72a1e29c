"""Each family as a file of each format, with evidence: docs/formats.md.

python benchmarks/formats.py [--families NAME ...] [--formats NAME ...] [--again]

Each cell runs in a process of its own within ``--limit`` seconds, and is remembered in
docs/formats.json: a run that was stopped goes on, and an environment with other tools fills in what
the first one lacked (LiteRT's and ExecuTorch's packages ask for different releases of others).
"""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import sys
import tempfile
import time
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import tyro
from formats_written import TOOLS, size_of, versions

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' thinned networks

from resnet_variants import Network, create_model, initialise, list_families
from resnet_variants.export import check
from resnet_variants.export.formats import outputs
from tests.families import representative, small

DOCS = Path(__file__).parents[1] / "docs"
MEMORY, PAGE = DOCS / "formats.json", DOCS / "formats.md"
TOLERANCE = 1e-3  # of the largest answer: beyond it the file is another network

HEAD = """# Formats, by family

Each family's smallest network as a file of each format, for one image of the network's size (files
for any batch and size: [the matrix](matrix.md)). *Difference* is the largest from eager PyTorch
over the largest answer; *nodes* are operations in the file's graph, *taken* those that XNNPACK
runs; ms are for one image on one thread, the least of five calls on a machine at other work. A
network marked * is thinned to one or two units a stage, its image 96 pixels wide. What a tool
cannot do is its note. int8 files are [a page of their own](quantization.md). Written by

    pip install "resnet-variants[formats]"
    python benchmarks/formats.py

and, for LiteRT, the same in an environment of its own after `pip install litert-torch`, then `pip
install --upgrade typing-extensions` (it asks for an older one than tyro works with, and works with
this one).
"""

Cell = dict[str, Any]


def measure(family: str, form: str, thinned: bool) -> Cell:
    """Write, read, compare and time one file, in this process."""
    if thinned:
        model: Network = small(family)
    else:
        model = create_model(representative(family))
        initialise(model, seed=0)
    model.eval()
    side = 32 if "cifar" in representative(family) else 96 if thinned else 224
    side = max(side, model.min_export_size)
    images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        folder = Path(name)
        start = time.perf_counter()
        written = TOOLS[form].write(model, images, folder)
        cell: Cell = {
            "seconds to write": round(time.perf_counter() - start, 1),
            "nodes": written.nodes, "taken": written.delegated, "opset": written.opset,
            "bytes": size_of(folder), "note": written.reason,
        }  # fmt: skip
        if written.run is None:
            return cell
        (found,) = check(model, written.run, [(1, side, side)], tolerance=TOLERANCE)
        cell["difference"] = found.error
        cell["ms"] = 1e3 * least_time(lambda: written.run(images))
        cell["eager ms"] = 1e3 * least_time(lambda: outputs(model(images)))
    return cell


def least_time(call: Any, rounds: int = 5) -> float:
    """Seconds of the quickest of several calls."""
    found = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found[1:])


def apart(family: str, form: str, thinned: bool, limit: float) -> Cell:
    """The same in a process of its own: one that fails, or ends, is a cell with a note."""
    fork = multiprocessing.get_context("fork")  # the tools' imports are not made again
    ours, theirs = fork.Pipe()
    process = fork.Process(target=report, args=(theirs, family, form, thinned))
    process.start()
    theirs.close()
    cell: Cell = {"failed": f"not done within {limit:g} s"}
    try:
        if ours.poll(limit):
            cell = ours.recv()
    except EOFError:
        process.join()
        cell = {"failed": f"the tool ended the process ({process.exitcode})"}
    process.kill()
    process.join()
    return cell


def report(answer: Connection, family: str, form: str, thinned: bool) -> None:
    """Send the cell, whatever happens."""
    try:
        cell = measure(family, form, thinned)
    except Exception as error:  # another program's: say so
        reason = str(error).partition("While executing")[0]  # torch's, where in our program
        cell = {"failed": " ".join(f"{type(error).__name__}: {reason}".split())[:240]}
    answer.send(cell)
    os._exit(0)  # some of the tools' libraries crash when they are unloaded


def page(cells: dict[str, Cell]) -> str:
    """A table of all, and one for each format."""
    notes: list[str] = []

    def noted(cell: Cell) -> str:
        text = cell.get("failed") or cell.get("note") or ""
        if not text:
            return ""
        if text not in notes:
            notes.append(text)
        return f"<sup>{notes.index(text) + 1}</sup>"

    def short(cell: Cell | None) -> str:
        if cell is None:
            return "–"
        if "failed" in cell:
            return noted(cell)
        return (f"{cell['difference']:.0e}" if "difference" in cell else "✓") + noted(cell)

    families = list_families()
    found = {form: {f: cells.get(f"{form} | {f}") for f in families} for form in TOOLS}
    rows = [["family", *TOOLS], ["---", *(":-:" for _ in TOOLS)]]
    rows += [[f, *(short(found[form][f]) for form in TOOLS)] for f in families]
    counted = [cell for row in found.values() for cell in row.values() if cell]
    works = sum("failed" not in cell for cell in counted)
    text = f"{HEAD}\n{len(counted)} cells, {works} of them with a file. Differences from eager:\n\n"
    text += lines(rows)
    for form, row in found.items():
        body = [each for f in families if (cell := row[f]) for each in [detail(f, cell, noted)]]
        if body:
            tools = sorted({cell["tools"] for cell in row.values() if cell})
            text += f"\n## {form}\n\n{'; '.join(tools)}\n\n"
            head = ["family", "network", "opset", "nodes", "taken", "MiB", "difference", "ms",
                    "eager ms", "s to write"]  # fmt: skip
            text += lines([head, ["---", "---", *("--:" for _ in head[2:])], *body])
    return text + "\n## Notes\n\n" + "".join(f"{i}. {each}\n" for i, each in enumerate(notes, 1))


def detail(family: str, cell: Cell, noted: Any) -> list[str]:
    """A format's row of one family."""
    network = representative(family) + ("\\*" if cell["thinned"] else "")
    if "failed" in cell:
        return [family, network + noted(cell), *("" for _ in range(8))]
    number = lambda key, form: format(cell[key], form) if cell.get(key) is not None else ""  # noqa: E731
    return [
        family, network + noted(cell), number("opset", "d"), number("nodes", "d"),
        number("taken", "d"), f"{cell['bytes'] / 2**20:.1f}", number("difference", ".1e"),
        number("ms", ".1f"), number("eager ms", ".1f"), number("seconds to write", ".0f"),
    ]  # fmt: skip


def lines(rows: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(each.replace('|', '') for each in row)} |\n" for row in rows)


def remembered() -> dict[str, Cell]:
    text = MEMORY.read_text() if MEMORY.exists() else ""
    return json.loads(text or "{}")


def remember(key: str, cell: Cell) -> None:
    """Write it and the page, one process at a time."""
    with PAGE.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cells = remembered() | {key: cell}
        fresh = MEMORY.with_suffix(".new")  # whole, should this process end now
        fresh.write_text(json.dumps(cells, indent=1, sort_keys=True) + "\n")
        fresh.replace(MEMORY)
        PAGE.write_text(page(cells))


def main(
    *,
    families: tuple[str, ...] = (),
    formats: tuple[str, ...] = (),
    thinned: bool = False,
    limit: float = 600,
    again: bool = False,
) -> None:
    """Fill in the cells that are missing, and write the page after each.

    Args:
        families: of the zoo; all by default
        formats: of the table; all by default
        thinned: networks of one or two units a stage, on images of 96 pixels, for want of time
        limit: seconds for a cell
        again: measure cells that are there, too
    """
    torch.set_num_threads(1)
    for form in formats or TOOLS:
        try:
            for name in TOOLS[form].modules:
                import_module(name)
        except ImportError as error:  # another environment may have it
            print(f"{form}: left out, {error}")
            continue
        for family in families or list_families():
            key = f"{form} | {family}"
            if key in remembered() and not again:
                continue
            cell = apart(family, form, thinned, limit)
            print(f"{key}: {cell}", flush=True)
            remember(key, cell | {"thinned": thinned, "tools": versions(form)})


if __name__ == "__main__":
    tyro.cli(main)
