"""Servers that are slow, busy or forgetful: the whole published file comes in the end."""

from __future__ import annotations

import time
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from resnet_variants.checkpoints import download, errors
from resnet_variants.checkpoints.download import fetch

from .server import DATA, OTHER_PARTS, Answer, Site, cache, left, ranged, reply


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
    assert left(tmp_path) == ["w.pth"]


def test_only_what_is_missing_is_asked_for(site: Site) -> None:
    fetch(site.weights(ranged), progress=False)
    assert site.ranges == [None, "bytes=100000-", "bytes=200000-"]


@pytest.mark.parametrize("begin", [DATA[:1000], b"of another file", DATA + b"more"])
def test_what_a_killed_processleft(site: Site, tmp_path: Path, begin: bytes) -> None:
    cache(tmp_path).mkdir(parents=True)
    (cache(tmp_path) / ".w.pth.part").write_bytes(begin)
    (cache(tmp_path) / ".w.pth.deadbeef.part").write_bytes(b"x")
    (cache(tmp_path) / ".other.pth.part").write_bytes(b"x")
    weights = site.weights(lambda h, n: ranged(h, n, cut=len(DATA)))
    assert fetch(weights, progress=False).read_bytes() == DATA
    assert left(tmp_path) == [".other.pth.part", "w.pth"]
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
