"""How far a download is, how fast, how long it will take: one line that renews itself, or one line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

MIB = 2**20
TERMINAL_S, LOG_S = 0.2, 10.0  # seconds between two lines on a terminal, and in a log
BAR = 30  # characters


class Progress:
    """Tells ``out`` about one download of ``total`` bytes (None: unknown), ``had`` of which were there before."""

    def __init__(self, out: TextIO, name: str, total: int | None, had: int, clock: Callable[[], float] = time.monotonic):
        self._out, self._name, self._total, self._had, self._clock = out, name, total, had, clock
        self._terminal = out.isatty()
        self._began = self._said = clock()

    def update(self, have: int) -> None:
        """``have`` bytes are there now; said where the last line is old enough."""
        now = self._clock()
        if now - self._said >= (TERMINAL_S if self._terminal else LOG_S):
            self._said = now
            self._say(have, now, end="" if self._terminal else "\n")

    def end(self, have: int) -> None:
        """The last line, always said."""
        self._say(have, self._clock(), end="\n")

    def _say(self, have: int, now: float, end: str) -> None:
        start = "\r\x1b[K" if self._terminal else ""
        print(start + describe(self._name, have, self._total, (have - self._had, now - self._began)), end=end, file=self._out)
        self._out.flush()


def describe(name: str, have: int, total: int | None, came: tuple[int, float]) -> str:
    """One line: ``have`` of ``total`` bytes, of which ``came`` = (bytes, seconds) in this run.

    >>> describe("w.h5", 52428800, 104857600, (20971520, 10.0))
    'w.h5 [###############               ] 50.0 of 100.0 MiB, 2.0 MiB/s, 25 s left'
    """
    num_bytes, seconds = came
    rate = num_bytes / seconds if seconds > 0 else 0.0
    if total is None:
        return f"{name} {have / MIB:.1f} MiB, {rate / MIB:.1f} MiB/s"
    bar = "#" * min(BAR, have * BAR // max(total, 1))
    left = f", {_duration((total - have) / rate)} left" if rate and have < total else ""
    return f"{name} [{bar:<{BAR}}] {have / MIB:.1f} of {total / MIB:.1f} MiB, {rate / MIB:.1f} MiB/s{left}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
