"""The order of the stages: a file is decoded, cut into clips, batched and run, all at once and in constant memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_store.c3d import ClipOutputs
from service.errors import NonFiniteOutput, TimeRangeOutsideVideo, UndecodableVideo
from service.inference.batcher import Batcher, Done
from service.options import Options
from service.video.clips import Clip, ClipCutter, ClipPlan, ClipSpan
from service.video.messages import FrameBlock, ReadOptions, VideoEnd, VideoInfo, VideoWarning
from service.video.pool import DecoderPool

BATCHES_AHEAD = 2  # of one request's clips: one runs, the next one waits. This bounds the memory that a video takes


class Opened(NamedTuple):
    """The file could be opened: what it says of itself, and how many clips it will give if that is true."""

    info: VideoInfo
    num_clips: int


class ClipDone(NamedTuple):
    """One clip of the video and its rows of the network's outputs: `c3d.ClipOutputs` without the b.

    ``thumbnail``: its middle frame as a JPEG, where the request asks for pictures.
    """

    span: ClipSpan
    outputs: ClipOutputs
    thumbnail: bytes | None = None


@dataclass
class Summary:
    """What is known once the video has passed. ``decode_s`` and ``model_s`` are busy seconds, ``queue_s`` is the longest wait."""

    end: VideoEnd | None = None
    num_frames_used: int = 0
    warnings: list[VideoWarning] = field(default_factory=list)
    decode_s: float = 0.0
    queue_s: float = 0.0
    model_s: float = 0.0


class Pipeline:
    """What a video passes through. It keeps nothing about a video, so any number may pass at once."""

    def __init__(self, decoders: DecoderPool, batcher: Batcher, read_options: ReadOptions) -> None:
        """``read_options``: what the model and the settings say about reading a file; a request says the rest."""
        self._decoders, self._batcher, self._read_options = decoders, batcher, read_options

    def queue(self) -> tuple[int, float]:
        """How many clips wait, and how many are run in a second at present."""
        return self._batcher.num_waiting(), self._batcher.items_per_s

    def is_alive(self) -> bool:
        """Whether a video sent now would be answered."""
        return self._batcher.is_alive()

    async def run(self, path: Path, options: Options) -> AsyncGenerator[Opened | ClipDone | Summary, None]:
        """First Opened, then a ClipDone for each clip in order as it is computed, last the Summary.

        Its user closes it (`contextlib.aclosing`), which ends the work at once. Raises what the stages raise, and
        TimeRangeOutsideVideo, NonFiniteOutput, or what the network raised.
        """
        summary = Summary()
        waiting: deque[tuple[ClipSpan, bytes | None]] = deque()
        with closing(InFlight(self._batcher, summary)) as in_flight:
            async with aclosing(self._clips(path, options, summary)) as clips:
                async for clip in clips:
                    if isinstance(clip, Opened):
                        yield clip
                        continue
                    in_flight.put(clip.frames)
                    waiting.append((clip.span, clip.thumbnail))
                    while in_flight.is_due():
                        yield await _done(waiting, in_flight)
            while waiting:
                yield await _done(waiting, in_flight)
            yield summary

    async def run_clips(self, clips: NDArray[np.uint8], summary: Summary) -> AsyncGenerator[ClipOutputs, None]:
        """The network's outputs for clips uint8 (n, 16, 112, 112, 3) BGR, in order, as they are computed.

        Writes its times into ``summary``. To be closed as `run`, and raises what that raises.
        """
        with closing(InFlight(self._batcher, summary)) as in_flight:
            for clip in clips:
                in_flight.put(clip)
                while in_flight.is_due():
                    yield await in_flight.take()
            while len(in_flight):
                yield await in_flight.take()

    async def _clips(self, path: Path, options: Options, summary: Summary) -> AsyncGenerator[Opened | Clip, None]:
        """Opened, then the clips as they are cut."""
        read_options = _of_request(self._read_options, options)
        async with self._decoders.open(path, read_options) as messages:
            async for message, seconds in messages:
                summary.decode_s += seconds
                clips: list[Clip] = []
                match message:
                    case VideoInfo():
                        info, plan = message, ClipPlan.of(message.num_frames_in_range, read_options)
                        cutter = ClipCutter(plan)
                        yield Opened(info, plan.num_clips)
                    case FrameBlock():
                        clips = cutter.add(message)
                    case VideoEnd():
                        summary.end = message
                        clips = cutter.finish(message.num_in_part)
                for clip in clips:
                    yield clip
        assert summary.end is not None  # noqa: S101 (it came last)
        if not cutter.num_clips:
            raise _no_clip(options, summary.end)
        summary.num_frames_used = cutter.num_used
        summary.warnings += [*info.warnings(), *summary.end.warnings(info, cutter.damaged_clips, cutter.gap_clips)]
        summary.warnings += cutter.warnings()


async def _done(waiting: deque[tuple[ClipSpan, bytes | None]], in_flight: InFlight) -> ClipDone:
    """The first clip that waits, once it is computed."""
    span, thumbnail = waiting.popleft()
    return ClipDone(span, await in_flight.take(), thumbnail)


def _of_request(read_options: ReadOptions, options: Options) -> ReadOptions:
    """With what the request asks for."""
    return replace(
        read_options,
        start_sec=options.start_sec,
        end_sec=options.end_sec,
        fps=options.fps,
        clip_stride=options.clip_stride,
        tail=options.tail,
        max_clips=options.max_clips,
        thumbnails="pictures" in options.include,
    )


def _no_clip(options: Options, end: VideoEnd) -> TimeRangeOutsideVideo | UndecodableVideo:
    if options.start_sec or options.end_sec is not None:
        where = f"; the video ends at {end.end_sec:.2f} s" if end.whole else ""
        return TimeRangeOutsideVideo(f"No frame starts in the part asked for{where}.")
    return UndecodableVideo("The video has far fewer frames than its packets promise. Ask without max_clips, or repair it.")


class InFlight:
    """A request's clips in the batcher: a few at once. They come out in the order in which they went in."""

    def __init__(self, batcher: Batcher, summary: Summary) -> None:
        """Writes into ``summary`` how long the clips waited and ran."""
        self._batcher, self._summary = batcher, summary
        self._room = BATCHES_AHEAD * batcher.batch_sizes[-1]
        self._pending: deque[asyncio.Future[Done]] = deque()
        self._batches: set[int] = set()

    def __len__(self) -> int:
        return len(self._pending)

    def put(self, clip: NDArray[np.uint8]) -> None:
        """Put in one more clip, uint8 (16, 112, 112, 3)."""
        self._pending.append(asyncio.wrap_future(self._batcher.submit(self, clip)))

    def is_due(self) -> bool:
        """Whether to take one before the next is put in: because it is done, or to make room."""
        return bool(self._pending) and (len(self._pending) >= self._room or self._pending[0].done())

    async def take(self) -> ClipOutputs:
        """The outputs for the first one. Raises NonFiniteOutput, or what the network raised."""
        rows, waited_s, batch = await self._pending.popleft()
        if not all(np.isfinite(row).all() for row in rows):
            raise NonFiniteOutput("The network's output for this request is not finite. Report this with the request id.")
        self._summary.queue_s = max(self._summary.queue_s, waited_s)
        if batch.number not in self._batches:  # clips of one request may share a batch: its time counts once
            self._batches.add(batch.number)
            self._summary.model_s += batch.seconds
        return ClipOutputs(*rows)

    def close(self) -> None:
        """Drop what is left: nobody waits for it any more."""
        self._batcher.drop(self)
        for future in self._pending:
            if not future.cancel() and not future.cancelled():
                future.exception()  # read, so that asyncio does not log an error that the request has reported already
