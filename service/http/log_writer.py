"""Lines of the log on their way to stderr, where nobody may be reading: they wait in a bounded queue; the service never waits."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque

MAX_LINES = 4096  # that wait; a line has at most 20 kB
FLUSH_S = 2.0  # that the end of the process waits for a reader


class LogWriter(logging.Handler):
    """Writes to a file descriptor from a thread of its own. Where too many lines wait, further ones are dropped and counted."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._lines: deque[str] = deque()
        self._is_writing = False
        self._changed = threading.Condition()
        self.num_dropped = 0
        threading.Thread(target=self._write, name="log", daemon=True).start()

    @property
    def waiting(self) -> int:
        """How many lines wait to be written."""
        return len(self._lines)

    def emit(self, record: logging.LogRecord) -> None:
        """Have the record written, or count it."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 (a wrong format string must not end who logs; so does logging itself)
            self.handleError(record)
            return
        with self._changed:
            if len(self._lines) >= MAX_LINES:
                self.num_dropped += 1
                return
            self._lines.append(line)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all is written, for some seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines and not self._is_writing, FLUSH_S)

    def _write(self) -> None:
        num_told = 0
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._lines))
                self._is_writing = True
                line, num_dropped = self._lines.popleft(), self.num_dropped
            if num_dropped > num_told:
                self._put(self.format(_dropped(num_dropped - num_told)))
                num_told = num_dropped
            self._put(line)

    def _put(self, line: str) -> None:
        left = memoryview(line.encode(errors="backslashreplace") + b"\n")
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:  # nobody will ever read it again
            with self._changed:
                self.num_dropped += 1


def num_dropped() -> int:
    """How many lines of this process's log were dropped."""
    return sum(handler.num_dropped for handler in logging.getLogger().handlers if isinstance(handler, LogWriter))


def _dropped(count: int) -> logging.LogRecord:
    text = "%d lines of the log were dropped: nobody read them fast enough"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, (count,), None)
