"""Videos become rows: the service's own stages, read as the client reads a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from c3d_video.answers import Answer, Clip, event_of
from c3d_video.commandline import UNSERVED, USAGE, Stopped, UsageError
from c3d_video.errors import C3DError
from c3d_video.extract.forms import provenance
from c3d_video.extract.index import identity_of
from c3d_video.protocol import is_url, line_of
from corpus import listing, parts
from corpus.out import Out
from corpus.parts import Row
from service.commands import engine
from service.commands.engine import Engine, Unreadable
from service.errors import InvalidOption
from service.lifecycle.loading import LoadNetwork, load_network
from service.options import FeaturesOptions, read_options
from service.settings import Settings

PIECE_BYTES = 1024 * 1024
MAX_DEATHS = 2  # of workers, while this one video was at work: it gets a row that says so and is not tried again
KILLED = Row("", "worker_killed", "The worker died each time on this video, perhaps for lack of memory.")


@dataclass(frozen=True)
class Plan:
    """All that makes a worker, wherever it is made.

    ``root``, ``options`` and ``shard``: of `Out`; ``num_jobs``: videos at once.
    """

    root: Path
    options: dict[str, Any]
    shard: tuple[int, int] | None
    num_jobs: int
    allow_stand_in: bool
    load: LoadNetwork = load_network
    mark: str = ""  # of `Out.begin`

    def out(self) -> Out:
        """Where its rows go."""
        return Out(self.root, self.options, self.shard)

    def features(self) -> FeaturesOptions:
        """What is asked of each video. Raises UsageError."""
        with_clips = bool(self.options.get("clips"))
        asked = {name: str(value) for name, value in self.options.items() if name != "clips"}
        asked |= {"encoding_format": "base64", "vectors": "all" if with_clips else "video"}
        asked |= {"include": "clips"} if with_clips else {}
        try:
            found = read_options(FeaturesOptions, list(asked.items()))
        except InvalidOption as error:
            raise UsageError(str(error)) from error
        if len(found.layer) > 1:
            raise UsageError("--layer: a row has one descriptor. Give each layer an OUT of its own.")
        return found


class Worker:
    """A loaded network, and batches of videos that pass it. To be entered."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._out, self._settings = plan, plan.out(), Settings()
        self._places = asyncio.Semaphore(plan.num_jobs)
        self._with_clips = bool(plan.options.get("clips"))
        self._features = plan.features()
        self._stack = AsyncExitStack()
        self._engine: Engine

    async def __aenter__(self) -> Worker:
        """Raises ServiceError where there is no network, Stopped for stand-ins, UsageError where OUT holds another one's rows."""
        self._engine = await self._stack.enter_async_context(engine.opened(self._settings, self._plan.load))
        if self._engine.info["model"].get("weights") == "stand-in" and not self._plan.allow_stand_in:
            await self._stack.aclose()
            raise Stopped(
                "The weights are stand-ins, whose features mean nothing. Give it real ones, or --allow-stand-in.", UNSERVED
            )
        self._out.check_model(identity_of(dict(self._engine.info)))
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._stack.aclose()

    async def batch(self, sources: list[str], on_row: Callable[[Row], None] = lambda _row: None) -> list[Row]:
        """All of them, written to the batch's part. Raises OSError, and C3DError for what is no video's own fault."""
        attempts = self._out.attempts(sources)

        async def one(source: str) -> Row:
            async with self._places:
                attempts.begins(source)
                row = await self._row(source)
                attempts.ended(source)
            on_row(row)
            return row

        rows: dict[str, Row] = {}
        for source in [each for each in sources if attempts.deaths.get(each)]:  # one at a time: who dies now has done it
            if attempts.deaths[source] >= MAX_DEATHS:
                rows[source] = Row(source, KILLED.code, KILLED.detail)
                on_row(rows[source])
            else:
                rows[source] = await one(source)
        others = [each for each in sources if each not in rows]
        rows |= dict(zip(others, await _all([one(each) for each in others]), strict=True))
        found = [rows[each] for each in sources]
        if not self._out.is_running(self._plan.mark):
            raise Stopped("A later run on the same OUT has taken over.", USAGE)
        part = self._out.part(sources)
        await asyncio.to_thread(parts.write, found, part, self._out.work, self._features.layer[0], with_clips=self._with_clips)
        attempts.forget()
        return found

    async def _row(self, source: str) -> Row:
        clips: list[Clip] = []
        num_clips = 0
        try:
            async with self._here(source) as video, aclosing(self._engine.lines(video, self._features)) as lines:
                async for line in lines:
                    event = event_of(line_of(line, None))
                    if isinstance(event, Clip):
                        num_clips += 1
                        clips += [event] if self._with_clips else []
                    elif isinstance(event, Answer):
                        return self._done(source, event, clips, num_clips)
        except C3DError as error:
            if error.is_retryable:
                raise
            return Row(source, error.code, error.detail)
        except Unreadable as error:
            return Row(source, "unreadable_file", str(error))
        raise AssertionError

    def _done(self, source: str, answer: Answer, clips: list[Clip], num_clips: int) -> Row:
        row = Row(source, id=answer.id, sha256=answer.video["sha256"], size=answer.video["size_bytes"], clips=num_clips)
        row.descriptor, row.warnings = answer.descriptor, [each.code for each in answer.warnings]
        row.provenance = provenance(answer, self._out.options)
        if self._with_clips:
            row.clip_features = np.stack([clip.descriptor for clip in clips if clip.descriptor is not None])
            row.clip_start_sec = np.array([clip.start_sec for clip in clips])
        return row

    @asynccontextmanager
    async def _here(self, source: str) -> AsyncIterator[Path | str]:
        """The source as the engine takes it; a file of an object store is fetched first. Raises Unreadable, OSError."""
        if is_url(source):
            yield source
        elif listing.is_in_store(source):
            with TemporaryDirectory(dir=self._settings.spool_dir, prefix="corpus-") as directory:
                path = Path(directory) / "video"
                await asyncio.to_thread(_fetch, source, path)
                yield path
        else:
            yield Path(source)


async def _all(work: list[Coroutine[None, None, Row]]) -> list[Row]:
    """What each gives. Raises what the first one raises; then the others are ended."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _fetch(source: str, path: Path) -> None:
    """Raises Unreadable where the store fails, OSError where this disk does."""
    with path.open("wb") as file:
        for piece in _pieces(source):
            file.write(piece)


def _pieces(source: str) -> Iterator[bytes]:
    try:
        system, inside = listing.opened(source)
        with system.open_input_stream(inside) as stream:
            while piece := stream.read(PIECE_BYTES):
                yield piece
    except (OSError, ValueError) as error:
        raise Unreadable(f"The file cannot be read: {error}.") from error
