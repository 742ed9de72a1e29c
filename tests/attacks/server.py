"""A server on this machine for tests of downloads, and its tricks."""

from __future__ import annotations

import hashlib
import http.server
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from resnet_variants import weights_info
from resnet_variants.checkpoints import Weights

DATA = os.urandom(300_000)
DIGEST = hashlib.sha256(DATA).hexdigest()
Answer = Callable[[http.server.BaseHTTPRequestHandler, int], None]


class Site:
    """A server on this machine that answers the n-th request by ``answer(handler, n)``."""

    def __init__(self) -> None:
        self.answer: Answer = reply
        self.ranges: list[str | None] = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.close_connection = True
                site.ranges.append(self.headers.get("Range"))
                site.answer(self, len(site.ranges) - 1)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def weights(self, answer: Answer, **changes: Any) -> Weights:
        """Weights that are published here, and answered for so."""
        self.answer = answer
        known = weights_info("resnet20_cifar")
        return replace(
            known, **{"tag": "t", "url": f"{self.url}/w.pth", "hash": f"sha256:{DIGEST}"} | changes
        )


def reply(
    handler: http.server.BaseHTTPRequestHandler,
    _: int = 0,
    code: int = 200,
    body: bytes = DATA,
    length: Any = None,
    **headers: str,
) -> None:
    """An answer; ``length=False`` says none."""
    handler.send_response(code)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    if length is not False:
        handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def ranged(handler: http.server.BaseHTTPRequestHandler, number: int, cut: int = 100_000) -> None:
    """The part that was asked for, broken off after ``cut`` bytes."""
    asked = handler.headers.get("Range")
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
    if start >= len(DATA):
        return reply(handler, code=416, body=b"")
    about = {"Content_Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"} if asked else {}
    body = DATA[start : start + cut]
    reply(handler, code=206 if asked else 200, body=body, length=len(DATA) - start, **about)


def _part(about: str | None, body: bytes) -> Answer:
    headers = {} if about is None else {"Content_Range": about}
    return lambda h, n: reply(h, code=206, body=body, **headers)


OTHER_PARTS = {
    "another part": _part("bytes 5-299999/300000", DATA[5:]),
    "a part of itself": _part("bytes 100000-299999/300000", DATA[:200_000]),
    "an unnamed part": _part(None, DATA[100_000:]),
    "of unknown length": _part("bytes 100000-299999/*", DATA[100_000:]),
    "none": _part("bytes */300000", b""),
    "a number without end": _part(f"bytes {'9' * 5000}-1/1", DATA),
    "two parts": _part(None, b"--x\r\nContent-Range: bytes 0-1/300000\r\n\r\nab"),
}


def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub" / "checkpoints"


def left(tmp_path: Path) -> list[str]:
    return sorted(os.listdir(cache(tmp_path))) if cache(tmp_path).exists() else []
