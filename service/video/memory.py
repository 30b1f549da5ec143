"""The memory that videos take while they are decoded: a budget for all of them together.

A process holds about ten pictures of its video. That is 2 MB for 320x240 and 200 MB for 4096x2304, so a number of processes
bounds nothing.
"""

from __future__ import annotations

import asyncio

# Five videos of 4096x2304 at once, 24 of 1080p, any number of small ones. It leaves room for the network in 4 GiB.
BUDGET_BYTES = 1024**3


class MemoryBudget:
    """Bytes that videos may take together. First come, first served; one alone may take more than there is."""

    def __init__(self, total_bytes: int = BUDGET_BYTES) -> None:
        self._total = total_bytes
        self.used_bytes = 0
        self._turn = asyncio.Lock()  # held by the video that gets memory next
        self._freed = asyncio.Event()

    async def take(self, num_bytes: int) -> None:
        """Wait until there is so much, and take it."""
        async with self._turn:
            while self.used_bytes and self.used_bytes + num_bytes > self._total:
                self._freed.clear()
                await self._freed.wait()
            self.used_bytes += num_bytes

    def give_back(self, num_bytes: int) -> None:
        """What was taken."""
        self.used_bytes -= num_bytes
        self._freed.set()
