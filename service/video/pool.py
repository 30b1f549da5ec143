"""The pool of decoder processes: a file goes in, cropped frames with times come out, as fast as they are asked for.

A video has a process of its own while it is decoded. One that crashes, hangs or runs out of memory takes that process with
it and nothing else. Processes live on from video to video. A long video waits for the network most of its time, and short ones
must not wait for it: where all processes have been busy for a while, one more is started before anybody asks for it, up to a
limit. Where many short videos come at once, they wait for the processes that there are: starting one takes longer than decoding
a short video.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from service.errors import Shortage
from service.video.memory import BUDGET_BYTES, MemoryBudget
from service.video.messages import ReadOptions
from service.video.process import Decoded, DecoderHalted, DecoderProcess
from service.video.sandbox import NONE, available

log = logging.getLogger(__name__)

KEPT = min(4, os.cpu_count() or 1)  # more than a core each compete; four keep up with any network that was measured
ADDRESS_SPACE_BYTES = 1536 * 1024 * 1024  # 4K H.264 needs about half of it
TIMEOUT_S = 20.0  # of processor time, for the next frames: a second of 4K takes 3 s on one slow core
HALTED = "The service has no processor time left to decode the video. Try again in some seconds, or at another instance."


class DecoderPool:
    """The pool. ``kept`` processes live on, ``most`` run at once, each with so much address space.

    ``timeout_s``: of processor time that a process may take for its next message. ``memory_bytes``: see `memory.MemoryBudget`.

    To be used from one event loop, whose thread must live as long as the processes: they die with it.
    """

    # If no process was taken or came free for so long, all are busy with long videos: one more is started.
    patience_s = 0.5

    def __init__(
        self,
        most: int,
        kept: int = KEPT,
        address_space_bytes: int = ADDRESS_SPACE_BYTES,
        timeout_s: float = TIMEOUT_S,
        memory_bytes: int = BUDGET_BYTES,
        *,
        sandboxed: bool = True,
    ) -> None:
        self._kept, self._most = min(kept, most), most
        memory = MemoryBudget(memory_bytes)
        self._start = partial(DecoderProcess.start, address_space_bytes, timeout_s, memory, sandboxed=sandboxed)
        self.sandbox = available() if sandboxed else NONE  # what the processes are locked in by
        self._idle: list[DecoderProcess] = []
        self._count = 0  # of processes, idle or not
        self._starting = 0  # of these: those that are being started for the next video
        self._waiting = 0  # videos that wait for one
        self._timer: asyncio.TimerHandle | None = None  # runs since a process was last taken or came free
        self._changed = asyncio.Condition()
        self._turn = asyncio.Lock()  # held by the video that gets the next process
        self._tasks: set[asyncio.Task[None]] = set()  # that put processes back
        self.num_replaced = 0  # processes that had to be ended

    @property
    def num_processes(self) -> int:
        """How many there are, idle or not."""
        return self._count

    @property
    def idle(self) -> tuple[DecoderProcess, ...]:
        """Those without a video. The last one gets the next video."""
        return tuple(self._idle)

    async def start(self) -> None:
        """Start the processes that are kept, so that the first videos need not wait for them."""
        processes = await asyncio.gather(*(self._take() for _ in range(self._kept)))
        await asyncio.gather(*(self._give_back(process) for process in processes))

    @asynccontextmanager
    async def open(self, path: Path, options: ReadOptions) -> AsyncGenerator[AsyncIterator[Decoded]]:
        """Decode a file: VideoInfo, FrameBlocks, VideoEnd. A few blocks at most are decoded ahead of the reader.

        Leaving the context ends the decoding, wherever it is. Iterating raises what `frames.read_video` raises, DecoderFailed,
        DecodeTimeout, and Shortage where two processes, one after the other, got no processor time.
        """
        async with aclosing(self._messages(path, options)) as messages:
            yield messages

    async def _messages(self, path: Path, options: ReadOptions) -> AsyncGenerator[Decoded]:
        """Decode the file, and once more in a fresh process where the first one is halted."""
        num_given = 0
        for is_fresh in (False, True):
            num_passed = 0  # a second process decodes again what the reader has already
            with suppress(DecoderHalted):
                async with self._process(is_fresh=is_fresh) as process, aclosing(process.decode(path, options)) as messages:
                    async for decoded in messages:
                        num_passed += 1
                        if num_passed > num_given:
                            num_given = num_passed
                            yield decoded
                return
        raise Shortage(HALTED)

    @asynccontextmanager
    async def _process(self, *, is_fresh: bool) -> AsyncGenerator[DecoderProcess]:
        process = await self._take(is_fresh=is_fresh)
        try:
            yield process
        finally:
            self._later(self._give_back(process))  # the reader need not wait until the process has dropped the video

    async def settled(self) -> None:
        """Wait until the process of every video that was left is idle or ended."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """End all processes. No video may be open any more."""
        self._most = 0  # so that none is started any more
        await self.settled()
        if self._timer:
            self._timer.cancel()
        await asyncio.gather(*(process.kill() for process in self._idle))
        self._count -= len(self._idle)
        self._idle.clear()

    async def _take(self, *, is_fresh: bool = False) -> DecoderProcess:
        process = await self._in_turn()
        if process and process.is_usable() and not is_fresh:
            return process
        starting = asyncio.create_task(self._start_for(process))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:  # the request that waited has left; the next video gets the process
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
                await self._changed.wait_for(lambda: self._idle or self._count < self._kept)
                self._has_moved()
                if self._idle:
                    return self._idle.pop()
                self._count += 1
                return None
        finally:
            self._waiting -= 1

    def _has_moved(self) -> None:
        """A process was taken, came free or is being started."""
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self.patience_s, self._start_ahead)

    def _start_ahead(self) -> None:
        """Start a process for the next video, where there is none and may be one more: one for each that waits, and one."""
        if self._idle or self._count >= self._most or self._starting > self._waiting:
            return
        self._count += 1
        self._starting += 1
        self._later(self._start_one_more())
        self._has_moved()

    async def _start_one_more(self) -> None:
        try:
            process = await self._start()
        except OSError:
            log.exception("one more decoder process could not be started")
            await self._forget()
            return
        finally:
            self._starting -= 1
        await self._give_back(process)

    async def _start_for(self, dead: DecoderProcess | None) -> DecoderProcess:
        """Start a process. It replaces ``dead``, which died or was stopped while it was idle, if that is given."""
        if dead:
            self.num_replaced += 1
            await dead.kill()
        return await self._start()

    async def _adopt(self, starting: asyncio.Task[DecoderProcess]) -> None:
        await self._give_back(await starting)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _give_back(self, process: DecoderProcess) -> None:
        await process.reset()
        if process.is_usable() and (len(self._idle) < self._kept or self._waiting):
            async with self._changed:
                self._idle.append(process)
                self._has_moved()
                self._changed.notify()
            return
        self.num_replaced += not process.is_usable()
        await process.kill()
        await self._forget()

    async def _forget(self) -> None:
        async with self._changed:
            self._count -= 1
            self._changed.notify()
