"""The order of the stages: a file is decoded, cut into clips, batched and run, all at once and in constant memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from service.batcher import Batcher, Done
from service.c3d import ClipOutputs
from service.clips import Clip, ClipCutter, ClipSpan, Tail
from service.decoder import Decoder
from service.errors import NonFiniteOutput, TimeRangeOutsideVideo, UndecodableVideo
from service.video import FrameBlock, Notice, Reading, VideoEnd, VideoInfo

BATCHES_AHEAD = 2  # of clips of one video: one runs, the next one waits for it. It bounds the memory of a video


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
    """One clip of the video and its rows of the network's outputs: fc6 and fc7 (4096,), probabilities (n,), float32."""

    span: ClipSpan
    outputs: ClipOutputs


@dataclass
class Summary:
    """What was found once the video had passed. ``decode_s`` and ``model_s`` are busy seconds, ``queue_s`` the longest wait."""

    end: VideoEnd | None = None
    num_frames_used: int = 0
    notices: list[Notice] = field(default_factory=list)
    decode_s: float = 0.0
    queue_s: float = 0.0
    model_s: float = 0.0


class Pipeline:
    """What a video passes through. Holds no video's state, so that any number may pass at once."""

    def __init__(self, decoder: Decoder, batcher: Batcher, reading: Reading) -> None:
        """``reading``: how every file is read, beside what a request asks for."""
        self._decoder, self._batcher, self._reading = decoder, batcher, reading
        self._ahead = BATCHES_AHEAD * batcher.batch_sizes[-1]

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
        lane = object()
        pending: deque[tuple[ClipSpan, asyncio.Future[Done]]] = deque()
        batches: set[int] = set()
        try:
            async with aclosing(self._clips(path, wanted, summary)) as clips:
                async for clip in clips:
                    if isinstance(clip, Opened):
                        yield clip
                        continue
                    pending.append((clip.span, asyncio.wrap_future(self._batcher.submit(lane, clip.frames))))
                    while pending and (len(pending) >= self._ahead or pending[0][1].done()):
                        yield await _finished(*pending.popleft(), summary, batches)
            while pending:
                yield await _finished(*pending.popleft(), summary, batches)
            yield summary
        finally:
            self._batcher.drop(lane)
            for _, future in pending:
                if not future.cancel() and not future.cancelled():
                    future.exception()  # looked at, so that asyncio does not log what the request was told already

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
        summary.notices += [*info.notices(), *summary.end.notices(info, cutter.damaged_clips), *cutter.notices()]


def _no_clip(wanted: Wanted, end: VideoEnd) -> TimeRangeOutsideVideo | UndecodableVideo:
    if wanted.start_sec or wanted.end_sec is not None:
        where = f"; the video ends at {end.end_sec:.2f} s" if end.whole else ""
        return TimeRangeOutsideVideo(f"No frame starts in the part asked for{where}.")
    return UndecodableVideo("The video has far fewer frames than its packets promise. Ask without max_clips, or repair it.")


async def _finished(span: ClipSpan, future: asyncio.Future[Done], summary: Summary, batches: set[int]) -> ClipDone:
    rows, waited_s, batch = await future
    if not all(np.isfinite(row).all() for row in rows):
        raise NonFiniteOutput("The network's output for this video is not finite. Report this with the request id.")
    summary.queue_s = max(summary.queue_s, waited_s)
    if batch.number not in batches:  # clips of one video may share a batch, which took its time once
        batches.add(batch.number)
        summary.model_s += batch.seconds
    return ClipDone(span, ClipOutputs(*rows))
