"""Pickles with code, mutated, or of odd values."""

from __future__ import annotations

import random

from .. import making
from ..fuzzing import Case
from ..making import call, state, text
from .kinds import kind, loading

# Pickles ------------------------------------------------------------------------------------------

CODE = (
    ("os", "system", text("true")),
    ("posix", "mkdir", text("x")),
    ("nt", "system", text("true")),
    ("subprocess", "Popen", text("true")),
    ("builtins", "eval", text("1")),
    ("builtins", "exec", text("1")),
    ("builtins", "getattr", text("a") + text("b")),
    ("builtins", "open", text("x")),
    ("builtins", "__import__", text("os")),
    ("__builtin__", "eval", text("1")),
    ("runpy", "run_path", text("x")),
    ("webbrowser", "open", text("x")),
    ("importlib", "import_module", text("os")),
    ("torch", "load", text("x")),
    ("torch.hub", "load", text("x")),
    ("torch.storage", "_load_from_bytes", text("x")),
    ("torch.jit", "load", text("x")),
    ("numpy", "load", text("x")),
    ("numpy.testing._private.utils", "runstring", text("1")),
    ("operator", "attrgetter", text("x")),
    ("functools", "partial", b""),
    ("types", "FunctionType", b""),
    ("codecs", "open", text("x")),
    ("pickle", "loads", text("x")),
    ("shutil", "rmtree", text("x")),
    ("ctypes", "CDLL", text("x")),
    ("socket", "create_connection", b""),
    ("torch._dynamo", "reset", b""),
    ("torch.nn.modules.linear", "Linear", b"K\x01K\x01"),
    ("resnet_variants", "create_model", text("resnet18")),
    ("sys", "exit", b""),
    ("timeit", "timeit", text("1")),
    ("logging.config", "fileConfig", text("x")),
)
INSTRUCTIONS = (
    b"N\x88\x89)]}(.0123PQRabceghijklopqrstu\x81\x85\x86\x87\x8a\x8b\x8c\x93\x94\x95XKMJG"
)


@kind(5)
def code(r: random.Random) -> Case:
    module, name, arguments = r.choice(CODE)
    program = call(module, name, arguments)
    if r.random() < 0.3:  # the same by other instructions
        program = text(module) + text(name) + b"\x93(" + arguments + b"tR"
    elif r.random() < 0.3:
        program = b"(" + arguments + b"i" + f"{module}\n{name}\n".encode()
    if r.random() < 0.5:
        data = making.beside_weights(program)
    else:
        data = making.PROTOCOL + program + b"."
        data = r.choice((data, making.with_pickle(data)))
    return loading(f"code: {module}.{name}", data, "refused")


@kind(10)
def pickle_mutated(r: random.Random) -> Case:
    kind = r.choice(("zip", "old"))
    data = making.CONTAINERS[kind](state())
    if kind == "old":
        changed = bytearray(data)
        for _ in range(r.choice((1, 2, 4))):
            changed[r.randrange(6000)] = r.choice(INSTRUCTIONS)
        return loading("pickle mutated: old", bytes(changed), "either", told=False)

    def edit(name: str, content: bytes) -> list[tuple[str, bytes]]:
        if not name.endswith("data.pkl"):
            return [(name, content)]
        changed = bytearray(content)
        for _ in range(r.choice((1, 2, 4))):
            at = r.randrange(len(changed))
            if r.random() < 0.5:
                changed[at] = r.choice(INSTRUCTIONS)
            else:
                changed[at:at] = bytes([r.choice(INSTRUCTIONS)])
        return [(name, bytes(changed))]

    # The checksum is that of the changed pickle: nothing can tell that it says something else.
    return loading("pickle mutated: zip", making.rezip(data, edit), "either", told=False)


@kind(8)
def pickle_odd(r: random.Random) -> Case:
    """By hand: huge, endless, deep, of other types."""
    big = (10**12).to_bytes(6, "little")
    programs = {
        "bytearray": call("builtins", "bytearray", b"\x8a\x06" + big),
        "scalar": call(
            "numpy._core.multiarray", "scalar", call("numpy", "dtype", text("V2000000000"))
        ),
        "dtype": call("numpy", "dtype", text("f8"), b"\x89", b"\x88") + b"K\x01b",
        "deep list": b"]" * 50_000 + b"a" * 49_999,
        "deep tuple": b")" + b"\x85" * 200_000,
        "deep key": b"}" + b")" + b"\x85" * 200_000 + b"Ns",
        "laughs": b")" + b"\x86".join([b"q\x01h\x01"] * 60) + b"\x86",
        "memo": b"Nr\xff\xff\xff\xff",
        "long text": b"\x8d" + (2**40).to_bytes(8, "little") + b"x",
        "long number": b"\x8b" + (2**31 - 1).to_bytes(4, "little") + b"x",
        "digits": b"L" + b"9" * 100_000 + b"L\n",
        "list as key": b"}]K\x01s",
        "marks": b"(" * 300_000,
        "nothing": b"",
        "no tensor": call("torch._utils", "_rebuild_tensor_v2"),
        "parameter": call("torch._utils", "_rebuild_parameter", b"K\x01", b"\x88", b"N"),
        "storage": b"(" + text("storage") + b"K\x01K\x01K\x01K\x01tQ",
        "reference": text("x") + b"Q",
        "unknown": b"h\x99",
        "set": b"\x8f(K\x01\x90",
        "size": call("torch", "Size", b"(K\x02" + b"\x8a\x06" + big + b"t"),
    }
    how = r.choice(sorted(programs))
    harmless = how in (
        "bytearray",
        "scalar",
        "dtype",
        "deep list",
        "deep tuple",
        "deep key",
        "set",
        "size",
        "digits",
        "laughs",
        "memo",
        "unknown",
    )
    if r.random() < 0.6:
        expected = "either" if harmless else "refused"
        return loading(f"pickle odd: {how}", making.beside_weights(programs[how]), expected)
    program = making.PROTOCOL + programs[how] + b"."
    return loading(
        f"pickle odd: {how}", r.choice((program, making.with_pickle(program))), "refused"
    )
