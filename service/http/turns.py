"""Work in the event loop that strangers can make dear: done in small pieces, one after the other, with pauses for the rest."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

PAUSE_S = 0.01  # behind a piece of 2 to 3 ms: a fifth of the loop's time, however many want some of it


class Turns:
    """A queue of pieces of work that all connections of one event loop share."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_running = False

    def wait(self, piece: Callable[[], None]) -> None:
        """Have the piece done when its turn has come."""
        self._waiting.append(piece)
        if not self._is_running:
            self._is_running = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Do one piece. The pause comes behind it in any case, or a client alone would have no pauses."""
        self._is_running = bool(self._waiting)
        if self._waiting:
            asyncio.get_running_loop().call_later(PAUSE_S, self._next)
            self._waiting.popleft()()
