"""Videos share memory: large ones wait for each other, and nobody overtakes."""

from __future__ import annotations

import asyncio

from service.video.memory import MemoryBudget


def test_who_comes_first_is_served_first() -> None:
    async def run() -> None:
        memory, order = MemoryBudget(100), []

        async def video(name: str, num_bytes: int) -> None:
            await memory.take(num_bytes)
            order.append(name)

        await memory.take(60)
        waiting = [asyncio.create_task(video("large", 80)), asyncio.create_task(video("small", 10))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert order == []
        memory.give_back(60)
        await asyncio.gather(*waiting)
        assert order == ["large", "small"]
        assert memory.used_bytes == 90

    asyncio.run(run())


def test_one_that_takes_more_than_there_is_has_it_all_alone() -> None:
    async def run() -> None:
        memory = MemoryBudget(100)
        await memory.take(500)
        other = asyncio.create_task(memory.take(1))
        await asyncio.sleep(0)
        assert not other.done()
        memory.give_back(500)
        await other

    asyncio.run(run())


def test_one_that_leaves_while_it_waits_takes_nothing() -> None:
    async def run() -> None:
        memory = MemoryBudget(100)
        await memory.take(100)
        gone = asyncio.create_task(memory.take(50))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        memory.give_back(100)
        await memory.take(100)
        assert memory.used_bytes == 100

    asyncio.run(run())
