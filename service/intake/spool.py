"""Where the files of running requests lie: a directory that is this process's own, and what earlier processes left of theirs."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread

from service.errors import DiskFull

log = logging.getLogger(__name__)

PREFIX = "c3d-spool-"
Reserve = Callable[[int], None]  # called with the bytes about to be written; raises DiskFull where they are too many


class Spool:
    """The directory, and how many bytes of ``max_bytes`` its files hold. Used from the event loop's thread alone."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path, self._max_bytes = path, max_bytes
        self.used_bytes = 0

    @contextmanager
    def share(self) -> Iterator[Reserve]:
        """What one request's files take of it, until they are gone with the context."""
        held = 0

        def reserve(size: int) -> None:
            nonlocal held
            if self.used_bytes + size > self._max_bytes:
                raise DiskFull("The service has no room left for uploads. Try again later, or ask another instance.")
            self.used_bytes += size
            held += size

        try:
            yield reserve
        finally:
            self.used_bytes -= held


@contextmanager
def opened(parent: Path | None, max_bytes: int) -> Iterator[Spool]:
    """A fresh private directory under ``parent`` (None: the system's temporary directory), gone with the context.

    It is locked while it lives. One that nobody has locked is what a crash left, and is removed first: a lock ends with its
    process, whatever ended that.
    """
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    else:
        parent = Path(tempfile.gettempdir())
    _sweep(parent)
    own, lock = _locked_directory(parent)
    try:
        yield Spool(own, max_bytes)
    finally:
        shutil.rmtree(own, ignore_errors=True)
        os.close(lock)


def _locked_directory(parent: Path) -> tuple[Path, int]:
    """A fresh directory, and the descriptor that its lock lives by.

    Between making and locking it, another start may take it for a crash's and remove it: then there is another try. Nothing is
    locked that others can lock too, as they can the parent.
    """
    while True:
        own = Path(tempfile.mkdtemp(dir=parent, prefix=PREFIX))
        with suppress(FileNotFoundError):
            lock = os.open(own, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if own.exists():
                return own, lock
            os.close(lock)


def _sweep(parent: Path) -> None:
    for left in parent.glob(f"{PREFIX}*"):
        try:
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # another user's, or gone already
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
            log.info("removed what an earlier process left in %s", left)
        except BlockingIOError:
            log.debug("%s is in use", left)
        finally:
            os.close(lock)


WRITE_BYTES = 1024 * 1024  # collected before a thread writes them: a hop to a thread costs more than a small write


class SpoolWriter:
    """Collects bytes for ``file``, which must stay open until `flush` has returned.

    ``reserve`` is called with a number of bytes before they are written, and may raise.
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
    """Do the work in a thread. If it is cancelled, it still waits for the thread: no file is closed while it is written."""
    working = asyncio.create_task(to_thread.run_sync(work))
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise
