"""service/http/disconnect.py: work ends with its client, and when its time is over, whatever form the work has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from service.errors import DeadlineExceeded
from service.http.disconnect import Deadline, unless_left
from tests.support.http_helpers import GONE, ImpatientLoop

INFINITE = float("inf")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of the work, whose pauses take no time."""
    with asyncio.Runner(loop_factory=ImpatientLoop) as runner:
        return runner.run(work)


class Steps:
    """A generator that pauses before each step, and knows whether it was closed."""

    def __init__(self, *pauses_s: float) -> None:
        self._pauses_s, self.closed = pauses_s, False

    async def __call__(self) -> AsyncGenerator[int, None]:
        try:
            for number, pause_s in enumerate(self._pauses_s):
                await asyncio.sleep(pause_s)
                yield number
        finally:
            self.closed = True


@pytest.mark.parametrize(
    ("pauses_s", "total_s", "idle_s", "expected"),
    [
        ((1, 14, 1), INFINITE, INFINITE, [0, 1, 2]),
        ((50, 50, 50), INFINITE, 60, [0, 1, 2]),
        ((1, 61), INFINITE, 60, [0, "There was no progress for 60 s."]),
        ((61, 1), INFINITE, 60, ["There was no progress for 60 s."]),
        ((30, 30, 30), 50, 60, [0, "Not finished within 50 s. Ask for less."]),
        ((51,), 50, INFINITE, ["Not finished within 50 s. Ask for less."]),
    ],
)
def test_steps_come_in_time_or_not_at_all(
    pauses_s: tuple[float, ...], total_s: float, idle_s: float, expected: list[int | str]
) -> None:
    steps = Steps(*pauses_s)

    async def taken() -> list[int | str]:
        found: list[int | str] = []
        try:
            async for step in Deadline(total_s, "Ask for less.", idle_s).steps(steps()):
                found.append(step)  # noqa: PERF401 (kept when it ends badly)
        except DeadlineExceeded as error:
            found.append(str(error))
        return found

    found = run(taken())
    assert found[:-1] == expected[:-1]
    assert str(found[-1]).startswith(str(expected[-1]))
    assert steps.closed


def test_a_deadline_begins_when_it_is_made() -> None:
    async def held() -> None:
        deadline = Deadline(10, "Ask for less.")
        await deadline.hold(asyncio.sleep(6))
        await deadline.hold(asyncio.sleep(6))

    with pytest.raises(DeadlineExceeded):
        run(held())


def test_a_timeout_of_the_work_itself_is_not_the_deadline() -> None:
    async def fail() -> None:
        raise TimeoutError("of a disk")

    async def held() -> None:
        await Deadline(10, "Ask for less.", 5).hold(fail())

    with pytest.raises(TimeoutError, match="of a disk"):
        run(held())


def request_of(*messages: Message) -> Request:
    waiting = list(messages)

    async def receive() -> Message:
        if not waiting:
            await asyncio.get_running_loop().create_future()
        return waiting.pop(0)

    return Request({"type": "http"}, receive)


def test_work_gives_its_result_while_its_client_stays() -> None:
    assert run(unless_left(request_of(), asyncio.sleep(5, "done"))) == "done"


def test_work_ends_with_its_client() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(1)

    with pytest.raises(ClientDisconnect):
        run(unless_left(request_of({"type": "http.request"}, GONE), work()))
    assert ended == [1]
