"""Work that ends with its client: nothing is computed for one that has left."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from service.errors import DeadlineExceeded

Done = TypeVar("Done")


async def unless_left(request: Request, work: Coroutine[Any, Any, Done], timeout_s: float | None = None) -> Done:
    """Do the work of a request whose body is whole; end it at once where its client leaves, or its time is over.

    Raises ClientDisconnect, DeadlineExceeded, and what the work raises.
    """

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass  # nothing else comes behind a body

    working, leaving = asyncio.create_task(work), asyncio.create_task(left())
    try:
        await asyncio.wait((working, leaving), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if leaving.done():
            raise ClientDisconnect
        raise DeadlineExceeded(f"Not done within {timeout_s:g} s. Ask for a shorter part of the video, or for fewer clips.")
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
