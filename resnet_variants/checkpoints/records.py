"""The numbers of a file: where they lie, and how they are read into memory of their own."""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

import torch
from torch import Tensor

from .pickle_names import MalformedError

_THREADS = 3  # a checksum takes twice as long as reading, and one thread reads at a time
_MANY = 1 << 20  # bytes that are worth a second thread


@dataclass(frozen=True, slots=True)
class Record:
    """Where the numbers of a storage lie."""

    offset: int
    nbytes: int
    crc: int | None = None


def read_records(file: IO[bytes], records: Iterable[Record]) -> list[Tensor]:
    """The bytes of each record. Raises MalformedError where the file ends before, or a checksum
    is not that of the bytes."""
    records = list(records)
    read = [torch.empty(record.nbytes, dtype=torch.uint8) for record in records]
    left = list(zip(records, read, strict=True))[::-1]
    turn = threading.Lock()

    def work() -> None:
        try:
            while True:
                with turn:
                    if not left:
                        return
                    record, numbers = left.pop()
                    file.seek(record.offset)
                    if file.readinto(numbers.numpy()) != record.nbytes:  # type: ignore[attr-defined]
                        raise MalformedError("it is cut off")
                if record.crc is not None and zlib.crc32(numbers.numpy().data) != record.crc:
                    raise MalformedError(
                        "a checksum is wrong: its bytes were changed after it was written"
                    )
        except BaseException:
            left.clear()  # of no use any more, and another thread need not go on
            raise

    many = sum(record.nbytes for record in records) > _MANY
    threads = min(_THREADS, os.cpu_count() or 1) if many else 1
    with ThreadPoolExecutor(threads) as pool:
        others = [pool.submit(work) for _ in range(threads - 1)]
        work()
        for other in others:
            other.result()
    return read
