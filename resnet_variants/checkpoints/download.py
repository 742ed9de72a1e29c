"""Published files: from a local directory, from the cache, or from their URL, checked."""

from __future__ import annotations

import contextlib
import email.utils
import errno
import functools
import glob
import hashlib
import http.client
import io
import os
import re
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from ..builders import build_on
from ..registry import model_config
from .catalogue import Weights, list_weights
from .errors import CheckpointError, HashError, WeightsUnavailableError
from .files import read_checkpoint

LOCAL_DIR = "RESNET_VARIANTS_WEIGHTS"  # a directory with files that were downloaded before
OFFLINE = "RESNET_VARIANTS_OFFLINE"  # any value but 0: never use the network
_TIMEOUT = 30.0  # seconds without an answer, or with fewer than _SLOWEST bytes a second
_SLOWEST = 1000
_LIMIT = 6 * 3600.0  # seconds for a file, all attempts and waits together
_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds before each further attempt
_AGAIN = (429, 500, 502, 503, 504)  # answers of a server that is busy


class _BrokenOffError(ConnectionError):
    """An answer that ended too early, or a server that asks to be tried again."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


def cache_dir() -> Path:
    """Where downloads are kept: PyTorch's folder of checkpoints, shared with torch.hub."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def fetch(weights: Weights, *, progress: bool = True, allow_unverified: bool = False) -> Path:
    """The file of published weights, downloaded if need be, its hash checked.

    Looked for in the directory that the environment variable RESNET_VARIANTS_WEIGHTS names, then
    in the cache, then at its URL unless RESNET_VARIANTS_OFFLINE is set. A server that is busy or
    breaks off is asked again, with growing waits, for what is missing. Two processes that ask at
    once download once; a download that fails leaves nothing behind. Weights without a published
    hash are taken with ``allow_unverified`` alone. Raises ``WeightsUnavailableError``, which says
    which file to put where, and ``HashError``.
    """
    name = weights.filename
    if not (weights.verifiable or allow_unverified):
        others = [each.name for each in list_weights(weights.model) if each.verifiable]
        raise HashError(
            f"{weights.name}: no hash of {weights.url} is published, so nothing tells whether a "
            "file is the authors'. allow_unverified=True takes it as it is"
            + (f"; with a hash there are {', '.join(others)}." if others else ".")
        )
    if weights.packaged is not None:
        _verify(weights.packaged, weights, "is not the file of this package (install it again)")
        return weights.packaged
    folders = [Path(local).expanduser()] if (local := os.environ.get(LOCAL_DIR)) else []
    cache = cache_dir()
    for path in (folder / name for folder in [*folders, cache]):
        if path.is_file():
            _verify(path, weights, f"in {path.parent} is not the published file (delete it)")
            return path
    if os.environ.get(OFFLINE, "0") not in ("", "0"):
        raise WeightsUnavailableError(_where_to_put(weights, "the network is switched off", cache))
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / f".{name}.lock"):
            if not (cache / name).is_file():  # another process may have been faster
                _download(weights, cache, progress)
    except CheckpointError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = str(getattr(error, "reason", None) or str(error) or type(error).__name__)
        # a server may have written it: no lines of its own, nothing that steers a terminal
        why = "".join(each if each.isprintable() else " " for each in why)[:200].strip()
        what = f"the download failed ({why})"
        if isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EROFS:
            what = f"the cache {cache} cannot be written"
        raise WeightsUnavailableError(_where_to_put(weights, what, cache)) from error
    return cache / name


def _where_to_put(weights: Weights, why: str, cache: Path) -> str:
    digits = weights.hash.replace(":", " ") if weights.hash != "unknown" else "of unknown hash"
    return (
        f"{weights.name}: {why}. Put the file {weights.filename} ({digits}…), from {weights.url}, "
        f"into {cache}, or into a directory of your own named by the environment variable "
        f"{LOCAL_DIR}."
    )


def _verify(path: Path, weights: Weights, problem: str) -> None:
    """Compare a file's hash. One without a hash can be read as weights, at least."""
    kind, _, digits = weights.hash.partition(":")
    if not digits:
        try:
            read_checkpoint(path, key=weights.key)
        except CheckpointError as error:
            raise HashError(f"{weights.filename} {problem}: {error}") from error
        return
    if kind not in ("sha256", "sha1"):
        raise HashError(f"{weights.name}: {weights.hash!r} is no sha256 or sha1.")
    digest = hashlib.new(kind)
    try:
        for chunk in _chunks(path, weights):
            digest.update(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise HashError(f"{weights.filename} {problem}: it is no whole archive.") from error
    found = digest.hexdigest()
    if not found.startswith(digits):
        raise HashError(
            f"{weights.filename} {problem}: its {kind} starts with {found[: len(digits)]}, "
            f"published is {digits}."
        )


def _chunks(path: Path, weights: Weights) -> Iterator[bytes]:
    """The bytes that were hashed: those inside of a zip archive around one file."""
    with contextlib.ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(path.open("rb"))
        if weights.filename.endswith(".zip") and zipfile.is_zipfile(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            infos = archive.infolist()
            if len(infos) == 1 and infos[0].file_size <= _most(weights):
                file = stack.enter_context(archive.open(infos[0]))
        while chunk := file.read(1 << 20):
            yield chunk


def _most(weights: Weights) -> int:
    """Bytes that a file of these weights can have: with averages and an optimizer's state, in
    float64. A server that sends more sends something else."""
    model = build_on(model_config(weights.model).replace(**weights.changes), device="meta")
    numbers: int = sum(tensor.numel() for tensor in model.state_dict().values())
    return 3 * 8 * numbers + (1 << 26)


def _download(weights: Weights, cache: Path, progress: bool) -> None:
    """Into the cache, whole and checked or not at all. The caller holds the lock, so what lies
    there is of processes that were killed; what this function begins with is taken up again."""
    name = weights.filename
    part = cache / f".{name}.part"
    for stale in cache.glob(f".{glob.escape(name)}.*.part"):
        stale.unlink(missing_ok=True)
    if not weights.verifiable or part.is_symlink() or not part.is_file():
        # nothing would tell that the halves are of one file, or it is none of ours
        part.unlink(missing_ok=True)
    try:
        joined = _attempts(weights, part, progress)
        try:
            _verify(part, weights, "arrived broken or was changed")
        except HashError:
            if not joined:
                raise
            part.unlink()  # its parts were of different files
            _attempts(weights, part, progress)
            _verify(part, weights, "arrived broken or was changed")
        os.replace(part, cache / name)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _attempts(weights: Weights, part: Path, progress: bool) -> bool:
    """Ask until the file is whole, with growing waits in between. Whether its beginning was there
    before the last answer."""
    end = time.monotonic() + _LIMIT
    joined = False
    for wait in (*_WAITS, None):
        try:
            with part.open("ab") as file:
                joined = joined or file.tell() > 0
                _receive(weights, file, end, weights.filename if progress else None)
                return joined
        except (
            _BrokenOffError,
            http.client.IncompleteRead,
            ConnectionResetError,
            TimeoutError,
        ) as e:
            if wait is None:
                raise
            wait = max(wait, getattr(e, "wait", 0.0))
            if time.monotonic() + wait > end:
                raise
            time.sleep(wait)
    raise AssertionError("the last attempt raises")


def _receive(weights: Weights, file: IO[bytes], end: float, label: str | None) -> None:
    """What is still missing of a file, from its server."""
    have = file.tell()
    asked = {"User-Agent": "resnet-variants"} | ({"Range": f"bytes={have}-"} if have else {})
    most = _most(weights)
    opener = urllib.request.build_opener(_Redirects(), _Http(end, most), _Https(end, most))
    if urlsplit(weights.url).scheme not in ("https", "http"):
        raise ValueError(f"{weights.url} is neither https nor http")
    try:
        answer = opener.open(urllib.request.Request(weights.url, headers=asked), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # there is nothing behind what we have: begin again
            file.truncate(0)
            raise _BrokenOffError("the server has no such part") from error
        if error.code in _AGAIN:
            seconds = _seconds(error.headers.get("Retry-After", ""))
            raise _BrokenOffError(f"{error.code} {error.reason}", seconds) from error
        raise
    with answer:
        whole = 0
        if answer.status == 206:
            found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != have:
                file.truncate(0)
                raise _BrokenOffError("the server sends another part than was asked for")
            whole = int(found[2])
        elif have:  # it knows nothing of parts
            file.truncate(0)
            have = 0
        said = answer.headers.get("Content-Length")
        if said is not None and not (said.isascii() and said.isdigit()):
            raise ValueError(f"the server says that the file has {said[:40]!r} bytes")
        total = whole or (have + int(said) if said is not None else 0)
        if total > most:
            raise ValueError(f"{total:,} bytes, and weights of this network have {most:,} at most")
        _copy(answer, file, have, total, most, label)


_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", re.ASCII)


def _seconds(wait: str) -> float:
    """What ``Retry-After`` says: seconds, or a time of day."""
    if wait.isascii() and wait.isdigit():
        return float(wait)
    try:
        until = email.utils.parsedate_to_datetime(wait)
        return max(0.0, until.timestamp() - time.time())
    except (ValueError, OverflowError, OSError):
        return 0.0


def _copy(
    answer: Any, file: IO[bytes], have: int, total: int, most: int, label: str | None
) -> None:
    """The body of an answer."""
    shown = 0.0
    while chunk := answer.read1(1 << 18):
        file.write(chunk)
        have += len(chunk)
        if have > most:
            raise ValueError(f"more than the {most:,} bytes that such weights have at most")
        if label and time.monotonic() - shown > 0.5:
            shown = time.monotonic()
            _show(label, have, total)
    if label:
        _show(label, have, total, end="\n")
    if total and have != total:
        raise _BrokenOffError(f"broke off after {have:,} of {total:,} bytes")


class _Watched(io.RawIOBase):
    """What a server sends, headers and all, as long as it comes fast enough, in time, and is not
    without end."""

    def __init__(self, source: Any, end: float, most: int) -> None:
        self._source, self._end, self.most = source, end, most
        self._count = self._before = 0
        self._since = time.monotonic()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count: int | None = self._source.readinto(buffer)
        self._count += count or 0
        now = time.monotonic()
        if self._count > self.most:
            raise ValueError(f"an answer of more than {self.most:,} bytes")
        if now > self._end:
            raise TimeoutError(f"not whole after {_LIMIT:.0f} s")
        if now - self._since > _TIMEOUT:
            if self._count - self._before < _SLOWEST * (now - self._since):
                raise _BrokenOffError(f"fewer than {_SLOWEST} bytes a second")
            self._since, self._before = now, self._count
        return count

    def close(self) -> None:
        self._source.close()
        super().close()


_HEADERS = 1 << 20  # bytes before a body, and what of it is read with them


class _Answer(http.client.HTTPResponse):
    def __init__(self, *args: Any, end: float, most: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watched = _Watched(self.fp.detach(), end, _HEADERS)
        self._body = 8 * most  # chunks of one byte are framed by five
        self.fp = io.BufferedReader(self._watched)

    def begin(self) -> None:
        super().begin()
        self._watched.most = self._body


class _Watching:
    """Answers are watched from their first byte."""

    def __init__(self, end: float, most: int) -> None:
        super().__init__()
        self._answer = functools.partial(_Answer, end=end, most=most)

    def _connect(
        self, kind: type[http.client.HTTPConnection], *args: Any, **kwargs: Any
    ) -> http.client.HTTPConnection:
        made = kind(*args, **kwargs)
        made.response_class = self._answer  # type: ignore[assignment]
        return made


class _Http(_Watching, urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(functools.partial(self._connect, http.client.HTTPConnection), req)


class _Https(_Watching, urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(functools.partial(self._connect, http.client.HTTPSConnection), req)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to https alone; from http also to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        fp.close()  # its body, which may have no end, would be read
        allowed = {"https", urlsplit(req.full_url).scheme}
        if urlsplit(newurl).scheme not in allowed:
            raise ValueError(f"the server sends us to {newurl[:200]}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _show(label: str, done: int, total: int, end: str = "") -> None:
    share = f"{100 * done / total:4.0f} %" if total else ""
    print(f"\r{label}: {done / 1e6:.1f} MB {share}", end=end, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time. The lock belongs to the open file, so it ends with its process."""
    with contextlib.ExitStack() as stack:
        while True:
            file = stack.enter_context(path.open("a"))
            if sys.platform == "win32":
                import msvcrt

                while True:  # msvcrt gives up after ten seconds
                    with contextlib.suppress(OSError):
                        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                        break
                break
            try:
                import fcntl
            except ModuleNotFoundError:  # neither Windows nor POSIX
                break
            fcntl.flock(file, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    break
            file.close()  # whoever had the lock has removed this file: the name is another's now
        try:
            yield  # closing the file unlocks it
        finally:
            with contextlib.suppress(OSError):
                path.unlink()
