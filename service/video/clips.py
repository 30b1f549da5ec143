"""Where clips start, and what happens at the end of a video."""

from __future__ import annotations

import itertools
import math
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

    def wanted(self, *, is_exact: bool) -> Iterator[tuple[int, float]]:
        """The frames that clips hold, as half-open ranges. Unless ``is_exact``, there may be more frames than it seems."""
        starts = itertools.islice(self.starts(), self.num_clips if is_exact or self.max_clips is not None else None)
        if self.stride <= c3d.CLIP_LENGTH and self.max_clips is None:
            yield 0, (self.num_clips - 1) * self.stride + c3d.CLIP_LENGTH if is_exact else math.inf
            return
        begin, end = 0, 0
        for start in starts:
            if start > end:
                yield begin, end
                begin = start
            end = start + c3d.CLIP_LENGTH
        yield begin, end

    def starts(self) -> Iterator[int]:
        """Rising. Endless without ``max_clips``: where the frames end, the clips do."""
        if self.max_clips is None:
            return itertools.count(0, self.stride)
        last = self._num_possible - 1
        spaced = np.linspace(0, last, self.num_clips).round().astype(int).tolist() if self.num_clips > 1 else [last // 2]
        return iter([index * self.stride for index in spaced])

    def is_middle(self, place: int) -> bool:
        """Whether the frame at this place in the part is the middle one of a clip."""
        start = place - MIDDLE
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
    last one. ``num_damaged_frames`` of them did not decode as they should; one that did not decode at all repeats its neighbour.
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
    place: int  # in the part
    number: int  # in the video
    start_sec: float
    end_sec: float
    damaged: bool
    before_gap: bool
    frame: NDArray[np.uint8]
    thumbnail: bytes | None


class ClipCutter:
    """Cuts the clips of a plan out of frames as they come. It holds at most one clip's frames.

    The last frame is repeated where a clip is to be padded. A clip of which frames are missing is left out.
    """

    def __init__(self, plan: ClipPlan) -> None:
        self._plan = plan
        self.num_used = 0  # frames that are in at least one clip
        self.num_clips = 0
        self.damaged_clips: list[int] = []  # by index
        self.gap_clips: list[int] = []
        self._num_frames = 0  # of the part, once it is known
        self._starts = plan.starts()
        self._next: int | None = next(self._starts)  # where the next clip starts, by its index in the part
        self._covered = 0  # the frame after the last one in a clip
        self._held: deque[_Held] = deque()  # from the next clip's start on

    def add(self, block: FrameBlock) -> list[Clip]:
        """Take frames. Returns the clips that are whole now."""
        clips = []
        numbers = block.numbers.tolist()
        values = (block.start_sec.tolist(), block.end_sec.tolist(), block.damaged.tolist(), block.before_gap.tolist())
        thumbnails = map(block.thumbnails.get, range(len(numbers)))
        for number, *values_of_frame in zip(numbers, *values, block.frames, thumbnails, strict=True):
            self._hold(_Held(number - block.first_in_part, number, *values_of_frame))
            if len(self._held) == c3d.CLIP_LENGTH:
                clips.append(self._cut())
        return clips

    def finish(self, num_frames: int) -> list[Clip]:
        """The clip that ends with the part, if it is to be padded. ``num_frames``: how many the part has."""
        self._num_frames = num_frames
        is_wanted = self._held and self._num_left() and (self._plan.tail == "pad" or self.num_clips == 0)
        return [self._cut()] if is_wanted else []

    def warnings(self) -> Iterator[VideoWarning]:
        """After `finish`: what became of the frames at the part's end."""
        if 0 < self._num_frames < c3d.CLIP_LENGTH:
            text = f"The video has {count(self._num_frames, 'frame')}, a clip {c3d.CLIP_LENGTH}: the last frame was repeated."
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

    def _hold(self, frame: _Held) -> None:
        if self._held and self._held[-1].place + 1 < frame.place:  # the clip begun lacks frames
            self._held.clear()
        while self._next is not None and not self._held and self._next < frame.place:
            self._next = next(self._starts, None)
        if self._next is not None and frame.place >= self._next:
            self._held.append(frame)

    def _num_left(self) -> int:
        """How many frames from the next clip's start on are in no clip. Frames that a stride over 16 skips do not count."""
        return 0 if self._next is None else max(0, self._num_frames - max(self._covered, self._next))

    def _cut(self) -> Clip:
        held, start = list(self._held), self._next
        assert start is not None  # noqa: S101 (frames are held only where a clip is to come)
        padded = c3d.CLIP_LENGTH - len(held)
        num_damaged = sum(each.damaged for each in held)
        first, last = held[0], held[-1]
        span = ClipSpan(self.num_clips, first.number, last.number + 1, first.start_sec, last.end_sec, padded, num_damaged)
        if num_damaged:
            self.damaged_clips.append(span.index)
        if any(each.before_gap for each in held[:-1]):
            self.gap_clips.append(span.index)
        self.num_used += start + len(held) - max(self._covered, start)
        self._covered = start + len(held)
        self.num_clips += 1
        self._next = next(self._starts, None)
        while self._held and (self._next is None or self._held[0].place < self._next):
            self._held.popleft()
        frames = [each.frame for each in held]
        return Clip(span, np.stack(frames + frames[-1:] * padded), held[min(MIDDLE, len(held) - 1)].thumbnail)
