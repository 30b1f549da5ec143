"""A dead, a stuck and a failing worker, told with a batcher of a few lines and a clock that the test turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from service.errors import ServiceError, WorkerDown
from service.lifecycle.readiness import Readiness, Serving
from service.lifecycle.supervisor import MAX_FAILED_CANARIES, PROOF_S, Supervisor
from tests.support.fakes import fake_serving


class FakeBatcher:
    """What the supervisor sees of a batcher."""

    def __init__(self) -> None:
        self.alive, self.is_failing = True, False
        self.busy_s, self.idle_s = 0.0, 0.0
        self.canaries: list[Future[Any]] = []
        self.abandoned = False

    def is_alive(self) -> bool:
        return self.alive

    def seconds(self) -> tuple[float, float]:
        return self.busy_s, self.idle_s

    def submit(self, owner: object, item: Any) -> Future[Any]:
        assert item.shape == (16, 112, 112, 3)
        self.canaries.append(Future())
        return self.canaries[-1]

    def abandon(self) -> None:
        self.abandoned = True


class FakePipeline:
    """One that is as alive as its batcher."""

    def __init__(self, batcher: FakeBatcher) -> None:
        self.is_alive = batcher.is_alive


def watch(batcher: FakeBatcher, ticks: list[Callable[[], None]]) -> tuple[Readiness, list[str], list[float]]:
    """Supervise for as many ticks, each of which first changes or checks something; and then to the end, if it is near."""
    readiness = Readiness()
    readiness.serve(serving(batcher))
    deaths: list[str] = []
    slept: list[float] = []
    waiting = iter(ticks)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        step = next(waiting, None)
        if step is None:
            raise asyncio.CancelledError
        step()
        await asyncio.sleep(0)

    async def run() -> None:
        supervisor = Supervisor(batcher, readiness, deaths.append, sleep=sleep)  # type: ignore[arg-type]
        try:
            await supervisor.run()
        except asyncio.CancelledError:
            slept.append(-1)

    asyncio.run(run())
    return readiness, deaths, slept


def serving(batcher: FakeBatcher) -> Serving:
    return fake_serving(FakePipeline(batcher))


def is_ready(readiness: Readiness) -> bool:
    try:
        readiness.check_ready()
    except ServiceError:
        return False
    return True


def nothing() -> None:
    """A quiet second."""


def test_a_healthy_worker_is_left_alone() -> None:
    batcher = FakeBatcher()
    readiness, deaths, slept = watch(batcher, [nothing] * 5)
    assert (deaths, batcher.canaries, batcher.abandoned) == ([], [], False)
    assert is_ready(readiness)
    assert slept[:5] == [1.0] * 5


@pytest.mark.parametrize(("change", "second_look"), [({"alive": False}, []), ({"busy_s": 61.0}, [nothing])])
def test_a_dead_or_stuck_worker_ends_the_process_after_a_grace(
    change: dict[str, Any], second_look: list[Callable[[], None]]
) -> None:
    batcher = FakeBatcher()
    seen: list[bool] = []

    def go_wrong() -> None:
        for name, value in change.items():
            setattr(batcher, name, value)

    readiness, deaths, _ = watch(batcher, [nothing, go_wrong, *second_look, lambda: seen.append(batcher.abandoned), nothing])
    assert seen == [True]  # everybody has been answered before the grace begins
    assert len(deaths) == 1
    with pytest.raises(WorkerDown):
        readiness.check_ready()
    with pytest.raises(WorkerDown):
        readiness.check_alive()


def test_a_process_that_was_stopped_and_goes_on_has_no_stuck_worker() -> None:
    """After `docker pause` of an hour the batch seems to have run for an hour; some seconds later it is done."""
    batcher = FakeBatcher()

    def paused() -> None:
        batcher.busy_s = 3600.0

    def done() -> None:
        batcher.busy_s = 0.0

    readiness, deaths, _ = watch(batcher, [nothing, paused, done, nothing, nothing])
    assert (deaths, batcher.abandoned) == ([], False)
    assert is_ready(readiness)


def test_a_long_batch_is_not_a_stuck_one() -> None:
    batcher = FakeBatcher()
    batcher.busy_s = 59.0
    assert watch(batcher, [nothing] * 3)[1] == []


def answer_canary(batcher: FakeBatcher, error: Exception | None = None) -> None:
    """The canary that is on its way ends."""
    if error:
        batcher.canaries[-1].set_exception(error)
    else:
        batcher.canaries[-1].set_result(None)


def failing() -> tuple[FakeBatcher, Callable[[], None]]:
    """A batcher whose batches raise, and the step in which its canary does."""
    batcher = FakeBatcher()
    batcher.is_failing = True
    return batcher, lambda: answer_canary(batcher, ValueError("bad"))


@pytest.mark.parametrize("num_failed_batches", [1, 5, 100])
def test_one_bad_request_of_any_length_never_flips_readiness(num_failed_batches: int) -> None:
    """Its batches fail second after second, and each canary between them goes well."""
    batcher, _ = failing()
    readiness, deaths, _ = watch(batcher, [lambda: answer_canary(batcher), nothing] * num_failed_batches)
    assert is_ready(readiness)
    assert deaths == []
    assert len(batcher.canaries) >= num_failed_batches


def test_a_network_that_fails_for_everybody_is_not_ready() -> None:
    batcher, fail = failing()
    readiness, deaths, _ = watch(batcher, [fail, nothing] * MAX_FAILED_CANARIES + [nothing])
    assert not is_ready(readiness)
    assert readiness.serving()  # requests that come are still tried
    readiness.check_alive()
    assert deaths == []


def test_fewer_failed_canaries_are_not_enough() -> None:
    batcher, fail = failing()
    readiness, _, _ = watch(batcher, [fail, nothing] * (MAX_FAILED_CANARIES - 1) + [nothing])
    assert is_ready(readiness)


@pytest.mark.parametrize("by", ["canary", "request"])
def test_it_is_ready_again_once_a_batch_went_well(by: str) -> None:
    batcher, fail = failing()

    def recover() -> None:
        batcher.is_failing = False
        if by == "canary":
            answer_canary(batcher)

    readiness, _, _ = watch(batcher, [fail, nothing] * MAX_FAILED_CANARIES + [recover, nothing])
    assert is_ready(readiness)


def test_a_batch_that_went_well_between_canaries_clears_the_network() -> None:
    """As where a shortage of memory comes and goes."""
    batcher, fail = failing()

    def succeed() -> None:
        batcher.is_failing = False

    def fail_again() -> None:
        batcher.is_failing = True

    readiness, _, _ = watch(batcher, [fail, nothing, fail, succeed, fail_again, nothing, fail, nothing, fail, nothing])
    assert is_ready(readiness)


def test_one_canary_at_a_time() -> None:
    batcher, _ = failing()
    watch(batcher, [nothing] * 5)
    assert len(batcher.canaries) == 1


def test_an_idle_worker_proves_itself_now_and_then() -> None:
    batcher = FakeBatcher()
    batcher.idle_s = PROOF_S + 1
    readiness, _, _ = watch(batcher, [nothing])
    assert len(batcher.canaries) == 1
    assert is_ready(readiness)
