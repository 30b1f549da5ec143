"""Which server a video goes to: the one with the least to do, of those that answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from c3d_video.async_client import AsyncClient
from c3d_video.commandline import UNSERVED, Stopped
from c3d_video.errors import NO_SERVICE, C3DError
from c3d_video.retry import pause_s

GROWTH = 0.1  # by which a success raises a server's limit: one refusal in about ten videos finds room that came free


@dataclass
class Server:
    """One service, and what we know of it. ``limit``: how many videos it takes from us at once, learnt from refusals."""

    client: AsyncClient
    limit: float
    num_running: int = 0
    num_failures: int = 0  # in a row
    paused_until: float = 0.0
    info: dict[str, Any] = field(default_factory=dict)


class Servers:
    """All servers. ``patience_s``: seconds without any progress at all until Stopped."""

    def __init__(self, urls: Sequence[str], api_key: str | None, num_jobs: int, patience_s: float) -> None:
        self.all = [Server(AsyncClient(url, api_key), num_jobs) for url in urls]
        self._num_jobs, self._patience_s = num_jobs, patience_s
        self._progressed = time.monotonic()

    async def start(self) -> dict[str, Any]:
        """Ask each what it runs, waiting for those that warm up; the first one's answer. Raises Stopped."""
        problems: list[C3DError] = []
        for server in self.all:
            try:
                server.info = await self._info(server)
            except C3DError as error:
                problems.append(error)
                server.paused_until = time.monotonic() + pause_s(error, 1)
        found = [server.info for server in self.all if server.info]
        if not found:
            raise Stopped(problems[0].detail, UNSERVED)
        return found[0]

    async def take(self) -> Server:
        """The server for the next video, once there is one. Raises Stopped."""
        while True:
            now = time.monotonic()
            free = [each for each in self.all if each.num_running < max(1, int(each.limit)) and each.paused_until <= now]
            if free:
                server = min(free, key=lambda each: each.num_running)
                server.num_running += 1
                return server
            self._check_patience(now)
            await asyncio.sleep(0.05)

    def progressed(self, server: Server) -> None:
        """A line came from it."""
        self._progressed = time.monotonic()
        server.num_failures = 0

    def done(self, server: Server, error: C3DError | None) -> None:
        """A video has left it; ``error``: why without an answer, where the server is the cause."""
        server.num_running -= 1
        if error is None:
            server.limit, server.paused_until = min(self._num_jobs, server.limit + GROWTH), 0.0
            return
        server.num_failures += 1
        server.paused_until = time.monotonic() + pause_s(error, server.num_failures)
        if error.code == "overloaded":
            server.limit = max(1, server.num_running)
        self._check_patience(time.monotonic(), error)

    async def close(self) -> None:
        """End all connections."""
        for server in self.all:
            await server.client.close()

    def _check_patience(self, now: float, error: C3DError | None = None) -> None:
        busy = any(server.num_running for server in self.all)
        if now - self._progressed > self._patience_s and not (busy and error is None):
            why = error.detail if error else "No server takes videos."
            raise Stopped(f"No progress for {self._patience_s:.0f} s. {why}", UNSERVED)

    async def _info(self, server: Server) -> dict[str, Any]:
        number = 0
        while True:
            try:
                return await _info_with_model(server)
            except C3DError as error:
                number += 1
                self._check_patience(time.monotonic(), error)
                if error.code == NO_SERVICE or not error.is_retryable:
                    raise
                await asyncio.sleep(pause_s(error, number))


async def _info_with_model(server: Server) -> dict[str, Any]:
    """What the server runs. Raises C3DError, also where it has no network yet and so tells its limits alone."""
    info = await server.client.info()
    if "model" not in info:
        raise C3DError(str(info.get("status", "warming")), 503, f"{server.client.url} has loaded no network yet.")
    return info
