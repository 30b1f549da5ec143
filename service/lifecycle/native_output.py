"""What C++ libraries print while the network loads: kept out of the log, which is ours, and shown where the load fails.

TensorFlow writes to file descriptor 2 before it reads any setting, in a form that no log collector parses.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

STDERR = 2


def keep_stderr() -> None:
    """Give Python's stderr, and the stack of a crash, a descriptor of their own, so that `collected` does not take them."""
    sys.stderr = os.fdopen(os.dup(STDERR), "w", buffering=1, errors="backslashreplace")
    faulthandler.enable(sys.stderr)


@contextmanager
def collected() -> Iterator[None]:
    """What the process writes to descriptor 2 becomes lines of the log: at level DEBUG, or WARNING where the block fails."""
    before = os.dup(STDERR)
    level = logging.WARNING
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), STDERR)
        try:
            yield
            level = logging.DEBUG
        finally:
            os.dup2(before, STDERR)
            os.close(before)
            file.seek(0)
            for line in file.read().decode(errors="replace").splitlines():
                log.log(level, "%s", line)
