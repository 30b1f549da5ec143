"""The memory that batches run from: while one buffer runs, the other is filled with what is next in the queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Job(NamedTuple):
    """An item on its way through the batcher."""

    item: NDArray[Any]  # of the same shape and dtype for all
    future: Future[Any]  # of a `batcher.Done`
    since: float  # time.monotonic, when it was queued


class Filled(NamedTuple):
    """A batch in memory: its items (n, ...), and for each of its jobs the row that holds it."""

    items: NDArray[Any]
    rows: list[int]


class DoubleBuffer:
    """Two buffers in turn: one runs, the other is filled."""

    def __init__(self, size: int) -> None:
        self._buffers = [Buffer(size), Buffer(size)]
        self._thread = ThreadPoolExecutor(1, "buffer")

    @contextmanager
    def filled(self, batch: Sequence[Job], upcoming: Sequence[Job]) -> Iterator[Filled]:
        """A batch in memory. While the context lasts, ``upcoming`` jobs are copied into the other buffer.

        The next batch may hold others than those, or fewer: what was copied saves time and binds nobody. Raises what
        `Buffer.fill` does.
        """
        buffer, other = self._buffers
        filled = buffer.fill(batch)
        filling = [self._thread.submit(other.fill, upcoming)] if upcoming else []
        try:
            yield filled
        finally:
            wait(filling)  # it is long done; an error in it comes again when these jobs are to be run
            buffer.clear()
            self._buffers.reverse()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


class Buffer:
    """Memory for ``size`` items. Two jobs are the same where they are one object. Used by one thread at a time."""

    def __init__(self, size: int) -> None:
        self._jobs: list[Job | None] = [None] * size  # which job each row holds
        self._memory: NDArray[Any] | None = None

    def fill(self, jobs: Sequence[Job]) -> Filled:
        """The items of 1 to ``size`` jobs as one array, valid until the next call.

        Jobs that were filled in before are not copied again; others give way to them. Raises ValueError where an item has
        another shape than the first one ever filled in.
        """
        if self._memory is None:
            self._memory = np.empty((len(self._jobs), *jobs[0].item.shape), jobs[0].item.dtype)
        wanted = {id(job) for job in jobs}
        rows = {id(job): row for row, job in enumerate(self._jobs[: len(jobs)]) if id(job) in wanted}
        free = sorted(set(range(len(jobs))) - set(rows.values()))
        for job in (job for job in jobs if id(job) not in rows):
            if job.item.shape != self._memory.shape[1:]:
                raise ValueError(f"an item of shape {job.item.shape} among items of {self._memory.shape[1:]}")
            row = rows[id(job)] = free.pop(0)
            self._jobs[row] = None  # in case the copying fails
            self._memory[row, ...] = job.item
            self._jobs[row] = job
        return Filled(self._memory[: len(jobs)], [rows[id(job)] for job in jobs])

    def clear(self) -> None:
        """Keep no job any longer. The array that `fill` returned stays as it is."""
        self._jobs = [None] * len(self._jobs)
