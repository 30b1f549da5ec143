"""The order of the stages: a file is decoded, cut into clips, batched and run, all at once and in constant memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from model_store.c3d import ClipOutputs
from service.errors import NonFiniteOutput, TimeRangeOutsideVideo, UndecodableVideo
from service.inference.batcher import Batcher, Done
from service.video.clips import Clip, ClipCutter, ClipSpan, Tail
from service.video.messages import FrameBlock, ReadOptions, VideoEnd, VideoInfo, VideoWarning
from service.video.pool import DecoderPool

BATCHES_AHEAD = 2  # of clips of one request: one runs, the next one waits for it. It bounds the memory of a video


class Wanted(Protocol):
    """What a request asks of a video; `options.Options` is the real one."""

    @property
    def clip_stride(self) -> int:
        """Frames between clip starts."""

    @property
    def tail(self) -> Tail:
        """What becomes of the frames behind the last whole clip."""

    @property
    def start_sec(self) -> float:
        """Where the part begins."""

    @property
    def end_sec(self) -> float | None:
        """Where it ends."""

    @property
    def max_clips(self) -> int | None:
        """How many clips at most."""


class Opened(NamedTuple):
    """The video could be opened: what its file says, and how many clips it will give if that is true."""

    info: VideoInfo
    num_clips: int


class ClipDone(NamedTuple):
    """One clip of the video and its rows of the network's outputs: `c3d.ClipOutputs` without the b."""

    span: ClipSpan
    outputs: ClipOutputs


@dataclass
class Summary:
    """What was found once the video had passed. ``decode_s`` and ``model_s`` are busy seconds, ``queue_s`` the longest wait."""

    end: VideoEnd | None = None
    num_frames_used: int = 0
    warnings: list[VideoWarning] = field(default_factory=list)
    decode_s: float = 0.0
    queue_s: float = 0.0
    model_s: float = 0.0


class Pipeline:
    """What a video passes through. Holds no video's state, so that any number may pass at once."""

    def __init__(self, decoder: DecoderPool, batcher: Batcher, reading: ReadOptions) -> None:
        """``reading``: how every file is read, beside what a request asks for."""
        self._decoder, self._batcher, self._reading = decoder, batcher, reading

    def queue(self) -> tuple[int, float]:
        """Clips that wait, and how many are run in a second lately."""
        return self._batcher.num_waiting(), self._batcher.items_per_s

    def is_alive(self) -> bool:
        """Whether a video sent now would come out."""
        return self._batcher.is_alive()

    async def run(self, path: Path, wanted: Wanted) -> AsyncGenerator[Opened | ClipDone | Summary, None]:
        """First Opened, then a ClipDone for each clip in order as it is computed, last the Summary.

        To be closed by its user (`contextlib.aclosing`), which ends the work at once. Raises what the stages raise, and
        TimeRangeOutsideVideo, NonFiniteOutput, or what the network raised.
        """
        summary = Summary()
        spans: deque[ClipSpan] = deque()
        with closing(InFlight(self._batcher, summary)) as in_flight:
            async with aclosing(self._clips(path, wanted, summary)) as clips:
                async for clip in clips:
                    if isinstance(clip, Opened):
                        yield clip
                        continue
                    in_flight.put(clip.frames)
                    spans.append(clip.span)
                    while in_flight.is_due():
                        yield ClipDone(spans.popleft(), await in_flight.take())
            while spans:
                yield ClipDone(spans.popleft(), await in_flight.take())
            yield summary

    async def run_clips(self, clips: NDArray[np.uint8], summary: Summary) -> AsyncGenerator[ClipOutputs, None]:
        """Clips cut already, uint8 (n, 16, 112, 112, 3) BGR: the rows of each in order, as they are computed.

        ``summary`` is told its times. To be closed, and raises, as `run`.
        """
        with closing(InFlight(self._batcher, summary)) as in_flight:
            for clip in clips:
                in_flight.put(clip)
                while in_flight.is_due():
                    yield await in_flight.take()
            while len(in_flight):
                yield await in_flight.take()

    async def _clips(self, path: Path, wanted: Wanted, summary: Summary) -> AsyncGenerator[Opened | Clip, None]:
        """Opened, then the clips as they are cut."""
        cutter = ClipCutter(wanted.clip_stride, wanted.tail, wanted.max_clips)
        reading = replace(self._reading, start_sec=wanted.start_sec, end_sec=wanted.end_sec)
        async with aclosing(self._decoder.read(path, reading)) as messages:
            info, enough = None, None
            while summary.end is None:
                message, seconds = await messages.asend(enough)
                summary.decode_s += seconds
                clips: list[Clip] = []
                match message:
                    case VideoInfo():
                        info = message
                        yield Opened(message, cutter.expect(message.num_frames_in_range))
                    case FrameBlock():
                        clips = cutter.add(message)
                    case VideoEnd():
                        clips = cutter.finish(message.end_sec)
                        summary.end = message
                for clip in clips:
                    yield clip
                enough = cutter.is_done
        assert info is not None  # noqa: S101 (it came first)
        if not cutter.num_clips:
            raise _no_clip(wanted, summary.end)
        summary.num_frames_used = cutter.num_used
        summary.warnings += [*info.warnings(), *summary.end.warnings(info, cutter.damaged_clips), *cutter.warnings()]


def _no_clip(wanted: Wanted, end: VideoEnd) -> TimeRangeOutsideVideo | UndecodableVideo:
    if wanted.start_sec or wanted.end_sec is not None:
        where = f"; the video ends at {end.end_sec:.2f} s" if end.whole else ""
        return TimeRangeOutsideVideo(f"No frame starts in the part asked for{where}.")
    return UndecodableVideo("The video has far fewer frames than its packets promise. Ask without max_clips, or repair it.")


class InFlight:
    """A request's clips on their way through the batcher: a few at once, and out in the order in which they went in."""

    def __init__(self, batcher: Batcher, summary: Summary) -> None:
        """``summary`` is told how long the clips waited and ran."""
        self._batcher, self._summary = batcher, summary
        self._room = BATCHES_AHEAD * batcher.batch_sizes[-1]
        self._pending: deque[asyncio.Future[Done]] = deque()
        self._batches: set[int] = set()

    def __len__(self) -> int:
        return len(self._pending)

    def put(self, clip: NDArray[np.uint8]) -> None:
        """One more, uint8 (16, 112, 112, 3)."""
        self._pending.append(asyncio.wrap_future(self._batcher.submit(self, clip)))

    def is_due(self) -> bool:
        """Whether one is to be taken before another is put in: because it is done, or to make room."""
        return bool(self._pending) and (len(self._pending) >= self._room or self._pending[0].done())

    async def take(self) -> ClipOutputs:
        """The first one's rows. Raises NonFiniteOutput, or what the network raised."""
        rows, waited_s, batch = await self._pending.popleft()
        if not all(np.isfinite(row).all() for row in rows):
            raise NonFiniteOutput("The network's output for this request is not finite. Report this with the request id.")
        self._summary.queue_s = max(self._summary.queue_s, waited_s)
        if batch.number not in self._batches:  # clips of one request may share a batch, which took its time once
            self._batches.add(batch.number)
            self._summary.model_s += batch.seconds
        return ClipOutputs(*rows)

    def close(self) -> None:
        """Nobody waits any more for what is left."""
        self._batcher.drop(self)
        for future in self._pending:
            if not future.cancel() and not future.cancelled():
                future.exception()  # looked at, so that asyncio does not log what the request was told already
