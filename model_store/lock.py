"""One writer at a time: the store's lock, and clearing up after a writer that was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from model_store import store

LOCK = ".lock"


@contextmanager
def hold(directory: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the store at ``directory`` (made where missing) for writing; wait for another writer, and say so.

    The kernel frees the lock when its process ends, however it ends. Raises OSError where the disk refuses.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another command is writing to {directory}; waiting for it to end.")
            fcntl.flock(file, fcntl.LOCK_EX)
        clear_up(directory)
        yield


def clear_up(directory: Path) -> None:
    """Remove what a killed `store.write` left; put back a model it had taken away and not yet replaced.

    Only while nobody else writes: behind `hold`.
    """
    for old in directory.glob(f"{store.OLD}*/*"):
        if not (directory / old.name).exists():
            os.rename(old, directory / old.name)
    for prefix in (store.OLD, store.NEW):
        for left in directory.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
