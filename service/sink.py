"""Where a file's bytes go as they come: hashed and written by threads, a MiB at a time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import BinaryIO

from anyio import to_thread

WRITE_BYTES = 1024 * 1024  # collected before a thread writes them: a hop to a thread costs more than a small write


class Sink:
    """Collects bytes for ``file``, which must stay open until `flush` has returned.

    ``reserve`` is told of bytes before they are written, and may raise.
    """

    def __init__(self, file: BinaryIO, reserve: Callable[[int], None] = lambda size: None) -> None:
        self._file, self._reserve = file, reserve
        self._waiting = bytearray()
        self.digest = hashlib.sha256()
        self.size_bytes = 0  # written

    def write(self, data: bytes) -> None:
        """Collect some."""
        self._waiting += data

    async def take(self, data: bytes) -> None:
        """Collect some, and write what waits as soon as that is worth a thread."""
        self.write(data)
        if len(self._waiting) >= WRITE_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Hash and write what waits. Raises OSError where the disk refuses, and what ``reserve`` raises."""
        self._reserve(len(self._waiting))
        await in_thread(self._flush)

    def _flush(self) -> None:
        self.digest.update(self._waiting)
        view = memoryview(self._waiting)
        while view:
            view = view[self._file.write(view) :]
        self.size_bytes += len(self._waiting)
        self._waiting = bytearray()


async def in_thread(work: Callable[[], None]) -> None:
    """Do the work in a thread. Cancelled, it still waits for its end: then files are closed and removed, not while it writes."""
    working = asyncio.create_task(to_thread.run_sync(work))
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise
