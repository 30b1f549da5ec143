"""When each frame is shown, and whether the file could be trusted to say so."""

from __future__ import annotations

import math
from fractions import Fraction

HOLE = 3.0  # frames' time between two starts, from which on frames are missing rather than long ...
MAX_HOLES = 3  # ... unless that happens often, which is a variable rate
VARIABLE_RATE = 1.5  # longest frame over shortest, from which a video's frame rate is called variable


class Clock:
    """Start times in seconds from the stream's beginning, each later than the one before, by timestamps where they serve.

    ``rate``: average frames per second. ``by_index``: the file has no timestamps to trust (AVI with B-frames), so a frame
    starts at its index / rate. Elsewhere, where a timestamp is missing or does not rise, a frame starts one average frame
    after the one before it. ``tick_sec``: what timestamps are multiples of.
    """

    def __init__(self, rate: Fraction, *, by_index: bool, tick_sec: float) -> None:
        self._rate, self._by_index, self._tick_sec = rate, by_index, tick_sec
        self.num_frames = 0
        self.estimated = by_index  # whether any time is a guess
        self.last_sec = -math.inf  # when the last frame starts ...
        self.end_sec = 0.0  # ... and ends
        self._shortest, self._longest = math.inf, 0.0  # but for holes
        self._holes: list[list[float]] = []  # the first few: one more than MAX_HOLES says that there are too many

    def start_of(self, stamp_sec: float | None, duration_sec: float | None) -> float:
        """When the next frame is shown, given what the file says of it."""
        frame_sec = float(1 / self._rate)
        if self._by_index:
            stamp_sec, duration_sec = float(self.num_frames / self._rate), frame_sec
        if stamp_sec is None or stamp_sec <= self.last_sec:
            self.estimated = True
            stamp_sec = self.last_sec + frame_sec if self.num_frames else 0.0
        if self.num_frames:
            self._measure(self.last_sec, stamp_sec, frame_sec)
        self.num_frames += 1
        self.last_sec, self.end_sec = stamp_sec, stamp_sec + (duration_sec or frame_sec)
        return stamp_sec

    def _measure(self, last_sec: float, start_sec: float, frame_sec: float) -> None:
        lasted = start_sec - last_sec
        if lasted > HOLE * frame_sec:
            self._holes = [*self._holes, [last_sec, start_sec]][: MAX_HOLES + 1]
            return
        self._shortest, self._longest = min(self._shortest, lasted), max(self._longest, lasted)

    def _is_regular(self) -> bool:
        """But for holes. Timestamps are whole ticks, so those of a constant rate may still differ by two."""
        return self._longest <= VARIABLE_RATE * self._shortest or self._longest - self._shortest <= 2 * self._tick_sec

    @property
    def holes(self) -> list[list[float]]:
        """Where frames are missing, from the start of one to the start of the next that is there, in seconds."""
        return [] if self.variable else self._holes

    @property
    def variable(self) -> bool:
        """Whether frames last differently long. A few holes in a constant rate do not make it variable."""
        return not self._is_regular() or len(self._holes) > MAX_HOLES
