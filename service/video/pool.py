"""The pool of decoder processes: a file in, cropped frames with times out, as fast as they are asked for.

A video has a process of its own while it is decoded. One that crashes, hangs or runs out of memory takes that process with
it and nothing else. Processes live on from video to video. Where all are busy, and for long, more are started, up to a bound:
long videos, which wait for the network most of their time, do not keep short ones waiting. Where many come at once they wait
for those that there are: starting one takes more than decoding a short video does.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from service.video.messages import ReadOptions
from service.video.process import Decoded, DecoderProcess

KEPT = min(4, os.cpu_count() or 1)  # more than a core each compete; four keep up with any network that was measured
ADDRESS_SPACE_BYTES = 1536 * 1024 * 1024  # 4K H.264 needs about half of it
TIMEOUT_S = 20.0  # for the next frames: a second of 4K takes 3 s on one slow core


class DecoderPool:
    """The pool. ``kept`` processes live on, ``most`` run at once; each has so much address space and time between messages.

    To be used from one event loop, whose thread must live as long as the processes: they die with it.
    """

    patience_s = 0.5  # in which none was taken or came free: then those that are busy are so for long, and one more is started

    def __init__(
        self, most: int, kept: int = KEPT, address_space_bytes: int = ADDRESS_SPACE_BYTES, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._kept, self._most = min(kept, most), most
        self._address_space_bytes, self._timeout_s = address_space_bytes, timeout_s
        self._idle: list[DecoderProcess] = []
        self._count = 0  # of processes, idle or not
        self._waiting = 0  # videos that wait for one
        self._moved = 0.0  # when a process was last taken or came free, by the loop's clock
        self._changed = asyncio.Condition()
        self._turn = asyncio.Lock()  # held by the video that is the next to have a process
        self._tasks: set[asyncio.Task[None]] = set()  # that put processes back
        self.num_replaced = 0  # processes that were no good any more

    @property
    def num_processes(self) -> int:
        """How many there are, idle or not."""
        return self._count

    async def start(self) -> None:
        """Start the processes that are kept, so that the first videos need not wait for them."""
        slots = await asyncio.gather(*(self._take() for _ in range(self._kept)))
        await asyncio.gather(*(self._give_back(slot) for slot in slots))

    async def read(self, path: Path, reading: ReadOptions) -> AsyncGenerator[Decoded, bool | None]:
        """Decode a file: VideoInfo, FrameBlocks, VideoEnd. A few blocks at most are decoded ahead of the consumer.

        The consumer sends True when it has seen enough; the VideoEnd follows. Raises what `frames.read_video` raises,
        DecoderFailed, DecodeTimeout.
        """
        slot = await self._take()
        messages = slot.decode(path, reading)
        enough: bool | None = None
        try:
            while True:
                try:
                    decoded = await messages.asend(enough)
                except StopAsyncIteration:
                    return
                enough = yield decoded
        finally:
            await messages.aclose()
            self._later(self._give_back(slot))  # whoever leaves need not wait for the process to notice

    async def close(self) -> None:
        """End all processes. Nothing may be reading any more."""
        await asyncio.gather(*self._tasks)
        await asyncio.gather(*(slot.kill() for slot in self._idle))
        self._count -= len(self._idle)
        self._idle.clear()

    async def _take(self) -> DecoderProcess:
        slot = await self._in_turn()
        if slot and slot.is_usable():
            return slot
        starting = asyncio.create_task(self._start_for(slot))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:  # the one who waited has left; the process is there for the next
            self._later(self._adopt(starting))
            raise
        except BaseException:
            await self._forget()
            raise

    async def _in_turn(self) -> DecoderProcess | None:
        """First come, first served: an idle process, or None, where one may be started, which is counted then."""
        self._waiting += 1
        try:
            async with self._turn, self._changed:
                while not self._idle and not self._may_start():
                    await self._change()
                self._moved = asyncio.get_running_loop().time()
                if self._idle:
                    return self._idle.pop()
                self._count += 1
                return None
        finally:
            self._waiting -= 1

    async def _start_for(self, dead: DecoderProcess | None) -> DecoderProcess:
        """A fresh process, in the place of one that died idle if there is one."""
        if dead:
            self.num_replaced += 1
            await dead.kill()
        return await DecoderProcess.start(self._address_space_bytes, self._timeout_s)

    def _may_start(self) -> bool:
        is_quiet = asyncio.get_running_loop().time() >= self._moved + self.patience_s
        return self._count < self._kept or (self._count < self._most and is_quiet)

    async def _change(self) -> None:
        """Until a process may be there, or started."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._moved + self.patience_s if self._count < self._most else None):
                await self._changed.wait()

    async def _adopt(self, starting: asyncio.Task[DecoderProcess]) -> None:
        await self._give_back(await starting)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _give_back(self, slot: DecoderProcess) -> None:
        await slot.reset()
        if slot.is_usable() and (len(self._idle) < self._kept or self._waiting):
            async with self._changed:
                self._idle.append(slot)
                self._moved = asyncio.get_running_loop().time()
                self._changed.notify()
            return
        self.num_replaced += not slot.is_usable()
        await slot.kill()
        await self._forget()

    async def _forget(self) -> None:
        async with self._changed:
            self._count -= 1
            self._changed.notify()
