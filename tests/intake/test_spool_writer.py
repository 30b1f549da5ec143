"""Bytes reach the file, whole and hashed, and no thread writes to a file that is closed."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest

from service.intake.spool import WRITE_BYTES, SpoolWriter


def test_what_is_taken_is_written_and_hashed(tmp_path: Path) -> None:
    pieces = [bytes([n]) * size for n, size in enumerate((0, 1, WRITE_BYTES - 1, 3 * WRITE_BYTES, 5))]

    async def run() -> SpoolWriter:
        with (tmp_path / "file").open("xb", buffering=0) as file:
            writer = SpoolWriter(file)
            for piece in pieces:
                await writer.take(piece)
            await writer.flush()
            return writer

    writer, content = asyncio.run(run()), b"".join(pieces)
    assert (tmp_path / "file").read_bytes() == content
    assert writer.size_bytes == len(content)
    assert writer.digest.hexdigest() == hashlib.sha256(content).hexdigest()


class Short:
    """A file that takes a few bytes at a time, then is full."""

    def __init__(self, room: int) -> None:
        self.room, self.content = room, b""

    def write(self, data: Any) -> int:
        if len(self.content) >= self.room:
            raise OSError(errno.ENOSPC, "full")
        taken = bytes(data[:7])
        self.content += taken
        return len(taken)


def test_short_writes_go_on_and_a_full_disk_is_an_error() -> None:
    async def run(room: int) -> bytes:
        file = Short(room)
        writer = SpoolWriter(file)  # type: ignore[arg-type]
        writer.write(b"0123456789" * 5)
        await writer.flush()
        return file.content

    assert asyncio.run(run(100)) == b"0123456789" * 5
    with pytest.raises(OSError, match="full"):
        asyncio.run(run(20))


def test_a_cancelled_writer_waits_for_its_thread() -> None:
    inside, go_on = threading.Event(), threading.Event()
    written: list[bytes] = []

    class Slow:
        def write(self, data: Any) -> int:
            inside.set()
            go_on.wait()
            written.append(bytes(data))
            return len(data)

    async def run() -> None:
        writer = SpoolWriter(Slow())  # type: ignore[arg-type]
        writer.write(b"data")
        task = asyncio.create_task(writer.flush())
        await asyncio.to_thread(inside.wait)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert written == [b"data"]

    asyncio.run(run())
