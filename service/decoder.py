"""The pool that decodes: a file in, cropped frames with times out, as fast as they are asked for and no faster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from service.frames import FrameBlock, VideoEnd, VideoInfo, read_video


class Decoded(NamedTuple):
    """One message of `frames.read_video`, and the seconds it took to make."""

    message: VideoInfo | FrameBlock | VideoEnd
    seconds: float


class Decoder:
    """A fixed number of threads; PyAV and OpenCV let go of the interpreter while they work.

    A video holds a thread only while a block of its frames is made, so long videos do not keep short ones waiting.
    """

    def __init__(self, threads: int, crop_left: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decoder")
        self._crop_left = crop_left

    async def read(self, path: Path) -> AsyncGenerator[Decoded, None]:
        """Decode a file: VideoInfo, FrameBlocks, VideoEnd. Nothing is decoded ahead of the consumer.

        Raises NoVideoStream or UndecodableVideo.
        """
        reader = read_video(path, self._crop_left)
        loop = asyncio.get_running_loop()
        step: asyncio.Future[Decoded | None] | None = None
        try:
            while True:
                step = loop.run_in_executor(self._threads, _next, reader)
                if (decoded := await asyncio.shield(step)) is None:
                    return
                yield decoded
        finally:
            if step is not None:
                await asyncio.wait([step])  # a reader cannot be closed while a thread is inside
            await loop.run_in_executor(self._threads, reader.close)

    def close(self) -> None:
        """Wait for the blocks being decoded, then end the threads."""
        self._threads.shutdown()


def _next(reader: Generator[VideoInfo | FrameBlock | VideoEnd]) -> Decoded | None:
    started = time.perf_counter()
    message = next(reader, None)
    return None if message is None else Decoded(message, time.perf_counter() - started)
