"""The work: each video to a server, its vectors to disk, its entry into the index."""

from __future__ import annotations

import asyncio
import errno
import itertools
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from c3d_video.answers import Answer, Clip, Opened
from c3d_video.client import features_options
from c3d_video.commandline import SOME_FAILED, UNSERVED, USAGE, Stopped, aside
from c3d_video.errors import CONNECTION_LOST, REFUSES_ALL, C3DError
from c3d_video.extract.forms import FORMS, discard, put_in_place
from c3d_video.extract.index import Index, differences
from c3d_video.extract.rows import Rows
from c3d_video.extract.servers import Server, Servers
from c3d_video.extract.videos import Video, stat_of
from c3d_video.options import Options

# What a service that was killed or is too busy answers, and what a video may cause that kills or stops its service: such a
# video is tried again so often. A kill of the service now and then costs one try each. (No deadline is asked for here: one that
# passes is the service's own, after a minute without a clip.)
MAY_BE_THE_VIDEO = {CONNECTION_LOST, "replica_lost", "deadline_exceeded"}
MAX_TRIES = 10
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Watcher(Protocol):
    """What reports how the work goes on. Called in the event loop."""

    def started(self, video: Video) -> None:
        """A try of it begins."""

    def advanced(self, video: Video, share: float) -> None:
        """So much of it is done, 0 to 1."""

    def waiting(self, video: Video, error: C3DError) -> None:
        """It is tried again later."""

    def done(self, video: Video, entry: dict[str, Any]) -> None:
        """Its output is in place."""

    def failed(self, video: Video, entry: dict[str, Any]) -> None:
        """It has none."""


@dataclass
class Plan:
    """What to do. ``options``: of POST /features; ``about``: all that makes outputs differ, kept in the index."""

    videos: list[Video]
    outputs: dict[str, str]
    to: str
    options: Options
    about: dict[str, Any]
    num_jobs: int
    fail_fast: bool
    max_bytes: int | None = None  # the service's limit, where it tells


@dataclass
class Run:
    """One run over a plan's videos."""

    plan: Plan
    index: Index
    servers: Servers
    watcher: Watcher
    num_done: int = 0
    num_failed: int = 0
    transient: list[dict[str, Any]] = field(default_factory=list)  # failures that the next run tries again by itself
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def work(self) -> None:
        """All videos. Raises Stopped; CancelledError, after which nothing of what was begun is left at the service."""
        waiting = iter(self.plan.videos)
        workers = [asyncio.ensure_future(self._worker(waiting)) for _ in range(self.plan.num_jobs)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _worker(self, waiting: Any) -> None:
        for video in waiting:
            try:
                entry = await self._until_answered(video)
                self.index.put(entry)
                self.num_done += 1
                self.watcher.done(video, entry)
            except C3DError as error:
                self._failed(video, error)
            except BrokenPipeError:
                raise  # of standard output, not of a file in OUT
            except OSError as error:
                raise _no_room(self.index.out, error) from error

    def _failed(self, video: Video, error: C3DError) -> None:
        if error.code == "invalid_option":
            raise Stopped(f"The service refuses the options: {error.detail}", USAGE) from error
        if error.code in REFUSES_ALL:
            raise Stopped(error.detail, UNSERVED) from error
        entry = {"name": video.name, "code": error.code, "detail": error.detail, "status": error.status}
        entry |= {"request_id": error.request_id, **stat_of(video)}
        self.num_failed += 1
        if _can_pass(error) or error.code == "unreadable_file":
            self.transient.append(entry)
        else:
            self.index.put(entry)
        self.watcher.failed(video, entry)
        if self.plan.fail_fast:
            raise Stopped(f"{video.name}: {error.detail}", SOME_FAILED)

    async def _until_answered(self, video: Video) -> dict[str, Any]:
        """Its entry in the index, after as many tries as it takes. Raises C3DError for its own failure, Stopped, OSError."""
        self._check_size(video)
        for number in itertools.count(1):
            while True:
                server = await self.servers.take()
                self.watcher.started(video)
                cause: C3DError | None = None
                try:
                    return await self._once(video, server)
                except C3DError as error:
                    if not _can_pass(error):
                        raise
                    cause = error
                    self.watcher.waiting(video, error)
                finally:
                    self.servers.done(server, cause)
                if cause.code in MAY_BE_THE_VIDEO:
                    break
            if number == MAX_TRIES:
                raise cause
        raise AssertionError

    async def _once(self, video: Video, server: Server) -> dict[str, Any]:
        """One try, to the output in its place."""
        number = next(self._numbers)
        stat = stat_of(video)
        rows = Rows(self.index.work / f"{number}.rows.part")
        part = self.index.work / f"{number}.part"
        try:
            events = server.client.once("/features", video.source, features_options(self.plan.options, clips=True))
            async with aclosing(events):
                async for event in _readable(events):
                    self.servers.progressed(server)
                    if isinstance(event, Opened):
                        self._check_model(event.model)
                    elif isinstance(event, Clip):
                        rows.add(event)
                        self.watcher.advanced(video, event.progress)
                    else:
                        rows.finish(event)
            output = self.plan.outputs[video.name]
            await aside(lambda: self._write(rows, part, output))
            return _entry(video, output, rows, stat)
        finally:
            rows.discard()
            discard(part)

    def _write(self, rows: Rows, part: Path, output: str) -> None:
        FORMS[self.plan.to].write(rows, part, self.plan.about)
        put_in_place(part, self.index.out / output)

    def _check_size(self, video: Video) -> None:
        size, limit = stat_of(video).get("size"), self.plan.max_bytes
        if size is not None and limit is not None and size > limit:
            detail = f"The file has {size} bytes; the service takes {limit}. Send a shorter or a more compressed video."
            raise C3DError("body_too_large", 413, detail)

    def _check_model(self, model: dict[str, Any]) -> None:
        assert self.index.about is not None  # noqa: S101 (begun)
        others = differences(self.index.about["model"], model)
        if others:
            raise Stopped(f"A server runs another model than this folder's: {', '.join(others)} differ.", UNSERVED)


def _can_pass(error: C3DError) -> bool:
    """Whether a later try of the same video can succeed."""
    return error.is_retryable or error.code in MAY_BE_THE_VIDEO


async def _readable(events: Any) -> Any:
    """The events; a file that cannot be read is the video's own failure, not ours."""
    try:
        first = await anext(events)
    except OSError as error:
        raise C3DError("unreadable_file", None, f"The file cannot be read: {error.strerror}.") from error
    yield first
    async for event in events:
        yield event


def _entry(video: Video, output: str, rows: Rows, stat: dict[str, int]) -> dict[str, Any]:
    answer = rows.answer
    assert isinstance(answer, Answer)  # noqa: S101 (finished)
    return {
        "name": video.name,
        **stat,
        "sha256": answer.video.get("sha256"),
        "id": answer.id,
        "output": output,
        "clips": len(rows.ids),
        "seconds": answer.video.get("duration_sec"),
        "warnings": [each.code for each in answer.warnings],
    }


def _no_room(out: Path, error: OSError) -> Stopped:
    if error.errno in NO_ROOM:
        return Stopped(
            f"There is no room left in {out}. Make room and start the same command again: it goes on from here.", SOME_FAILED
        )
    return Stopped(f"{out} cannot be written: {error.strerror}.", SOME_FAILED)
