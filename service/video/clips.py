"""Where clips start, and what happens at the end of a video."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_store import c3d
from service.video.messages import FrameBlock, VideoWarning, count

Tail = Literal["drop", "pad"]


@dataclass(frozen=True)
class ClipSpan:
    """Which part of the video a clip is: half-open in frames and in seconds.

    ``end_sec`` is the start of the frame after it, or the end of the video. ``num_padded_frames`` of its 16 repeat the last;
    ``num_damaged_frames`` did not decode as they should.
    """

    index: int
    start_frame: int
    end_frame: int
    start_sec: float
    end_sec: float
    num_padded_frames: int
    num_damaged_frames: int


class Clip(NamedTuple):
    """What the network sees: ``frames`` uint8 (16, 112, 112, 3) BGR, and which part of the video it is."""

    span: ClipSpan
    frames: NDArray[np.uint8]


class _Held(NamedTuple):
    number: int
    start_sec: float
    damaged: bool
    frame: NDArray[np.uint8]


class ClipCutter:
    """Cuts clips out of frames as they come, holding at most one clip's frames.

    ``stride``: frames between clip starts, 1 or more. ``tail``: "drop" the frames behind the last whole clip, or "pad" one more
    clip with them by repeating the last frame. A video shorter than a clip is padded to one either way. ``max_clips``: at most
    so many, evenly spaced; then `expect` must be told the video's length before its first frame.
    """

    def __init__(self, stride: int = c3d.CLIP_STRIDE, tail: Tail = "drop", max_clips: int | None = None) -> None:
        self._stride, self._tail, self._max_clips = stride, tail, max_clips
        self.num_frames = 0  # seen
        self.num_used = 0  # frames that are in at least one clip
        self.damaged_clips: list[int] = []  # by index
        self.num_clips = 0
        self._num_expected = 0
        self._starts: Iterator[int] = itertools.count(0, stride)  # in frames seen
        self._next: int | None = next(self._starts)
        self._covered = 0  # the frame after the last one in a clip
        self._held: deque[_Held] = deque()  # from the next clip's start on

    def expect(self, num_frames: int) -> int:
        """How many clips a video of ``num_frames`` frames gives; with ``max_clips`` this chooses them."""
        whole = max(0, num_frames - c3d.CLIP_LENGTH) // self._stride + 1
        padded = self._tail == "pad" and whole * self._stride < num_frames > (whole - 1) * self._stride + c3d.CLIP_LENGTH
        last = whole - 1 + padded
        if self._max_clips is None:
            return last + 1
        wanted = min(self._max_clips, last + 1)
        spaced = np.linspace(0, last, wanted).round().astype(int).tolist() if wanted > 1 else [last // 2]
        self._num_expected = wanted
        self._starts = iter([index * self._stride for index in spaced])
        self._next = next(self._starts)
        return wanted

    @property
    def is_done(self) -> bool:
        """Whether no clip is left to be cut, whatever frames come."""
        return self._next is None

    def add(self, block: FrameBlock) -> list[Clip]:
        """Take frames; the clips whose end is now known."""
        clips = []
        times, damaged = block.start_sec.tolist(), block.damaged.tolist()
        for offset, (frame, start, is_damaged) in enumerate(zip(block.frames, times, damaged, strict=True)):
            if len(self._held) == c3d.CLIP_LENGTH:
                clips.append(self._cut(end_sec=start))
            if self._next is not None and self.num_frames >= self._next:
                self._held.append(_Held(block.first + offset, start, is_damaged, frame))
            self.num_frames += 1
        return clips

    def finish(self, end_sec: float) -> list[Clip]:
        """The clips that end with the video, at ``end_sec``."""
        clips = [self._cut(end_sec)] if len(self._held) == c3d.CLIP_LENGTH else []
        if self._num_left() and (self._tail == "pad" or self.num_clips == 0):
            clips.append(self._cut(end_sec))
        return clips

    def warnings(self) -> Iterator[VideoWarning]:
        """After `finish`: what of the video's end the answer rests on."""
        if 0 < self.num_frames < c3d.CLIP_LENGTH:
            seen = count(self.num_frames, "frame")
            text = f"A clip has {c3d.CLIP_LENGTH} frames, and here is only {seen}: the last one was repeated."
            yield VideoWarning("short_video_padded", text)
        elif self.num_clips < self._num_expected:
            text = (
                f"{self._num_expected} clips were to be taken, and the video gave {self.num_clips}: it is shorter than it seems."
            )
            yield VideoWarning("fewer_clips", text)
        elif left := self._num_left():
            text = f"At the end {count(left, 'frame')} fill no clip and were left out; tail=pad keeps them."
            yield VideoWarning("tail_frames_dropped", text)

    def _num_left(self) -> int:
        """How many frames since the next clip's start are in no clip. Frames that a stride over 16 skips do not count."""
        return 0 if self._next is None else max(0, self.num_frames - max(self._covered, self._next))

    def _cut(self, end_sec: float) -> Clip:
        held, start = list(self._held), self._next
        assert start is not None  # noqa: S101 (frames are held for a next clip only)
        padded = c3d.CLIP_LENGTH - len(held)
        num_damaged = sum(each.damaged for each in held)
        span = ClipSpan(self.num_clips, held[0].number, held[-1].number + 1, held[0].start_sec, end_sec, padded, num_damaged)
        if num_damaged:
            self.damaged_clips.append(span.index)
        self.num_used += start + len(held) - max(self._covered, start)
        self._covered = start + len(held)
        self.num_clips += 1
        self._next = next(self._starts, None)
        while self._held and (self._next is None or self.num_frames - len(self._held) < self._next):
            self._held.popleft()
        frames = [each.frame for each in held]
        return Clip(span, np.stack(frames + frames[-1:] * padded))
