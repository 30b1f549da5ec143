"""The answer as NDJSON: a line for the video, one for each clip as soon as it is computed, one for the whole or for what failed.

Nothing is computed ahead of a client that does not read: the next clip is asked for when the last line has been taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.answers.answer import ClipLine, HeartbeatLine, SummaryLine, VideoLine
from service.answers.json_answer import to_json
from service.answers.result import Result
from service.errors import ServiceError, unforeseen
from service.http.disconnect import unless_left
from service.http.problems import last_line
from service.options import NDJSON
from service.pipeline import ClipDone, Opened, Summary

Step = TypeVar("Step")
Line = VideoLine | ClipLine | HeartbeatLine | SummaryLine

HEARTBEAT_S = 15.0  # proxies close a connection that is silent for 30 to 60 s; a line twice as often keeps it open


class Lines(StreamingResponse):
    """Lines on their way. The work ends at once where the client leaves."""

    def __init__(self, lines: AsyncGenerator[bytes, None], headers: Mapping[str, str]) -> None:
        """``headers``: beside those of every stream."""
        # The last header has nginx pass each line on as it comes.
        own = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(lines, media_type=NDJSON, headers={**headers, **own})
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ClientDisconnect."""
        async with aclosing(self._lines):
            await unless_left(Request(scope, receive), self.stream_response(send))


async def lines(result: Result, opened: Opened, steps: AsyncIterator[Opened | ClipDone | Summary]) -> AsyncGenerator[bytes, None]:
    """All lines; ``steps`` go on behind ``opened``. What goes wrong is the last line."""
    yield _written(_video_line(result, opened))
    try:
        async with aclosing(with_heartbeats(steps, HEARTBEAT_S)) as beating:
            async for step in beating:
                match step:
                    case ClipDone():
                        result.add(step)
                        yield _written(_clip_line(result, opened, step))
                    case Summary():
                        yield _written(_summary_line(result, opened, step))
                    case None:
                        yield _written(HeartbeatLine(type="heartbeat"))
    except ServiceError as error:
        yield last_line(error, result.record)
    except Exception as error:  # noqa: BLE001 (the log gets it)
        yield last_line(unforeseen(error), result.record)


def _video_line(result: Result, opened: Opened) -> VideoLine:
    return {
        "type": "video",
        **result.ids(),
        "num_clips": opened.num_clips,
        "model": result.serving.model,
        "video": {**result.video(opened.info), "num_frames": {"header": opened.info.num_frames_header}},
        "warnings": result.warnings(opened.info.warnings()),
    }


def _clip_line(result: Result, opened: Opened, done: ClipDone) -> ClipLine:
    progress = min(1.0, result.num_clips / opened.num_clips)
    return {"type": "clip", **result.clip(done), "progress": round(progress, 4)}


def _summary_line(result: Result, opened: Opened, summary: Summary) -> SummaryLine:
    return {"type": "summary", **result.ids(), **result.outputs(), **result.provenance(opened.info, summary)}


def _written(line: Line) -> bytes:
    return to_json(line) + b"\n"


async def with_heartbeats(steps: AsyncIterator[Step], heartbeat_s: float) -> AsyncGenerator[Step | None, None]:
    """The steps, and None whenever none has come for ``heartbeat_s``."""
    while True:
        coming = asyncio.ensure_future(anext(steps))
        try:
            while not coming.done():
                await asyncio.wait([coming], timeout=heartbeat_s)
                if not coming.done():
                    yield None
            step = coming.result()
        except StopAsyncIteration:
            return
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        yield step
