"""The batcher's contract, told with a run function that the test holds the reins of. Nothing here looks at a clock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import Draining, WorkerDown
from service.inference.batcher import Batcher, BatchRun, Done

Batch = list[int]


@dataclass(eq=False)
class Request:
    """One request: the owner of its clips."""

    batcher: Batcher

    def submit(self, item: NDArray[Any]) -> Future[Done]:
        return self.batcher.submit(self, item)

    def close(self) -> None:
        self.batcher.drop(self)


class Device:
    """Doubles numbers. Each batch waits for the test's leave, once ``hold`` was called; what raises is up to ``fail``."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.fail: Callable[[Batch], BaseException | None] = lambda batch: None
        self._began = threading.Semaphore(0)
        self._leave = threading.Semaphore(0)
        self._held = threading.Event()

    def __call__(self, items: NDArray[Any]) -> Sequence[NDArray[Any]]:
        batch = [int(item) for item in items]
        self.batches.append(batch)
        self._began.release()
        if self._held.is_set():
            self._leave.acquire()
        if error := self.fail(batch):
            raise error
        return items * 2, items + 100

    def hold(self) -> None:
        self._held.set()

    def wait_for_batch(self) -> None:
        self._began.acquire()

    def release(self, batches: int = 1) -> None:
        self._leave.release(batches)

    def let_go(self) -> None:
        self._held.clear()
        self._leave.release(1000)


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def batcher(device: Device) -> Iterator[Batcher]:
    made = Batcher(device, (1, 2, 4))
    yield made
    device.let_go()
    made.stop()


def put(request: Request, *numbers: int) -> list[Future[Done]]:
    return [request.submit(np.array(number)) for number in numbers]


def results(futures: Sequence[Future[Done]]) -> list[int]:
    return [int(future.result().rows[0]) for future in futures]


def occupy(device: Device, batcher: Batcher) -> Future[Done]:
    """Keep the device busy with item 0, so that what comes next waits."""
    device.hold()
    [future] = put(Request(batcher), 0)
    device.wait_for_batch()
    return future


def test_gives_each_item_its_own_rows(batcher: Batcher) -> None:
    done = [future.result() for future in put(Request(batcher), *range(1, 30))]
    assert [int(d.rows[0]) for d in done] == [2 * n for n in range(1, 30)]
    assert [int(d.rows[1]) for d in done] == [100 + n for n in range(1, 30)]


def test_a_lone_item_does_not_wait_for_others(batcher: Batcher, device: Device) -> None:
    assert results(put(Request(batcher), 7)) == [14]
    assert device.batches == [[7]]


def test_what_waits_is_split_into_warm_sizes(batcher: Batcher, device: Device) -> None:
    occupy(device, batcher)
    futures = put(Request(batcher), *range(1, 8))
    device.let_go()
    assert results(futures) == [2 * n for n in range(1, 8)]
    assert device.batches == [[0], [1, 2, 3, 4], [5, 6], [7]]


def test_requests_take_turns(batcher: Batcher, device: Device) -> None:
    """A film of many clips delays a short video by one batch, not by the film."""
    occupy(device, batcher)
    film = put(Request(batcher), *range(10, 30))
    short = put(Request(batcher), 1, 2)
    other = put(Request(batcher), 5)
    device.let_go()
    assert results(short + other) == [2, 4, 10]
    assert device.batches[1] == [10, 1, 5, 11]
    assert device.batches[2] == [2, 12, 13, 14]
    assert results(film) == [2 * n for n in range(10, 30)]


def test_requests_share_a_batch_and_know_it(batcher: Batcher, device: Device) -> None:
    occupy(device, batcher)
    first, second = put(Request(batcher), 1), put(Request(batcher), 2)
    device.let_go()
    one, two = first[0].result(), second[0].result()
    assert one.batch == two.batch
    assert one.batch.size == 2
    assert one.waited_s >= 0
    assert one.batch.seconds >= 0


class Watched:
    """An item that tells when it is copied; by whom, the test knows."""

    shape, dtype = (), np.dtype(int)

    def __init__(self, number: int) -> None:
        self.number, self.copied = number, threading.Event()

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        self.copied.set()
        return np.array(self.number, dtype)


def test_the_next_batch_is_filled_while_one_runs(batcher: Batcher, device: Device) -> None:
    """And is still open for whoever comes: a short video takes the place of a film's clip."""
    occupy(device, batcher)
    film = Request(batcher)
    items = [Watched(n) for n in range(10, 18)]
    clips = [film.submit(item) for item in items]  # type: ignore[arg-type]
    device.release()
    device.wait_for_batch()  # of 10 to 13
    assert all(item.copied.wait(60) for item in items[4:])
    short, other = put(Request(batcher), 1), Request(batcher)
    gone = put(other, 2)
    other.close()
    device.let_go()
    assert results(short + clips) == [2, *range(20, 36, 2)]
    assert gone[0].cancelled()
    assert [sorted(batch) for batch in device.batches] == [[0], [10, 11, 12, 13], [1, 14, 15, 16], [17]]


def test_an_item_of_another_shape_fails_alone(batcher: Batcher, device: Device) -> None:
    occupy(device, batcher)
    request = Request(batcher)
    futures = [request.submit(np.array(item)) for item in (1, [2], 3, 4)]
    device.let_go()
    assert results([futures[0], *futures[2:]]) == [2, 6, 8]
    with pytest.raises(ValueError, match="shape"):
        futures[1].result()


def test_many_threads_get_what_they_put(batcher: Batcher) -> None:
    def one(worker: int) -> bool:
        numbers = range(worker * 1000, worker * 1000 + 50)
        return results(put(Request(batcher), *numbers)) == [2 * n for n in numbers]

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(one, range(16)))


def test_an_item_that_fails_fails_alone(batcher: Batcher, device: Device) -> None:
    device.fail = lambda batch: ValueError("three") if 3 in batch else None
    occupy(device, batcher)
    futures = put(Request(batcher), 1, 2, 3, 4)
    device.let_go()
    assert results([futures[0], futures[1], futures[3]]) == [2, 4, 8]
    with pytest.raises(ValueError, match="three"):
        futures[2].result()
    assert device.batches == [[0], [1, 2, 3, 4], [1], [2], [3], [4]]


def test_the_worker_outlives_a_failure(batcher: Batcher, device: Device) -> None:
    device.fail = lambda batch: ValueError("bad")
    with pytest.raises(ValueError, match="bad"):
        results(put(Request(batcher), 1))
    device.fail = lambda batch: None
    assert results(put(Request(batcher), 2)) == [4]
    assert batcher.is_alive()


def test_a_closed_request_runs_no_more(batcher: Batcher, device: Device) -> None:
    occupy(device, batcher)
    left, staying = Request(batcher), Request(batcher)
    gone, kept = put(left, 1, 2), put(staying, 3)
    left.close()
    device.let_go()
    assert results(kept) == [6]
    for future in gone:
        with pytest.raises(CancelledError):
            future.result()
    assert device.batches == [[0], [3]]


def test_a_cancelled_item_is_skipped(batcher: Batcher, device: Device) -> None:
    occupy(device, batcher)
    futures = put(Request(batcher), 1, 2, 3)
    assert futures[1].cancel()
    device.let_go()
    assert results([futures[0], futures[2]]) == [2, 6]
    assert all(2 not in batch for batch in device.batches)


def test_cancelling_during_a_batch_harms_nobody(batcher: Batcher, device: Device) -> None:
    occupy(device, batcher)
    request = Request(batcher)
    futures = put(request, 1, 2)
    device.release()
    device.wait_for_batch()
    assert not futures[0].cancel()  # it runs; its result will be dropped by whoever left
    request.close()
    device.let_go()
    assert results(futures) == [2, 4]


def test_stop_finishes_the_batch_and_refuses_the_rest(batcher: Batcher, device: Device) -> None:
    running = occupy(device, batcher)
    request = Request(batcher)
    waiting = put(request, 1, 2)
    stopper = threading.Thread(target=batcher.stop)
    stopper.start()
    for future in waiting:
        with pytest.raises(Draining):
            future.result()
    device.let_go()
    stopper.join()
    assert results([running]) == [0]
    assert not batcher.is_alive()
    with pytest.raises(Draining):
        request.submit(np.array(3))


class Killed(BaseException):
    """What no worker survives."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_worker_leaves_nobody_waiting(batcher: Batcher, device: Device) -> None:
    device.fail = lambda batch: Killed()
    running = occupy(device, batcher)
    waiting = put(Request(batcher), 1)
    device.let_go()
    for future in (running, *waiting):
        with pytest.raises(WorkerDown):
            future.result()
    for thread in threading.enumerate():
        if thread.name == "batcher":
            thread.join()
    assert not batcher.is_alive()
    with pytest.raises(WorkerDown):
        Request(batcher).submit(np.array(2))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_dies_among_retries_leaves_nobody_waiting(batcher: Batcher, device: Device) -> None:
    device.fail = lambda batch: Killed() if batch == [2] else ValueError("bad") if len(batch) > 1 else None
    occupy(device, batcher)
    futures = put(Request(batcher), 1, 2, 3, 4)
    device.let_go()
    assert results(futures[:1]) == [2]
    for future in futures[1:]:
        with pytest.raises(WorkerDown):
            future.result()


def test_abandoning_answers_everybody_at_once_and_the_late_result_is_dropped(batcher: Batcher, device: Device) -> None:
    running = occupy(device, batcher)
    waiting = put(Request(batcher), 1, 2)
    busy_s, idle_s = batcher.seconds()
    assert busy_s > 0
    assert idle_s == 0
    batcher.abandon()
    for future in (running, *waiting):
        with pytest.raises(WorkerDown):
            future.result()
    assert not batcher.is_alive()
    device.let_go()
    batcher.stop()


def test_tells_what_waits_what_runs_and_how_fast(device: Device) -> None:
    runs: list[BatchRun] = []
    batcher = Batcher(device, (1, 2, 4), runs.append)
    assert batcher.seconds()[0] == 0
    assert batcher.items_per_s == 0
    running = occupy(device, batcher)
    waiting = put(Request(batcher), 1, 2, 3)
    assert batcher.num_waiting() == 3
    device.let_go()
    results([running, *waiting])
    batcher.stop()
    assert (batcher.num_waiting(), [run.size for run in runs]) == (0, [1, 2, 1])
    assert batcher.items_per_s > 0


def test_is_failing_until_a_batch_goes_well(batcher: Batcher, device: Device) -> None:
    seen = [batcher.is_failing]
    device.fail = lambda batch: ValueError("bad")
    with pytest.raises(ValueError, match="bad"):
        results(put(Request(batcher), 1))
    seen.append(batcher.is_failing)
    device.fail = lambda batch: None
    results(put(Request(batcher), 1))
    assert [*seen, batcher.is_failing] == [False, True, False]


def test_a_batch_always_has_a_warm_size(batcher: Batcher, device: Device) -> None:
    occupy(device, batcher)
    futures = put(Request(batcher), *range(1, 5))
    futures[1].cancel()
    device.let_go()
    assert results([futures[0], futures[2], futures[3]]) == [2, 6, 8]
    assert {len(batch) for batch in device.batches} <= {1, 2, 4}


def test_a_batch_size_of_one_is_needed() -> None:
    with pytest.raises(ValueError, match="1"):
        Batcher(Device(), (2, 4))
