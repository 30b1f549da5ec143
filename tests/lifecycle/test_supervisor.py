"""A dead, a stuck and a failing worker, told with a batcher of a few lines and a clock that the test turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from service.errors import ServiceError, WorkerDown
from service.lifecycle.readiness import Readiness, Serving
from service.lifecycle.supervisor import MAX_FAILURES, PROOF_S, Supervisor
from tests.support.fakes import fake_serving


class FakeBatcher:
    """What the supervisor sees of a batcher."""

    def __init__(self) -> None:
        self.alive, self.failures = True, 0
        self.busy_s, self.idle_s = 0.0, 0.0
        self.canaries: list[Future[Any]] = []
        self.abandoned = False

    def is_alive(self) -> bool:
        return self.alive

    def seconds(self) -> tuple[float, float]:
        return self.busy_s, self.idle_s

    def submit(self, lane: object, item: Any) -> Future[Any]:
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


@pytest.mark.parametrize("change", [{"alive": False}, {"busy_s": 61.0}])
def test_a_dead_or_stuck_worker_ends_the_process_after_a_grace(change: dict[str, Any]) -> None:
    batcher = FakeBatcher()
    seen: list[bool] = []

    def go_wrong() -> None:
        for name, value in change.items():
            setattr(batcher, name, value)

    readiness, deaths, _ = watch(batcher, [nothing, go_wrong, lambda: seen.append(batcher.abandoned), nothing])
    assert seen == [True]  # everybody has been answered before the grace begins
    assert len(deaths) == 1
    with pytest.raises(WorkerDown):
        readiness.check_ready()
    with pytest.raises(WorkerDown):
        readiness.check_alive()


def test_a_long_batch_is_not_a_stuck_one() -> None:
    batcher = FakeBatcher()
    batcher.busy_s = 59.0
    assert watch(batcher, [nothing] * 3)[1] == []


def test_a_failing_worker_is_not_ready_until_a_canary_has_passed() -> None:
    batcher = FakeBatcher()

    def fail() -> None:
        batcher.failures = MAX_FAILURES

    def recover() -> None:
        batcher.canaries[0].set_result(None)
        batcher.failures = 0

    readiness, deaths, _ = watch(batcher, [fail, nothing, recover, nothing])
    assert deaths == []
    assert len(batcher.canaries) == 1  # one at a time
    assert is_ready(readiness)


def test_while_it_fails_it_is_not_ready_but_requests_are_served() -> None:
    batcher = FakeBatcher()
    batcher.failures = MAX_FAILURES
    readiness, deaths, _ = watch(batcher, [nothing])
    assert not is_ready(readiness)
    assert readiness.serving()
    readiness.check_alive()
    assert deaths == []


def test_a_canary_that_fails_is_followed_by_another() -> None:
    batcher = FakeBatcher()
    batcher.failures = MAX_FAILURES
    watch(batcher, [nothing, lambda: batcher.canaries[-1].set_exception(ValueError("bad")), nothing, nothing])
    assert len(batcher.canaries) == 2


def test_an_idle_worker_proves_itself_now_and_then() -> None:
    batcher = FakeBatcher()
    batcher.idle_s = PROOF_S + 1
    readiness, _, _ = watch(batcher, [nothing])
    assert len(batcher.canaries) == 1
    assert is_ready(readiness)
