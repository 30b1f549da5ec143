"""Where the videos of running requests lie: a directory that is this process's own, and what earlier processes left of theirs."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

PREFIX = "c3d-spool-"


@contextmanager
def directory(parent: Path | None) -> Iterator[Path]:
    """A fresh private directory under ``parent`` (None: the system's temporary directory), gone with the context.

    It is locked while it lives. One that nobody has locked is what a crash left, and is removed first: a lock ends with its
    process, whatever ended that.
    """
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    else:
        parent = Path(tempfile.gettempdir())
    _sweep(parent)
    own = Path(tempfile.mkdtemp(dir=parent, prefix=PREFIX))
    lock = os.open(own, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        os.close(lock)


def _sweep(parent: Path) -> None:
    for left in parent.glob(f"{PREFIX}*"):
        try:
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # another user's, or gone already
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
            log.info("removed what an earlier process left in %s", left)
        except BlockingIOError:
            log.debug("%s is in use", left)
        finally:
            os.close(lock)
