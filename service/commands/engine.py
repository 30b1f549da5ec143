"""The stages without HTTP, for programs that have the videos at hand: `python -m corpus` is one.

    async with engine.opened(Settings()) as running:
        async for line in running.lines(Path("clip.mp4"), FeaturesOptions(include=["clips"])):
            ...

A line is what a client of POST /features gets in NDJSON, so that it means the same. Not here is what only strangers make
necessary: keys, admission, deadlines of uploads.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from uuid import uuid4

from service.answers.lines import lines
from service.answers.result import Result
from service.errors import EmptyFile, ServiceError, StartFailed
from service.http.disconnect import Deadline
from service.http.endpoints import FEATURES
from service.http.metrics import Metrics
from service.http.problems import last_line
from service.http.request_log import RequestRecord
from service.intake import spool
from service.intake.fetch import Fetcher
from service.intake.fetch_policy import FetchPolicy
from service.intake.source import FILE_NAME, RequestFiles, Source, request_files
from service.intake.spool import Spool, SpoolWriter, in_thread
from service.lifecycle import loading
from service.lifecycle.loading import LoadNetwork, load_network
from service.lifecycle.readiness import InfoOut, Readiness, Serving
from service.options import FeaturesOptions
from service.pipeline import Opened
from service.settings import Settings
from service.video.pool import DecoderPool

IDLE_S = 600.0  # without a clip: here nobody else is in the queue, so a decoder or the network hangs
LAST_BATCH_S = 2.0  # for a batch that nobody waits for any more


class Unreadable(Exception):
    """The video itself cannot be read; the message says why."""


class Engine:
    """A loaded network at work. Any number of videos may pass at once."""

    def __init__(self, serving: Serving, files: Spool, fetcher: Fetcher) -> None:
        self._serving, self._files, self._fetcher = serving, files, fetcher

    @property
    def info(self) -> InfoOut:
        """What runs here: the answer of GET /info, without a service's limits."""
        return self._serving.info

    async def lines(self, video: Path | str, options: FeaturesOptions) -> AsyncGenerator[bytes, None]:
        """The lines of a file, or of what is behind a URL: `video`, a `clip` each, last the `summary` or an `error`.

        To be closed (`aclosing`). Raises Unreadable, and OSError where this machine's own disk fails.
        """
        record = RequestRecord(uuid4().hex, "POST", FEATURES)
        started = time.perf_counter()
        with request_files(self._files) as own:
            try:
                source = await self._received(video, own)
                result = Result(self._serving, source, options, record, started, time.perf_counter() - started)
                deadline = Deadline(options.timeout_s or math.inf, "Give it a larger timeout_s.", IDLE_S)
                async with aclosing(deadline.steps(self._serving.pipeline.run(source.path, options))) as steps:
                    opened = await anext(steps)
                    assert isinstance(opened, Opened)  # noqa: S101 (it comes first)
                    async with aclosing(lines(result, opened, steps)) as found:
                        async for line in found:
                            yield line
            except ServiceError as error:
                yield last_line(error, record)

    async def _received(self, video: Path | str, own: RequestFiles) -> Source:
        """The video where it can be read. Raises EmptyFile, Unreadable, OSError, and what the fetcher raises."""
        source = Source(own.directory, own.reserve, own.files)
        if isinstance(video, str):
            writer = SpoolWriter(own.create(FILE_NAME), own.reserve)
            await self._fetcher.fetch(video, writer.take)
            await writer.flush()
            source.size_bytes, source.sha256 = writer.size_bytes, writer.digest.hexdigest()
        else:
            await in_thread(lambda: _link(video, source))
        if not source.size_bytes:
            raise EmptyFile("The file has no bytes. Check that it was written whole.")
        return source


@asynccontextmanager
async def opened(settings: Settings, load: LoadNetwork = load_network) -> AsyncIterator[Engine]:
    """Load the network, warm it up and prove it. Raises ServiceError: WeightsMissing, KnownAnswerWrong, StartFailed."""
    readiness, metrics, decoder = Readiness(), Metrics(), DecoderPool(settings.max_decoders)
    reasons: list[str] = []
    batcher = await loading.start(settings, load, readiness, decoder, metrics, reasons.append)
    try:
        if batcher is None and reasons:
            raise StartFailed(reasons[0])
        with spool.opened(settings.spool_dir, settings.max_spool_bytes) as files:
            yield Engine(readiness.serving(), files, Fetcher(FetchPolicy.of(settings)))
    finally:
        if batcher:
            batcher.stop(LAST_BATCH_S)
        await decoder.close()


def _link(video: Path, source: Source) -> None:
    """The file under the name of a request's, by which FFmpeg cannot judge it, and its size and SHA-256. Raises Unreadable."""
    source.path.symlink_to(video.absolute())
    digest = hashlib.sha256()
    try:
        with video.open("rb") as file:
            while piece := file.read(1024 * 1024):
                digest.update(piece)
                source.size_bytes += len(piece)
    except OSError as error:
        raise Unreadable(f"The file cannot be read: {error.strerror}.") from error
    source.sha256 = digest.hexdigest()
