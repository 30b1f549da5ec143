"""Clips of many requests become batches. One thread owns what runs them; it knows neither video nor Keras.

Each request opens a `Lane` and puts clips into it. Whenever the device is free, the thread takes what waits, one clip from
each lane in turn, up to the largest batch: nobody waits for a batch to fill, and a long video delays others by one batch.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import Draining, WorkerDown

log = logging.getLogger(__name__)

Run = Callable[[NDArray[Any]], Sequence[NDArray[Any]]]  # a batch (b, ...) to outputs, each (b, ...)


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


class Lane:
    """One request's place in the queue. Its items run in the order they came."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self.jobs: deque[_Job] = deque()  # the batcher's, under its lock

    def submit(self, item: NDArray[Any]) -> Future[Done]:
        """Queue one item. Its future ends with Done, with what ``run`` raised on it alone, or with Draining or WorkerDown."""
        return self._batcher.submit(self, item)

    def close(self) -> None:
        """Drop what still waits: for a request that is over, well or not."""
        self._batcher.drop(self)


class Batcher:
    """The queue and its thread.

    ``run`` is called by that thread alone, with one of ``batch_sizes`` items stacked: what waits is split into sizes the
    device has been warmed up for, never padded. 1 must be among them.
    """

    def __init__(self, run: Run, batch_sizes: Sequence[int]) -> None:
        if 1 not in batch_sizes:
            raise ValueError("batch sizes must include 1, or a lone clip could not run")
        self._run = run
        self.batch_sizes = tuple(sorted(batch_sizes))
        self._lanes: deque[Lane] = deque()  # those with something waiting; the next in turn is first
        self._changed = threading.Condition()
        self._closed: type[Draining | WorkerDown] | None = None
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def open(self) -> Lane:
        """A place in the queue for one request."""
        return Lane(self)

    def is_alive(self) -> bool:
        """Whether anything put into a lane will be run."""
        return self._closed is None and self._thread.is_alive()

    def stop(self) -> None:
        """Finish the batch that runs, answer everything that waits with Draining, end the thread."""
        self._end(Draining)
        self._thread.join()

    def submit(self, lane: Lane, item: NDArray[Any]) -> Future[Done]:
        """What `Lane.submit` says. Raises Draining or WorkerDown where nothing will be run any more."""
        future: Future[Done] = Future()
        with self._changed:
            if self._closed is not None:
                raise _ended(self._closed)
            if not lane.jobs:
                self._lanes.append(lane)
            lane.jobs.append(_Job(item, future, time.monotonic()))
            self._changed.notify()
        return future

    def drop(self, lane: Lane) -> None:
        """Cancel what waits in the lane."""
        with self._changed:
            dropped = list(lane.jobs)
            lane.jobs.clear()
            if lane in self._lanes:
                self._lanes.remove(lane)
        for job in dropped:
            job.future.cancel()

    def _end(self, reason: type[Draining | WorkerDown]) -> None:
        with self._changed:
            self._closed = self._closed or reason
            waiting = [job for lane in self._lanes for job in lane.jobs]
            self._lanes.clear()
            self._changed.notify()
        for job in waiting:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(_ended(self._closed))

    def _work(self) -> None:
        try:
            while batch := self._take():
                self._run_batch(batch)
        finally:
            self._end(WorkerDown)  # says nothing new after stop(); else no caller is left waiting

    def _take(self) -> list[_Job]:
        """Wait for work; then one item of each lane in turn, as many as the largest batch size they fill. [] at the end."""
        with self._changed:
            while self._closed is None:
                waiting = sum(len(lane.jobs) for lane in self._lanes)
                size = max((size for size in self.batch_sizes if size <= waiting), default=0)
                jobs = [self._next() for _ in range(size)]
                if batch := [job for job in jobs if job.future.set_running_or_notify_cancel()]:
                    return batch
                if not waiting:
                    self._changed.wait()
            return []

    def _next(self) -> _Job:
        lane = self._lanes.popleft()
        job = lane.jobs.popleft()
        if lane.jobs:
            self._lanes.append(lane)
        return job

    def _run_batch(self, batch: list[_Job]) -> None:
        started = time.monotonic()
        try:
            outputs = self._run(np.stack([job.item for job in batch]))
        except Exception as error:  # noqa: BLE001 (whatever the device raises is the callers' to hear, and not our end)
            self._retry_alone(batch, error)
            return
        except BaseException:
            for job in batch:
                job.future.set_exception(_ended(WorkerDown))
            raise
        run = BatchRun(next(self._numbers), len(batch), time.monotonic() - started)
        for i, job in enumerate(batch):
            job.future.set_result(Done(tuple(output[i] for output in outputs), started - job.since, run))

    def _retry_alone(self, batch: list[_Job], error: Exception) -> None:
        """One bad item must not fail its neighbours: each runs once more by itself, and the culprits hear what happened."""
        if len(batch) == 1:
            batch[0].future.set_exception(error)
            return
        log.error("a batch of %d failed; its items run one by one", len(batch), exc_info=error)
        for job in batch:
            self._run_batch([job])


def _ended(reason: type[Draining | WorkerDown]) -> Draining | WorkerDown:
    if reason is Draining:
        return Draining("The service is shutting down. Send the request again; another instance will take it.")
    return WorkerDown("The worker that runs the network has stopped. Send the request again, to another instance if you can.")
