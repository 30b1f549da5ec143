"""A corpus on this machine: one network, some videos at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from corpus.parts import Row
from corpus.worker import Worker

BATCHES_AT_ONCE = (
    2  # while the last videos of one run, the first of the next one begin: the network never waits for a batch's end
)


async def run(worker: Worker, batches: Iterable[list[str]], on_row: Callable[[Row], None]) -> None:
    """All batches. Raises what `Worker.batch` raises; then nothing of what was begun goes on."""
    waiting = iter(batches)

    async def some() -> None:
        for batch in waiting:
            await worker.batch(batch, on_row)

    tasks = [asyncio.ensure_future(some()) for _ in range(BATCHES_AT_ONCE)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
