"""Clips of many requests become batches. One thread owns what runs them; it knows neither video nor Keras.

Whenever the device is free, the thread takes what waits, one clip of each request in turn, up to the largest batch: nobody waits
for a batch to fill, and a long video delays others by one batch. While a batch runs, the clips that are next in the queue are
copied into the next batch's memory. A clip that comes later may still take one's turn.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

from numpy.typing import NDArray

from service.errors import Draining, WorkerDown
from service.inference.double_buffer import DoubleBuffer, Job
from service.inference.fair_queue import FairQueue

log = logging.getLogger(__name__)

RATE_WEIGHT = 0.1  # of the latest batch in the measured rate
STOPPING = partial(Draining, "The service is shutting down. Send the request again; another instance will take it.")
DOWN = partial(
    WorkerDown, "The worker that runs the network has stopped. Send the request again, to another instance if you can."
)
Run = Callable[[NDArray[Any]], Sequence[NDArray[Any]]]  # a batch (b, ...), overwritten once this returns, to outputs (b, ...)


class BatchRun(NamedTuple):
    """One pass over the device: its number since the start, how many items it held, the seconds it took."""

    number: int
    size: int
    seconds: float


class Done(NamedTuple):
    """One item's rows of the outputs, how long it waited for its batch, and that batch."""

    rows: tuple[NDArray[Any], ...]
    waited_s: float
    batch: BatchRun


class Batcher:
    """The queue and its thread.

    ``run`` is called by that thread alone, with one of ``batch_sizes`` items stacked: what waits is split into sizes the device
    has been warmed up for, never padded. 1 must be among them. ``on_batch`` is called after each pass that went well.

    Attributes: ``items_per_s`` lately, 0 before the first batch; ``is_failing``, whether a batch raised since the last one that
    went well.
    """

    def __init__(self, run: Run, batch_sizes: Sequence[int], on_batch: Callable[[BatchRun], None] = lambda run: None) -> None:
        if 1 not in batch_sizes:
            raise ValueError("batch sizes must include 1, or a lone clip could not run")
        self._run, self._on_batch = run, on_batch
        self.batch_sizes = tuple(sorted(batch_sizes))
        self.items_per_s, self.is_failing = 0.0, False
        self._waiting: FairQueue[Job] = FairQueue()
        self._buffer = DoubleBuffer(max(batch_sizes))
        self._running: list[Job] = []
        self._retrying: list[Job] = []  # of a batch that raised: what is still to be run by itself
        self._since = time.monotonic()  # when the batch that runs began, or the last one ended
        self._changed = threading.Condition()  # guards the above and `_closed`
        self._closed: partial[Draining] | partial[WorkerDown] | None = None
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether what is submitted will be run."""
        return self._closed is None and self._thread.is_alive()

    def num_waiting(self) -> int:
        """Items that wait for a batch."""
        return len(self._waiting)

    def seconds(self) -> tuple[float, float]:
        """Seconds that the current batch has been running, and seconds since the last one ended; one of them is 0."""
        with self._changed:
            elapsed = time.monotonic() - self._since
            return (elapsed, 0.0) if self._running else (0.0, elapsed)

    def stop(self, timeout_s: float | None = None) -> None:
        """Fail what waits, and what comes from now on, with Draining. Waits ``timeout_s`` at most for the batch that runs."""
        self._end(STOPPING)
        self._thread.join(timeout_s)

    def abandon(self) -> None:
        """Fail everything with WorkerDown, also the batch that runs: it counts as stuck, and its thread is left alone."""
        self._end(DOWN)
        _fail(self._finished(), DOWN())

    def submit(self, owner: Hashable, item: NDArray[Any]) -> Future[Done]:
        """Queue one item behind the others of its owner, which is any object: one for a request.

        The future's result is Done, or it raises what ``run`` raised on this item alone, Draining or WorkerDown. The last two
        are raised at once where nothing will be run any more.
        """
        future: Future[Done] = Future()
        with self._changed:
            if self._closed is not None:
                raise self._closed()
            self._waiting.put(owner, Job(item, future, time.monotonic()))
            self._changed.notify()
        return future

    def drop(self, owner: Hashable) -> None:
        """Cancel what waits for an owner, because its request is over."""
        with self._changed:
            dropped = self._waiting.drop(owner)
        for job in dropped:
            job.future.cancel()

    def _end(self, reason: partial[Draining] | partial[WorkerDown]) -> None:
        with self._changed:
            self._closed = self._closed or reason
            waiting, retrying = self._waiting.take(len(self._waiting)), self._retrying
            self._retrying = []
            self._changed.notify()
        _fail([*retrying, *(job for job in waiting if job.future.set_running_or_notify_cancel())], self._closed())

    def _work(self) -> None:
        try:
            while batch := self._take():
                self._run_batch(batch)
        finally:
            self.abandon()  # does nothing after stop(); otherwise it answers every caller
            self._buffer.close()

    def _take(self) -> list[Job]:
        """Wait for work, then take as many items as the largest batch size that they fill. [] at the end."""
        with self._changed:
            while self._closed is None:
                if self._retrying:
                    return [self._retrying.pop(0)]
                self._waiting.discard(lambda job: job.future.cancelled())
                batch = self._waiting.take(self._next_size())
                if any([job.future.set_running_or_notify_cancel() for job in batch]):  # noqa: C419 (it must be called for each)
                    return batch  # a cancelled item stays in its batch: another size would not be warm
                if not batch:
                    self._changed.wait()
            return []

    def _next_size(self) -> int:
        return max((size for size in self.batch_sizes if size <= len(self._waiting)), default=0)

    def _run_batch(self, batch: list[Job]) -> None:
        """Run a batch. Where it raises, each item runs once more by itself: one bad item must not fail its neighbours."""
        with self._changed:
            self._running, self._since = batch, time.monotonic()
            upcoming = self._waiting.peek(self._next_size())
        started = self._since
        try:
            with self._buffer.filled(batch, upcoming) as (items, rows):
                outputs = self._run(items)
        except Exception as error:
            self.is_failing = True
            with self._changed:
                self._running, failed = [], self._running
                if len(batch) > 1:
                    failed, self._retrying = [], failed
            log.exception("a batch of %d failed%s", len(batch), "; its items run one by one" if self._retrying else "")
            _fail(failed, error)
            return
        run = BatchRun(next(self._numbers), len(batch), time.monotonic() - started)
        rate = run.size / max(run.seconds, 1e-9)
        self.items_per_s += (rate - self.items_per_s) * (RATE_WEIGHT if self.items_per_s else 1)
        self.is_failing = False
        self._on_batch(run)
        for row, job in zip(rows, self._finished(), strict=False):  # none where the batch was abandoned
            if not job.future.cancelled():
                job.future.set_result(Done(tuple(output[row] for output in outputs), started - job.since, run))

    def _finished(self) -> list[Job]:
        """The batch that ran, for the one caller that is to answer it, whether it ended or was abandoned."""
        with self._changed:
            batch, self._running, self._since = self._running, [], time.monotonic()
            return batch


def _fail(batch: list[Job], error: Exception) -> None:
    for job in batch:
        if not job.future.cancelled():
            job.future.set_exception(error)
