"""An answer that grows: in memory while it is small, then in a file of its request, so that slow readers hold no memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from starlette.responses import FileResponse, Response

from service.intake.source import RequestFiles
from service.intake.spool import SpoolWriter

MEMORY_BYTES = 256 * 1024  # of an answer; 1,024 connections hold 256 MiB of them at most
FILE_NAME = "answer"


class GrowingAnswer:
    """Takes an answer piece by piece. ``files`` gives its request's files, and is asked for them when they are needed."""

    def __init__(self, files: Callable[[], RequestFiles]) -> None:
        self._files, self._begun = files, bytearray()
        self._writer: SpoolWriter | None = None
        self._path = Path()
        self.num_bytes = 0

    async def add(self, piece: bytes) -> None:
        """The next piece. Raises DiskFull."""
        self.num_bytes += len(piece)
        if self._writer is not None:
            await self._writer.take(piece)
            return
        self._begun += piece
        if len(self._begun) > MEMORY_BYTES:
            files = self._files()
            self._path, self._writer = files.directory / FILE_NAME, SpoolWriter(files.create(FILE_NAME), files.reserve)
            await self._writer.take(bytes(self._begun))
            self._begun.clear()

    async def response(self, media_type: str, headers: Mapping[str, str]) -> Response:
        """All of it. Raises DiskFull."""
        if self._writer is None:
            return Response(bytes(self._begun), media_type=media_type, headers=dict(headers))
        await self._writer.flush()
        return FileResponse(self._path, media_type=media_type, headers=headers)
