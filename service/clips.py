"""Where clips start, and what happens at the end of a video."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service import c3d
from service.errors import Notice

Tail = Literal["drop", "pad"]


@dataclass(frozen=True)
class ClipSpan:
    """Which part of the video a clip is: half-open in frames and in seconds.

    ``end_sec`` is the start of the frame after it, or the end of the video. ``num_padded_frames`` of its 16 repeat the last.
    """

    index: int
    start_frame: int
    end_frame: int
    start_sec: float
    end_sec: float
    num_padded_frames: int


class Clip(NamedTuple):
    """What the network sees: ``frames`` uint8 (16, 112, 112, 3) BGR, and which part of the video it is."""

    span: ClipSpan
    frames: NDArray[np.uint8]


class ClipCutter:
    """Cuts clips out of frames as they come, holding at most one clip's frames.

    ``stride``: frames between clip starts, 1 or more. ``tail``: "drop" the frames behind the last whole clip, or "pad" one more
    clip with them by repeating the last frame. A video shorter than a clip is padded to one either way.
    """

    def __init__(self, stride: int = c3d.CLIP_STRIDE, tail: Tail = "drop") -> None:
        self.stride, self.tail = stride, tail
        self.num_frames = 0  # seen
        self.num_clips = 0
        self.num_used = 0  # frames that are in at least one clip
        self._covered = 0  # the frame after the last one in a clip
        self._held: deque[tuple[NDArray[np.uint8], float]] = deque()  # from the next clip's start on

    def add(self, frames: NDArray[np.uint8], start_sec: NDArray[np.float64]) -> list[Clip]:
        """Take frames uint8 (n, 112, 112, 3) and their starts (n,) in seconds; the clips whose end is now known."""
        clips = []
        for frame, start in zip(frames, start_sec.tolist(), strict=True):
            if len(self._held) == c3d.CLIP_LENGTH:
                clips.append(self._cut(end_sec=start))
            if self.num_frames >= self.num_clips * self.stride:
                self._held.append((frame, start))
            self.num_frames += 1
        return clips

    def finish(self, end_sec: float) -> list[Clip]:
        """The clips that end with the video, at ``end_sec``."""
        clips = [self._cut(end_sec)] if len(self._held) == c3d.CLIP_LENGTH else []
        if self._num_left() and (self.tail == "pad" or self.num_clips == 0):
            clips.append(self._cut(end_sec))
        return clips

    def notices(self) -> list[Notice]:
        """After `finish`: what of the video's end the answer rests on."""
        if 0 < self.num_frames < c3d.CLIP_LENGTH:
            text = f"The video has {self.num_frames} frames, a clip {c3d.CLIP_LENGTH}: the last frame was repeated."
            return [Notice("short_video_padded", text)]
        if left := self._num_left():
            text = f"The last {left} frames fill no clip and were left out; tail=pad keeps them."
            return [Notice("tail_frames_dropped", text)]
        return []

    def _num_left(self) -> int:
        """How many frames since the next clip's start are in no clip. Frames that a stride over 16 skips do not count."""
        return max(0, self.num_frames - max(self._covered, self.num_clips * self.stride))

    def _cut(self, end_sec: float) -> Clip:
        frames = [frame for frame, _ in self._held]
        padded = c3d.CLIP_LENGTH - len(frames)
        start = self.num_clips * self.stride
        span = ClipSpan(self.num_clips, start, start + len(frames), self._held[0][1], end_sec, padded)
        self.num_used += span.end_frame - max(self._covered, span.start_frame)
        self._covered = span.end_frame
        self.num_clips += 1
        for _ in range(min(self.stride, len(self._held))):
            self._held.popleft()
        return Clip(span, np.stack(frames + frames[-1:] * padded))
