"""Where clips start, and what happens at the end of a video."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from model_store import c3d
from service.video.messages import FrameBlock, ReadOptions, Tail, VideoWarning, count

MIDDLE = c3d.CLIP_LENGTH // 2  # of a clip's frames, the one that stands for it: the ninth


@dataclass(frozen=True)
class ClipPlan:
    """Where the clips of a video start, in frames counted from the first frame of the part asked for.

    The decoder process and the service each make this plan from the same four values, so the process knows by itself when
    it has read enough. ``num_frames``: how many frames the part seems to have. ``stride``: frames between clip starts, 1 or
    more. ``tail``: "drop" the frames behind the last whole clip, or "pad" one more clip with them. ``max_clips``: at most so
    many, evenly spaced. A video shorter than a clip has one clip.
    """

    num_frames: int
    stride: int = c3d.CLIP_STRIDE
    tail: Tail = "drop"
    max_clips: int | None = None

    @classmethod
    def of(cls, num_frames: int, options: ReadOptions) -> Self:
        """The plan that the options ask for."""
        return cls(num_frames, options.clip_stride, options.tail, options.max_clips)

    @property
    def num_clips(self) -> int:
        """How many clips there are, if the video has as many frames as it seems."""
        return self._num_possible if self.max_clips is None else min(self.max_clips, self._num_possible)

    @property
    def end(self) -> int | None:
        """No clip needs this frame or a later one. None: the clips go on to the video's end, wherever it proves to be."""
        return None if self.max_clips is None else max(self.starts()) + c3d.CLIP_LENGTH

    def starts(self) -> Iterator[int]:
        """Rising. Endless without ``max_clips``: where the frames end, the clips do."""
        if self.max_clips is None:
            return itertools.count(0, self.stride)
        last = self._num_possible - 1
        spaced = np.linspace(0, last, self.num_clips).round().astype(int).tolist() if self.num_clips > 1 else [last // 2]
        return iter([index * self.stride for index in spaced])

    def is_middle(self, index: int) -> bool:
        """Whether the frame at this place in the part is the middle one of a clip."""
        start = index - MIDDLE
        if self.max_clips is None:
            return start >= 0 and start % self.stride == 0
        return start in self._planned

    @cached_property
    def _planned(self) -> frozenset[int]:
        return frozenset(self.starts())

    @property
    def _num_possible(self) -> int:
        whole = max(0, self.num_frames - c3d.CLIP_LENGTH) // self.stride + 1
        first_left = (whole - 1) * self.stride + c3d.CLIP_LENGTH
        return whole + (self.tail == "pad" and whole * self.stride < self.num_frames > first_left)


@dataclass(frozen=True)
class ClipSpan:
    """Which part of the video a clip is: half-open in frames and in seconds.

    ``end_sec`` is the start of the frame after it, or the end of the video. ``num_padded_frames`` of its 16 frames repeat the
    last one. ``num_damaged_frames`` of them did not decode as they should.
    """

    index: int
    start_frame: int
    end_frame: int
    start_sec: float
    end_sec: float
    num_padded_frames: int
    num_damaged_frames: int


class Clip(NamedTuple):
    """What the network sees, ``frames`` uint8 (16, 112, 112, 3) BGR, and which part of the video it is.

    ``thumbnail``, if asked for: its middle frame as a JPEG; of a padded clip that ends before that, the last frame.
    """

    span: ClipSpan
    frames: NDArray[np.uint8]
    thumbnail: bytes | None = None


class _Held(NamedTuple):
    number: int
    start_sec: float
    damaged: bool
    frame: NDArray[np.uint8]
    thumbnail: bytes | None


class ClipCutter:
    """Cuts the clips of a plan out of frames as they come. It holds at most one clip's frames.

    The last frame is repeated where a clip is to be padded.
    """

    def __init__(self, plan: ClipPlan) -> None:
        self._plan = plan
        self.num_frames = 0  # seen
        self.num_used = 0  # frames that are in at least one clip
        self.num_clips = 0
        self.damaged_clips: list[int] = []  # by index
        self._starts = plan.starts()
        self._next: int | None = next(self._starts)  # where the next clip starts, in frames seen
        self._covered = 0  # the frame after the last one in a clip
        self._held: deque[_Held] = deque()  # from the next clip's start on

    def add(self, block: FrameBlock) -> list[Clip]:
        """Take frames. Returns the clips whose end is known now."""
        clips = []
        times, damaged = block.start_sec.tolist(), block.damaged.tolist()
        for offset, (frame, start, is_damaged) in enumerate(zip(block.frames, times, damaged, strict=True)):
            if len(self._held) == c3d.CLIP_LENGTH:
                clips.append(self._cut(end_sec=start))
            if self._next is not None and self.num_frames >= self._next:
                self._held.append(_Held(block.first + offset, start, is_damaged, frame, block.thumbnails.get(offset)))
            self.num_frames += 1
        return clips

    def finish(self, end_sec: float) -> list[Clip]:
        """The clips that end with the video, at ``end_sec``."""
        clips = [self._cut(end_sec)] if len(self._held) == c3d.CLIP_LENGTH else []
        if self._num_left() and (self._plan.tail == "pad" or self.num_clips == 0):
            clips.append(self._cut(end_sec))
        return clips

    def warnings(self) -> Iterator[VideoWarning]:
        """After `finish`: what became of the frames at the video's end."""
        if 0 < self.num_frames < c3d.CLIP_LENGTH:
            text = f"The video has {count(self.num_frames, 'frame')}, a clip {c3d.CLIP_LENGTH}: the last frame was repeated."
            yield VideoWarning("short_video_padded", text)
        elif self._plan.max_clips is not None and self.num_clips < (planned := self._plan.num_clips):
            text = f"The video gave {count(self.num_clips, 'clip')} instead of {planned}: it is shorter than it seems."
            yield VideoWarning("fewer_clips", text)
        elif left := self._num_left():
            what = (
                f"The last {left} frames fill no clip and were left out"
                if left > 1
                else "The last frame fills no clip and was left out"
            )
            text = f"{what}. To keep {'them' if left > 1 else 'it'}: tail=pad."
            yield VideoWarning("tail_frames_dropped", text)

    def _num_left(self) -> int:
        """How many frames from the next clip's start on are in no clip. Frames that a stride over 16 skips do not count."""
        return 0 if self._next is None else max(0, self.num_frames - max(self._covered, self._next))

    def _cut(self, end_sec: float) -> Clip:
        held, start = list(self._held), self._next
        assert start is not None  # noqa: S101 (frames are held only where a clip is to come)
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
        return Clip(span, np.stack(frames + frames[-1:] * padded), held[min(MIDDLE, len(held) - 1)].thumbnail)
