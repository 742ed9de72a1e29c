"""Servers that are slow, busy, broken or hostile: the whole published file, or an error of the
library's own and nothing left behind. Long because all cases ask one server of tricks."""

from __future__ import annotations

import errno
import gzip
import hashlib
import http.server
import io
import os
import socket
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_variants import create_model, list_weights, weights_info
from resnet_variants.checkpoints import Weights, download, errors
from resnet_variants.checkpoints.download import fetch

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


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.delenv("RESNET_VARIANTS_WEIGHTS", raising=False)
    monkeypatch.delenv("RESNET_VARIANTS_OFFLINE", raising=False)
    monkeypatch.setattr(download, "_WAITS", (0.01, 0.02))
    monkeypatch.setattr(download, "_TIMEOUT", 0.5)
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


def _cache(tmp_path: Path) -> Path:
    return tmp_path / "hub" / "checkpoints"


def _left(tmp_path: Path) -> list[str]:
    return sorted(os.listdir(_cache(tmp_path))) if _cache(tmp_path).exists() else []


# Taken --------------------------------------------------------------------------------------------


def busy(code: int) -> Answer:
    """Busy at first."""

    def answer(handler: Any, number: int) -> None:
        if number < 2:
            reply(handler, code=code, body=b"", Retry_After="0")
        else:
            reply(handler)

    return answer


def _chunked(handler: Any, number: int) -> None:
    if number:
        return reply(handler)
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"100000\r\nabc")


def _hung_up(handler: Any, number: int) -> None:
    if number:
        reply(handler)


def _whole_again(handler: Any, number: int) -> None:
    """Knows nothing of ranges."""
    reply(handler, body=DATA if number else DATA[:5000], length=len(DATA))


def _nothing_behind(handler: Any, number: int) -> None:
    if handler.headers.get("Range"):
        reply(handler, code=416, body=b"")
    else:
        _whole_again(handler, number)


def _in_parts(handler: Any, number: int) -> None:
    """A third of what was asked for, which is no error."""
    asked = handler.headers.get("Range")
    if not asked:
        return reply(handler, body=DATA[:100_000], length=len(DATA))
    start = int(asked.removeprefix("bytes=").rstrip("-"))
    body = DATA[start : start + 100_000]
    about = f"bytes {start}-{start + len(body) - 1}/{len(DATA)}"
    reply(handler, code=206, body=body, Content_Range=about)


def once(second: Answer) -> Answer:
    """Broken off; then ``second`` in place of the rest; then all as it should be."""

    def answer(handler: Any, number: int) -> None:
        if number == 1:
            return second(handler, number)
        ranged(handler, number, cut=len(DATA) if number else 100_000)

    return answer


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


def _later(wait: str) -> Answer:
    return lambda h, n: reply(h) if n else reply(h, code=429, body=b"", Retry_After=wait)


@pytest.mark.parametrize(
    "answer",
    [
        *(pytest.param(once(part), id=name) for name, part in OTHER_PARTS.items()),
        *(_later(wait) for wait in ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Zzz", "-5", "1e5")),
        pytest.param(
            lambda h, n: OTHER_PARTS["another part"](h, n) if not n else reply(h), id="5-"
        ),
        _in_parts,
        *(pytest.param(busy(code), id=str(code)) for code in (429, 500, 502, 503, 504)),
        _chunked,
        _hung_up,
        _whole_again,
        _nothing_behind,
        ranged,
        lambda h, n: reply(h, length=False),
    ],
)
def test_asked_again_until_it_is_whole(site: Site, tmp_path: Path, answer: Answer) -> None:
    path = fetch(site.weights(answer), progress=False)
    assert path.read_bytes() == DATA
    assert _left(tmp_path) == ["w.pth"]


def test_only_what_is_missing_is_asked_for(site: Site) -> None:
    fetch(site.weights(ranged), progress=False)
    assert site.ranges == [None, "bytes=100000-", "bytes=200000-"]


@pytest.mark.parametrize("begin", [DATA[:1000], b"of another file", DATA + b"more"])
def test_what_a_killed_process_left(site: Site, tmp_path: Path, begin: bytes) -> None:
    _cache(tmp_path).mkdir(parents=True)
    (_cache(tmp_path) / ".w.pth.part").write_bytes(begin)
    (_cache(tmp_path) / ".w.pth.deadbeef.part").write_bytes(b"x")
    (_cache(tmp_path) / ".other.pth.part").write_bytes(b"x")
    weights = site.weights(lambda h, n: ranged(h, n, cut=len(DATA)))
    assert fetch(weights, progress=False).read_bytes() == DATA
    assert _left(tmp_path) == [".other.pth.part", "w.pth"]
    assert site.ranges[0] == f"bytes={len(begin)}-"


def test_waits_grow(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    monkeypatch.setattr(download, "_WAITS", (1.0, 2.0, 4.0))
    asks = lambda h, n: reply(h, code=503, body=b"", **({"Retry_After": "3"} if n == 1 else {}))  # noqa: E731
    with pytest.raises(errors.WeightsUnavailableError, match="503"):
        fetch(site.weights(asks), progress=False)
    assert waits == [1.0, 3.0, 4.0]


def test_a_server_may_say_when(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    fetch(site.weights(_later(formatdate(time.time() + 60, usegmt=True))), progress=False)
    assert 50 < waits[0] <= 60
    weights = replace(
        site.weights(_later("Wed, 21 Oct 2099 07:28:00 GMT")), url=f"{site.url}/a.pth"
    )
    site.ranges.clear()
    with pytest.raises(errors.WeightsUnavailableError, match="429"):
        fetch(weights, progress=False)
    assert len(waits) == 1


# Refused ------------------------------------------------------------------------------------------


def _drip(handler: Any, number: int) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(DATA)))
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b"x")
        time.sleep(0.1)


def _endless(handler: Any, number: int) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(1 << 20))


def _without_end(begin: bytes, more: bytes, wait: float = 0.05) -> Answer:
    def answer(handler: Any, number: int) -> None:
        handler.wfile.write(begin)
        while True:
            handler.wfile.write(more)
            time.sleep(wait)

    return answer


def _to_nowhere(handler: Any, number: int) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/x")
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(1 << 20))


def _to(place: str) -> Answer:
    return lambda handler, number: reply(handler, code=302, body=b"", Location=place)


OK = "HTTP/1.1 200 OK\r\n"
REFUSED: dict[str, Answer] = {
    "not found": lambda h, n: reply(h, code=404, body=b""),
    "forbidden": lambda h, n: reply(h, code=403, body=b""),
    "always busy": lambda h, n: reply(h, code=503, body=b""),
    "no HTTP": lambda h, n: h.wfile.write(b"HELLO\r\n\r\n"),
    "silence": lambda h, n: time.sleep(2),
    "always broken off": lambda h, n: reply(h, body=DATA[:9], length=len(DATA)),
    "a length that is none": lambda h, n: reply(h, length="abc"),
    "a negative length": lambda h, n: reply(h, length="-5"),
    "a length of terabytes": lambda h, n: reply(h, length=10**13),
    "no end": _endless,
    "a byte now and then": _drip,
    "other content": lambda h, n: reply(h, body=DATA[:-1] + b"x"),
    "a web page": lambda h, n: reply(h, body=b"<!DOCTYPE html>log in"),
    "nothing": lambda h, n: reply(h, body=b""),
    "a status now and then": _without_end(b"HTTP/1.1 200 O", b"K"),
    "a header now and then": _without_end(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
    "a chunk now and then": _without_end(
        f"{OK}Transfer-Encoding: chunked\r\n\r\n5;".encode(), b"x"
    ),
    "a trailer now and then": _without_end(
        f"{OK}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n".encode(), b"a: b\r\n"
    ),
    "always to be continued": _without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 99, wait=0),
    "a redirect without end": _to_nowhere,
    "packed": lambda h, n: reply(h, body=gzip.compress(DATA), Content_Encoding="gzip"),
    "a shorter length": lambda h, n: reply(h, length=1000),
    "always another part": OTHER_PARTS["another part"],
    "never such a part": lambda h, n: reply(h, code=416, body=b""),
    "busy for a century": lambda h, n: reply(h, code=503, body=b"", Retry_After="9" * 5000),
    "a length of many digits": lambda h, n: reply(h, length="9" * 5000),
    "steers the terminal": lambda h, n: h.wfile.write(b"HTTP/1.1 404 \x1b[2J\x07\r\n\r\n"),
    "to a file in capitals": _to("FILE:///etc/passwd"),
    "to a local file": _to("local_file:///etc/passwd"),
    "to no port": _to("http://127.0.0.1:nowhere/"),
    "to a file": _to("file:///etc/passwd"),
    "to ftp": _to("ftp://127.0.0.1:9/w.pth"),
    "to no address": _to("http://"),
    "to data": _to("data:,x"),
    "to itself": lambda h, n: reply(h, code=302, body=b"", Location=h.path),
    "a header without end": lambda h, n: h.wfile.write(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 99_999),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_and_nothing_left(site: Site, tmp_path: Path, kind: str) -> None:
    start = time.monotonic()
    with pytest.raises((errors.WeightsUnavailableError, errors.HashError)) as refused:
        fetch(site.weights(REFUSED[kind]), progress=False)
    assert "w.pth" in str(refused.value) and str(refused.value).isprintable()
    assert _left(tmp_path) == []
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("what", ["link", "pipe"])
def test_what_lies_there_is_none_of_ours(site: Site, tmp_path: Path, what: str) -> None:
    """No file of the user's is written through a link, and no pipe is waited for."""
    mine = tmp_path / "mine.txt"
    mine.write_text("dear diary")
    _cache(tmp_path).mkdir(parents=True)
    part = _cache(tmp_path) / ".w.pth.part"
    part.symlink_to(mine) if what == "link" else os.mkfifo(part)
    assert fetch(site.weights(reply), progress=False).read_bytes() == DATA
    assert mine.read_text() == "dear diary" and _left(tmp_path) == ["w.pth"]


def test_from_https_no_way_leads_back(site: Site) -> None:
    redirects = download._Redirects()
    asked = urllib.request.Request("https://example.org/w.pth")
    to = lambda place: redirects.redirect_request(asked, io.BytesIO(), 302, "", {}, place)  # noqa: E731
    assert to("https://example.com/w.pth") is not None
    with pytest.raises(ValueError, match="not followed"):
        to("http://example.org/w.pth")


def test_total_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(handler: Any, number: int) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        for at in range(0, len(DATA), 1000):
            handler.wfile.write(DATA[at : at + 1000])
            time.sleep(0.1)

    monkeypatch.setattr(download, "_LIMIT", 1.0)
    with pytest.raises(errors.WeightsUnavailableError, match="not whole after 1 s"):
        fetch(site.weights(slow), progress=False)


def test_other_schemes_are_not_followed(site: Site) -> None:
    """Not even connected to."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.3)
        place = f"ftp://127.0.0.1:{listening.getsockname()[1]}/w.pth"
        for answer, changes in ((_to(place), {}), (reply, {"url": place})):
            with pytest.raises(errors.WeightsUnavailableError):
                fetch(site.weights(answer, **changes), progress=False)
            with pytest.raises(TimeoutError):
                listening.accept()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_disk_that_cannot_be_written(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(download, "_copy", fail)
    with pytest.raises(errors.WeightsUnavailableError, match="RESNET_VARIANTS_WEIGHTS"):
        fetch(site.weights(reply), progress=False)
    assert _left(tmp_path) == []


def test_interrupted(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(answer: Any, file: Any, *_: Any) -> None:
        file.write(answer.read(1000))
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "_copy", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(site.weights(reply), progress=False)
    assert _left(tmp_path) == []


# Without a hash -----------------------------------------------------------------------------------


def test_no_hash_needs_to_be_allowed(site: Site, tmp_path: Path) -> None:
    weights = site.weights(lambda h, n: reply(h, body=b"<!DOCTYPE html>log in"), hash="unknown")
    for _ in range(2):
        with pytest.raises(errors.HashError, match="allow_unverified=True takes it"):
            fetch(weights, progress=False)
    assert site.ranges == []
    with pytest.raises(errors.HashError, match="a web page"):
        fetch(weights, progress=False, allow_unverified=True)
    assert _left(tmp_path) == []
    file = io.BytesIO()
    torch.save({"a.weight": torch.ones(2)}, file)
    weights = site.weights(lambda h, n: reply(h, body=file.getvalue()), hash="unknown")
    path = fetch(weights, progress=False, allow_unverified=True)
    path.write_bytes(b"something else")
    with pytest.raises(errors.HashError, match="is not the published file"):
        fetch(weights, progress=False, allow_unverified=True)


def test_the_catalogue_says_which_have_none() -> None:
    unknown = [weights for weights in list_weights() if not weights.verifiable]
    assert all(weights.hash == "unknown" for weights in unknown)
    with pytest.raises(errors.HashError, match="allow_unverified.*regnetx_002.pcv_in1k"):
        create_model("regnetx_002", pretrained="pycls_dds_in1k")


@pytest.mark.parametrize("hash", ["md5:abc", "sha256:xyz", "crc:1"])
def test_hash_of_another_kind(site: Site, tmp_path: Path, hash: str) -> None:
    with pytest.raises(errors.HashError):
        fetch(site.weights(reply, hash=hash), progress=False)
    assert _left(tmp_path) == []


def test_archive_that_grows(site: Site, tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.pth", bytes(100 << 20))
    weights = site.weights(lambda h, n: reply(h, body=file.getvalue()), url=f"{site.url}/w.pth.zip")
    with pytest.raises(errors.HashError, match="arrived broken"):
        fetch(weights, progress=False)


@pytest.mark.parametrize("pretrained", [None, False])
def test_nothing_asked_for_downloads_nothing(site: Site, pretrained: Any) -> None:
    assert not hasattr(create_model("resnet20_cifar", pretrained=pretrained), "load_report")


@pytest.mark.parametrize("pretrained", [3, 0.5, ["t"]])
def test_what_is_no_tag(pretrained: Any) -> None:
    with pytest.raises(TypeError, match="pretrained must be True, False or a tag"):
        create_model("resnet20_cifar", pretrained=pretrained)
