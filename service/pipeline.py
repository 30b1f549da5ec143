"""The order of the stages: a file is decoded, cut into clips, batched and run, all at once and in constant memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from service.batcher import Batcher, Done, Lane
from service.c3d import ClipOutputs
from service.clips import ClipCutter, ClipSpan, Tail
from service.decoder import Decoder
from service.errors import NonFiniteOutput, Notice
from service.frames import FrameBlock, VideoEnd, VideoInfo

BATCHES_AHEAD = 2  # of clips of one video: one runs, the next one waits for it. It bounds the memory of a video


class ClipDone(NamedTuple):
    """One clip of the video and its rows of the network's outputs: fc6 and fc7 (4096,), probabilities (n,), float32."""

    span: ClipSpan
    outputs: ClipOutputs


@dataclass
class Summary:
    """What was found once the video had passed. ``decode_s`` and ``model_s`` are busy seconds, ``queue_s`` the longest wait."""

    num_frames_decoded: int = 0
    num_frames_used: int = 0
    variable_frame_rate: bool = False
    end_sec: float = 0.0
    notices: list[Notice] = field(default_factory=list)
    decode_s: float = 0.0
    queue_s: float = 0.0
    model_s: float = 0.0


class Pipeline:
    """What a video passes through. Holds no video's state, so that any number may pass at once."""

    def __init__(self, decoder: Decoder, batcher: Batcher) -> None:
        self._decoder = decoder
        self._batcher = batcher
        self._ahead = BATCHES_AHEAD * batcher.batch_sizes[-1]

    def is_alive(self) -> bool:
        """Whether a video sent now would come out."""
        return self._batcher.is_alive()

    async def run(self, path: Path, stride: int, tail: Tail) -> AsyncGenerator[VideoInfo | ClipDone | Summary, None]:
        """First the VideoInfo, then a ClipDone for each clip in order as it is computed, last the Summary.

        To be closed by its user (`contextlib.aclosing`), which ends the work at once. Raises what the stages raise:
        NoVideoStream, UndecodableVideo, NonFiniteOutput, Draining, WorkerDown, or what the network raised.
        """
        summary = Summary()
        lane = self._batcher.open()
        pending: deque[tuple[ClipSpan, asyncio.Future[Done]]] = deque()
        batches: set[int] = set()
        try:
            async with aclosing(self._clips(path, ClipCutter(stride, tail), lane, summary)) as submitted:
                async for step in submitted:
                    if isinstance(step, VideoInfo):
                        yield step
                        continue
                    pending.append(step)
                    while pending and (len(pending) >= self._ahead or pending[0][1].done()):
                        yield await _finished(*pending.popleft(), summary, batches)
            while pending:
                yield await _finished(*pending.popleft(), summary, batches)
            yield summary
        finally:
            lane.close()
            for _, future in pending:
                if not future.cancel() and not future.cancelled():
                    future.exception()  # looked at, so that asyncio does not log what the request was told already

    async def _clips(
        self, path: Path, cutter: ClipCutter, lane: Lane, summary: Summary
    ) -> AsyncGenerator[VideoInfo | tuple[ClipSpan, asyncio.Future[Done]], None]:
        """The VideoInfo, then each clip's span and the future of its outputs: it is queued as it is yielded."""
        async with aclosing(self._decoder.read(path)) as decoded:
            async for message, seconds in decoded:
                summary.decode_s += seconds
                match message:
                    case VideoInfo():
                        yield message
                        continue
                    case FrameBlock(frames=frames, start_sec=start_sec):
                        clips = cutter.add(frames, start_sec)
                    case VideoEnd():
                        clips = cutter.finish(message.end_sec)
                        summary.variable_frame_rate, summary.end_sec = message.variable_frame_rate, message.end_sec
                        summary.notices += [*message.notices, *cutter.notices()]
                for clip in clips:
                    yield clip.span, asyncio.wrap_future(lane.submit(clip.frames))
        summary.num_frames_decoded, summary.num_frames_used = cutter.num_frames, cutter.num_used


async def _finished(span: ClipSpan, future: asyncio.Future[Done], summary: Summary, batches: set[int]) -> ClipDone:
    rows, waited_s, batch = await future
    if not all(np.isfinite(row).all() for row in rows):
        raise NonFiniteOutput("The network's output for this video is not finite. Report this with the request id.")
    summary.queue_s = max(summary.queue_s, waited_s)
    if batch.number not in batches:  # clips of one video may share a batch, which took its time once
        batches.add(batch.number)
        summary.model_s += batch.seconds
    return ClipDone(span, ClipOutputs(*rows))
