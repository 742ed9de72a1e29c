"""Checksums, which take longer than reading: compared beside what is done with the numbers."""

from __future__ import annotations

import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from torch import Tensor

from .pickle_names import MalformedError

_LARGE = 1 << 16  # bytes that are worth a second thread


class Checksums:
    """Compares the checksums of numbers that were read; nothing made of the numbers counts before
    ``wait`` has returned."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._begun: list[tuple[Future[None], Tensor, int]] = []

    def __enter__(self) -> Checksums:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, numbers: Tensor, crc: int | None) -> None:
        """Compare the checksum of some bytes, which must not be changed before ``wait``."""
        if crc is None:
            return
        if numbers.nbytes < _LARGE:
            compare(numbers, crc)
        else:
            self._begun.append((self._pool.submit(compare, numbers, crc), numbers, crc))

    def wait(self) -> None:
        """Until all are compared: the other thread goes from the first on, this one from the last.
        Raises MalformedError for one that is wrong."""
        while self._begun:
            future, numbers, crc = self._begun.pop()
            if future.cancel():
                compare(numbers, crc)
            else:
                future.result()


def compare(numbers: Tensor, crc: int | None) -> None:
    """Refuse bytes that are not those of their checksum, where there is one."""
    if crc is not None and zlib.crc32(numbers.numpy().data) != crc:
        raise MalformedError("a checksum is wrong: its bytes were changed after it was written")
