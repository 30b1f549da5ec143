"""service/http/turns.py: what is dear waits for what is not."""

from __future__ import annotations

import asyncio
import itertools

from service.http.turns import PAUSE_S, Turns
from tests.support.http_helpers import ImpatientLoop


def test_pieces_are_done_in_order_with_a_pause_behind_each() -> None:
    done: list[tuple[str, float]] = []

    async def run() -> None:
        turns, clock = Turns(), asyncio.get_running_loop().time
        started = clock()
        for name in ("a", "b", "c"):
            turns.wait(lambda name=name: done.append((name, clock() - started)))  # type: ignore[misc]
        await asyncio.sleep(10 * PAUSE_S)
        turns.wait(lambda: done.append(("d", clock() - started)))  # behind a time in which nobody waited
        await asyncio.sleep(10 * PAUSE_S)

    with asyncio.Runner(loop_factory=ImpatientLoop) as runner:
        runner.run(run())
    assert [name for name, _ in done] == ["a", "b", "c", "d"]
    times = [time for _, time in done]
    assert all(later - earlier >= PAUSE_S * 0.99 for earlier, later in itertools.pairwise(times))


def test_a_piece_that_waits_again_comes_behind_the_others() -> None:
    done: list[str] = []

    async def run() -> None:
        turns = Turns()

        def long() -> None:
            done.append("long")
            if done.count("long") < 3:
                turns.wait(long)

        turns.wait(long)
        turns.wait(lambda: done.append("short"))
        await asyncio.sleep(10 * PAUSE_S)

    with asyncio.Runner(loop_factory=ImpatientLoop) as runner:
        runner.run(run())
    assert done == ["long", "short", "long", "long"]
