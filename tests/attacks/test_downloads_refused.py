"""Servers that are broken or hostile, disks that are full: an error of the library's own, and
nothing left behind."""

from __future__ import annotations

import errno
import gzip
import io
import os
import socket
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_variants import create_model, list_weights
from resnet_variants.checkpoints import download, errors
from resnet_variants.checkpoints.download import fetch

from .server import DATA, OTHER_PARTS, Answer, Site, cache, left, reply


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
def test_refused_and_nothingleft(site: Site, tmp_path: Path, kind: str) -> None:
    start = time.monotonic()
    with pytest.raises((errors.WeightsUnavailableError, errors.HashError)) as refused:
        fetch(site.weights(REFUSED[kind]), progress=False)
    assert "w.pth" in str(refused.value) and str(refused.value).isprintable()
    assert left(tmp_path) == []
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("what", ["link", "pipe"])
def test_what_lies_there_is_none_of_ours(site: Site, tmp_path: Path, what: str) -> None:
    """No file of the user's is written through a link, and no pipe is waited for."""
    mine = tmp_path / "mine.txt"
    mine.write_text("dear diary")
    cache(tmp_path).mkdir(parents=True)
    part = cache(tmp_path) / ".w.pth.part"
    part.symlink_to(mine) if what == "link" else os.mkfifo(part)
    assert fetch(site.weights(reply), progress=False).read_bytes() == DATA
    assert mine.read_text() == "dear diary" and left(tmp_path) == ["w.pth"]


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
    assert left(tmp_path) == []


def test_interrupted(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(answer: Any, file: Any, *_: Any) -> None:
        file.write(answer.read(1000))
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "_copy", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(site.weights(reply), progress=False)
    assert left(tmp_path) == []


# Without a hash -----------------------------------------------------------------------------------


def test_no_hash_needs_to_be_allowed(site: Site, tmp_path: Path) -> None:
    weights = site.weights(lambda h, n: reply(h, body=b"<!DOCTYPE html>log in"), hash="unknown")
    for _ in range(2):
        with pytest.raises(errors.HashError, match="allow_unverified=True takes it"):
            fetch(weights, progress=False)
    assert site.ranges == []
    with pytest.raises(errors.HashError, match="a web page"):
        fetch(weights, progress=False, allow_unverified=True)
    assert left(tmp_path) == []
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
    assert left(tmp_path) == []


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
