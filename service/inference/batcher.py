"""Clips of many requests become batches. One thread owns what runs them; it knows neither video nor Keras.

Each request puts its clips into a lane of its own. Whenever the device is free, the thread takes what waits, one clip from each
lane in turn, up to the largest batch: nobody waits for a batch to fill, and a long video delays others by one batch. While a
batch runs, those next in line are brought into the memory of the next one; who comes later may still take the place of one.
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
from service.inference.double_buffer import DoubleBuffer
from service.inference.fair_queue import FairQueue

log = logging.getLogger(__name__)

RATE_WEIGHT = 0.1  # of the latest batch in the measured rate
STOPPING = partial(Draining, "The service is shutting down. Send the request again; another instance will take it.")
DOWN = partial(
    WorkerDown, "The worker that runs the network has stopped. Send the request again, to another instance if you can."
)
Run = Callable[[NDArray[Any]], Sequence[NDArray[Any]]]  # a batch (b, ...), written over once this returns, to outputs (b, ...)


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


class _Job(NamedTuple):
    item: NDArray[Any]
    future: Future[Done]
    since: float  # time.monotonic


class Batcher:
    """The queue and its thread.

    ``run`` is called by that thread alone, with one of ``batch_sizes`` items stacked: what waits is split into sizes the device
    has been warmed up for, never padded. 1 must be among them. ``on_batch`` hears of each pass that went well.

    Attributes: ``items_per_s`` lately, 0 before the first batch; ``failures``, batches in a row that raised.
    """

    def __init__(self, run: Run, batch_sizes: Sequence[int], on_batch: Callable[[BatchRun], None] = lambda run: None) -> None:
        if 1 not in batch_sizes:
            raise ValueError("batch sizes must include 1, or a lone clip could not run")
        self._run, self._on_batch = run, on_batch
        self.batch_sizes = tuple(sorted(batch_sizes))
        self.items_per_s, self.failures = 0.0, 0
        self._waiting: FairQueue[_Job] = FairQueue()
        self._assembly: DoubleBuffer[_Job] = DoubleBuffer(max(batch_sizes))
        self._running: list[_Job] = []
        self._retrying: list[_Job] = []  # those of a batch that raised which are still to be run by themselves
        self._since = time.monotonic()  # when the batch that runs began, or the last one ended
        self._changed = threading.Condition()  # guards the above, and
        self._closed: partial[Draining] | partial[WorkerDown] | None = None
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether anything put into a lane will be run."""
        return self._closed is None and self._thread.is_alive()

    def num_waiting(self) -> int:
        """Items that wait for a batch."""
        return len(self._waiting)

    def seconds(self) -> tuple[float, float]:
        """For how long the batch that runs has been running, and for how long none has; one of them is 0."""
        with self._changed:
            elapsed = time.monotonic() - self._since
            return (elapsed, 0.0) if self._running else (0.0, elapsed)

    def stop(self, timeout_s: float | None = None) -> None:
        """Answer all that waits, and all that comes from now on, with Draining; wait for the batch that runs, so long at most."""
        self._end(STOPPING)
        self._thread.join(timeout_s)

    def abandon(self) -> None:
        """Answer everything with WorkerDown, the batch that runs too: it is held to be stuck, and its thread is given up."""
        self._end(DOWN)
        _fail(self._finished(), DOWN())

    def submit(self, lane: Hashable, item: NDArray[Any]) -> Future[Done]:
        """Queue one item behind those of its lane; any object names one.

        The future ends with Done, with what ``run`` raised on this item alone, or with Draining or WorkerDown, which are raised
        at once where nothing will be run any more.
        """
        future: Future[Done] = Future()
        with self._changed:
            if self._closed is not None:
                raise self._closed()
            self._waiting.put(lane, _Job(item, future, time.monotonic()))
            self._changed.notify()
        return future

    def drop(self, lane: Hashable) -> None:
        """Cancel what waits in the lane: for a request that is over, well or not."""
        with self._changed:
            dropped = self._waiting.drop(lane)
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
            self.abandon()  # says nothing new after stop(); else no caller is left waiting
            self._assembly.close()

    def _take(self) -> list[_Job]:
        """Wait for work; then as many of those that wait as the largest batch size they fill. [] at the end."""
        with self._changed:
            while self._closed is None:
                if self._retrying:
                    return [self._retrying.pop(0)]
                self._waiting.discard(lambda job: job.future.cancelled())
                batch = self._waiting.take(self._next_size())
                if any([job.future.set_running_or_notify_cancel() for job in batch]):  # noqa: C419 (each must be told)
                    return batch  # with one cancelled just now, if need be: another size would not be warm
                if not batch:
                    self._changed.wait()
            return []

    def _next_size(self) -> int:
        return max((size for size in self.batch_sizes if size <= len(self._waiting)), default=0)

    def _run_batch(self, batch: list[_Job]) -> None:
        """One bad item must not fail its neighbours: where a batch raises, each item runs once more by itself."""
        with self._changed:
            self._running, self._since = batch, time.monotonic()
            coming = self._waiting.peek(self._next_size())
        started = self._since
        try:
            with self._assembly.stacked(batch, coming) as (items, places):
                outputs = self._run(items)
        except Exception as error:
            self.failures += 1
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
        self.failures = 0
        self._on_batch(run)
        for place, job in zip(places, self._finished(), strict=False):  # none where it was abandoned
            if not job.future.cancelled():
                job.future.set_result(Done(tuple(output[place] for output in outputs), started - job.since, run))

    def _finished(self) -> list[_Job]:
        """The batch that ran, to be answered by whoever gets it: once, whether it ended or was abandoned."""
        with self._changed:
            batch, self._running, self._since = self._running, [], time.monotonic()
            return batch


def _fail(batch: list[_Job], error: Exception) -> None:
    for job in batch:
        if not job.future.cancelled():
            job.future.set_exception(error)
