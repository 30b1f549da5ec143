"""When a request is tried again, and when that has lasted too long."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from c3d_video.errors import C3DError

FIRST_PAUSE_S = 1.0  # where the service names no time of its own; doubled each time, since a restart takes seconds
LONGEST_PAUSE_S = 15.0
SPREAD = 0.5  # a pause lasts 1 to 1.5 times as long, so that many clients do not come back in one moment


def pause_s(error: C3DError, num_failures: int) -> float:
    """Seconds to wait after the ``num_failures``th failure in a row, 1 and up."""
    seconds = error.retry_after_s
    if seconds is None:
        seconds = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(num_failures - 1, 10))
    return seconds * (1 + SPREAD * random.random())  # noqa: S311 (no secret)


class Retrying:
    """The tries of one request, over at most ``patience_s`` seconds without any progress."""

    def __init__(self, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_s, self._clock = patience_s, clock
        self._num_failures = 0
        self._since = clock()

    def progressed(self) -> None:
        """Something came: patience starts again."""
        self._num_failures, self._since = 0, self._clock()

    def pause_after(self, error: C3DError) -> float:
        """Seconds to wait before the next try. Raises the error where another try is no use, or patience is at its end."""
        self._num_failures += 1
        seconds = pause_s(error, self._num_failures)
        if not error.is_retryable or self._clock() + seconds - self._since > self._patience_s:
            raise error
        return seconds
