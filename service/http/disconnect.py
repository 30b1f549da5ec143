"""Work that ends with its client, or when its time is over: nothing is computed that nobody waits for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from service.errors import DeadlineExceeded

Done = TypeVar("Done")
END = object()


async def unless_left(request: Request, work: Coroutine[Any, Any, Done]) -> Done:
    """Do the work of a request whose body is whole; end it at once where its client leaves.

    Raises ClientDisconnect, and what the work raises.
    """

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass  # nothing else comes behind a body

    working, leaving = asyncio.create_task(work), asyncio.create_task(left())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


class Deadline:
    """How long a request may take, from when this is made: seconds in all, and seconds without progress."""

    def __init__(self, total_s: float, advice: str, idle_s: float = math.inf) -> None:
        """``advice``: a sentence for the client whose request takes longer than ``total_s``, which may be infinite."""
        self._clock = asyncio.get_running_loop().time
        self._total_s, self._idle_s, self._advice = total_s, idle_s, advice
        self._end = self._clock() + total_s

    async def hold(self, work: Awaitable[Done]) -> Done:
        """What the work gives, if it makes progress in time. Raises DeadlineExceeded, and what the work raises."""
        until = min(self._end, self._clock() + self._idle_s)
        try:
            async with asyncio.timeout_at(until if until < math.inf else None) as limit:
                return await work
        except TimeoutError:
            if not limit.expired():
                raise
        if until == self._end:
            raise DeadlineExceeded(f"Not finished within {self._total_s:g} s. {self._advice}")
        raise DeadlineExceeded(f"There was no progress for {self._idle_s:g} s. The service is too busy: try again later.")

    async def steps(self, work: AsyncGenerator[Done, None]) -> AsyncGenerator[Done, None]:
        """What the work yields; each step is progress. Closes it. Raises DeadlineExceeded, and what the work raises."""
        async with aclosing(work):
            while (step := await self.hold(anext(work, END))) is not END:
                yield step  # type: ignore[misc]  # END is none of them
