"""When each frame is shown, whether the file could be trusted to say so, and how regular the times are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PAUSE = 3.0  # frames' time between two starts from which on it is a gap, not only a long frame ...
MAX_PAUSES = 3  # ... unless that happens more often: then it is a variable rate
VARIABLE_RATE = 1.5  # longest frame over shortest, from which on a video's frame rate is called variable
USUAL_SHARE = 0.9  # of the frames that last about equally long, from which on the rate is theirs: others are lost or doubled
SAME_RATE = 0.005  # relative difference up to which the rate in the header is the one that the times show


class Rhythm(NamedTuple):
    """How the frames of a video follow each other.

    ``fps``: frames per second where there is no gap, None for a single frame. ``is_variable``: frames last differently long.
    ``gaps``: from the start of a frame to the start of the next one, in seconds, where that is much longer than elsewhere.
    """

    fps: float | None
    is_variable: bool
    gaps: list[list[float]]


def rhythm_of(starts: NDArray[np.float64], tick_sec: float, rates: Sequence[Fraction] = ()) -> Rhythm:
    """``starts``: when frames start, in seconds, rising. ``tick_sec``: what they are multiples of. ``rates``: of headers."""
    lasted = np.diff(starts)
    if not len(lasted):
        return Rhythm(float(rates[0]) if rates else None, is_variable=False, gaps=[])
    typical = np.median(lasted)
    is_gap = lasted > PAUSE * typical
    regular = lasted[~is_gap]
    usual = lasted[(lasted > typical / VARIABLE_RATE) & (lasted < typical * VARIABLE_RATE)]
    fps = float(1 / (usual if len(usual) >= USUAL_SHARE * len(lasted) else regular).mean())
    fps = next((float(rate) for rate in rates if abs(float(rate) / fps - 1) < SAME_RATE + tick_sec * fps / len(regular)), fps)
    shortest, longest = float(regular.min()), float(regular.max())
    is_uneven = longest > VARIABLE_RATE * shortest and longest - shortest > 2 * tick_sec * (1 + 1e-6)  # times are whole ticks
    is_variable = is_uneven or int(is_gap.sum()) > MAX_PAUSES
    gaps = [] if is_variable else [[float(starts[n]), float(starts[n + 1])] for n in np.flatnonzero(is_gap)]
    return Rhythm(fps, is_variable, gaps)


class Clock:
    """Start times in seconds from the stream's beginning, each later than the one before, by timestamps where they serve.

    ``rate``: average frames per second. ``by_index``: it is not known which timestamp belongs to which frame (AVI with B-frames),
    so a frame starts at the one of ``starts_sec`` that has its index, where that is given, else at its index / rate. Elsewhere,
    where a timestamp is missing or does not rise, a frame starts one average frame after the one before it. ``tick_sec``: what
    timestamps are multiples of.
    """

    def __init__(self, rate: Fraction, *, by_index: bool, tick_sec: float, starts_sec: Sequence[float] = ()) -> None:
        self._rate, self._by_index, self._tick_sec, self._starts_sec = rate, by_index, tick_sec, starts_sec
        self.estimated = by_index  # whether any time is a guess
        self.last_sec = -math.inf  # when the last frame starts ...
        self.end_sec = 0.0  # ... and ends
        self._starts: list[float] = []

    @property
    def num_frames(self) -> int:
        """How many frames there have been."""
        return len(self._starts)

    def start_of(self, stamp_sec: float | None, duration_sec: float | None) -> float:
        """When the next frame is shown, given what the file says of it."""
        frame_sec = float(1 / self._rate)
        if self._by_index:
            known = self._starts_sec[self.num_frames : self.num_frames + 1]
            stamp_sec, duration_sec = known[0] if known else float(self.num_frames / self._rate), frame_sec
        if stamp_sec is None or stamp_sec <= self.last_sec:
            self.estimated = True
            stamp_sec = self.last_sec + frame_sec if self._starts else 0.0
        self._starts.append(stamp_sec)
        self.last_sec, self.end_sec = stamp_sec, stamp_sec + (duration_sec or frame_sec)
        return stamp_sec

    def is_gap(self, start_sec: float, end_sec: float) -> bool:
        """Whether a frame lasts so long that others seem to be missing behind it."""
        return end_sec - start_sec > PAUSE * float(1 / self._rate)

    def rhythm(self) -> Rhythm:
        """Of all frames so far."""
        return rhythm_of(np.array(self._starts), self._tick_sec, [self._rate])
