"""The command line, ``resnet-variants``: a table of typed functions.

A command is a plain function with type hints and a docstring; tyro makes its options from them.
A line in ``COMMANDS`` adds it. Commands may use every other package, and none uses them. The
module is imported when the command runs, so that ``resnet-variants list`` waits for no plotting
library.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..choices import unknown

PROG = "resnet-variants"


class Command(NamedTuple):
    """Where a command's function is, what it does, and the extra that it needs, if any."""

    target: str
    """``module:function``, the module in this package"""
    summary: str
    extra: str | None = None
    resumes: bool = False
    """whether the same command goes on where it was stopped"""


COMMANDS: dict[str, Command] = {
    "list": Command("models:list_", "names of the zoo that match a pattern"),
    "info": Command("models:info", "counts, paper, aliases, weights, configuration of a model"),
    "gates": Command("gates:gates", "attention gates: what they look at, what they add"),
    "compare": Command(
        "training:compare", "train models under one recipe, over several seeds", "train", True
    ),
    "train": Command("training:train", "train one model", "train", True),
    "report": Command("training:report", "tables and plot of a finished comparison", "train"),
    "predict": Command("weights:predict", "what a network sees in an image"),
    "evaluate": Command(
        "evaluate:evaluate", "accuracy of a network or a run on any images", "train"
    ),
    "explain": Command("explain:explain", "pictures of what a network looks at", "explain"),
    "draw": Command("explain:draw", "a diagram of a network, or of two", "explain"),
    "export": Command("export:export", "a file for another runtime, checked", "export"),
    "optimize": Command("optimize:optimize", "the fastest way to run it here, kept in a file"),
    "benchmark": Command("benchmark:benchmark", "speed here, beside the peers", "bench"),
    "convert": Command("weights:convert", "weights from one dialect to another"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit code. What a user got wrong is one line on stderr and 2,
    what was stopped by Ctrl-C one line and 130.

    ``--debug`` before the command, or RESNET_VARIANTS_DEBUG=1, shows the traceback.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    debug = os.environ.get("RESNET_VARIANTS_DEBUG", "0") not in ("", "0")
    if args[:1] == ["--debug"]:
        debug, args = True, args[1:]
    if not args or args[0] in ("-h", "--help"):
        print(usage())
        return 0
    if args[0] == "--version":
        from .. import __version__

        print(f"{PROG} {__version__}")
        return 0
    for stream in (sys.stdout, sys.stderr):  # names of files need not be text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(*args)
    except KeyboardInterrupt:
        if debug:
            raise
        goes_on = ": the same command goes on" if COMMANDS[args[0]].resumes else ""
        print(f"\r{PROG}: stopped{goes_on}", file=sys.stderr)
        return 130
    except (ValueError, TypeError, OSError, ImportError) as error:
        if debug:
            raise
        if isinstance(error, BrokenPipeError):  # the reader, `head` for instance, has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"{PROG}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def usage() -> str:
    """The table of commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {PROG} [--debug] COMMAND ...",
            f"       {PROG} COMMAND --help",
            "",
            *lines,
        ]
    )


def _run(name: str, *args: str) -> int:
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    import tyro

    function = _load(name, COMMANDS[name])
    tyro.cli(function, args=args, prog=f"{PROG} {name}")
    sys.stdout.flush()
    return 0


def _load(name: str, command: Command) -> Callable[..., Any]:
    module, function = command.target.split(":")
    try:
        found: Callable[..., Any] = getattr(
            importlib.import_module(f"{__package__}.{module}"), function
        )
        return found
    except ModuleNotFoundError as error:
        if command.extra is None or (error.name or "").startswith("resnet_variants"):
            raise
        raise ImportError(
            f"{name} needs {error.name}, which is not installed: "
            f'pip install "resnet-variants[{command.extra}]"'
        ) from error
