"""The answer as NDJSON: a line for the video, one for each clip as soon as it is computed, one for the whole or for what failed.

Nothing is computed ahead of a client that does not read: the next clip is asked for when the last line has been taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, NamedTuple, TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.answers.json_answer import Job, to_json
from service.errors import DeadlineExceeded, Internal, ServiceError
from service.http.disconnect import unless_left
from service.http.problems import last_line
from service.options import NDJSON
from service.pipeline import ClipDone, Opened, Summary

Step = TypeVar("Step")

HEARTBEAT_S = 15.0  # proxies close a connection that is silent for 30 to 60 s; a line twice as often keeps it open
IDLE_S = 60.0  # without a clip: a batch takes seconds at most, so the queue is longer than any client should wait for


class Patience(NamedTuple):
    """How long a stream may wait, in seconds: in all (None: without a limit), for its next line, and for its next clip."""

    total_s: float | None = None
    heartbeat_s: float = HEARTBEAT_S
    idle_s: float = IDLE_S


class Lines(StreamingResponse):
    """Lines on their way. The work ends at once where the client leaves."""

    def __init__(self, lines: AsyncGenerator[bytes, None]) -> None:
        # The last header has nginx pass each line on as it comes.
        super().__init__(lines, media_type=NDJSON, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ClientDisconnect."""
        async with aclosing(self._lines):
            await unless_left(Request(scope, receive), self.stream_response(send))


async def lines(
    job: Job, opened: Opened, steps: AsyncIterator[Opened | ClipDone | Summary], patience: Patience
) -> AsyncGenerator[bytes, None]:
    """All lines; ``steps`` go on behind ``opened``. What goes wrong is the last line."""
    yield _line("video", job.beginning(opened))
    try:
        async with aclosing(_patiently(steps, patience)) as patient:
            async for step in patient:
                match step:
                    case ClipDone():
                        job.result.add(step)
                        progress = min(1.0, job.result.num_clips / opened.num_clips)
                        yield _line("clip", {**job.result.clip(step), "progress": round(progress, 4)})
                    case Summary():
                        yield _line("summary", {**job.result.body(), **job.ending(opened, step)})
                    case None:
                        yield _line("heartbeat", {})
    except ServiceError as error:
        yield last_line(error, job.record)
    except Exception as error:  # noqa: BLE001 (the log gets it)
        yield last_line(Internal.because(error), job.record)


def _line(kind: str, content: dict[str, Any]) -> bytes:
    return to_json({"type": kind, **content}) + b"\n"


async def _patiently(steps: AsyncIterator[Step], patience: Patience) -> AsyncGenerator[Step | None, None]:
    """The steps, and None whenever none has come for a while. Raises DeadlineExceeded."""
    clock = asyncio.get_running_loop().time
    end = clock() + (patience.total_s or float("inf"))
    while True:
        coming = asyncio.ensure_future(anext(steps))
        until = min(end, clock() + patience.idle_s)
        try:
            while not coming.done():
                await asyncio.wait([coming], timeout=max(0.0, min(patience.heartbeat_s, until - clock())))
                if not coming.done():
                    if clock() >= until:
                        raise _too_late(patience, in_all=until == end)
                    yield None
            step = coming.result()
        except StopAsyncIteration:
            return
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        yield step


def _too_late(patience: Patience, *, in_all: bool) -> DeadlineExceeded:
    if in_all:
        return DeadlineExceeded(f"The video was not done within {patience.total_s:g} s. Send a shorter part of it.")
    return DeadlineExceeded(f"No clip was done for {patience.idle_s:g} s. The service has too much to do: try again later.")
