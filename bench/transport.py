"""What it costs to bring frames from a decoder process: python -m bench.transport [VIDEO]. Medians of 9 rounds, interleaved.

The same video read by `frames.read_video` in this process, and through `decoder.Decoder`: the difference, per clip of the
default stride (8 new frames), is the transport, process switches included.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from contextlib import aclosing
from pathlib import Path

from service.decoder import Decoder
from service.frames import read_video
from service.video import FrameBlock, Reading

ROUNDS = 9
GIB = 1024**3


def here(path: Path) -> tuple[float, int]:
    """Seconds and blocks of a reading in this process."""
    started = time.perf_counter()
    blocks = sum(isinstance(message, FrameBlock) for message in read_video(path))
    return time.perf_counter() - started, blocks


async def there(decoder: Decoder, path: Path) -> tuple[float, float]:
    """Seconds of a reading through the pool: by the clock, and of this process's processor."""
    started, busy = time.perf_counter(), time.process_time()
    async with aclosing(decoder.read(path, Reading())) as messages:
        async for _ in messages:
            pass
    return time.perf_counter() - started, time.process_time() - busy


async def measure(path: Path) -> None:
    """Print one table."""
    decoder = Decoder(1, 1, 3 * GIB // 2, 60)
    await decoder.start()
    await there(decoder, path)
    local, remote, busy, blocks = [], [], [], 1
    for _ in range(ROUNDS):
        seconds, blocks = here(path)
        local.append(seconds)
        clock, processor = await there(decoder, path)
        remote.append(clock)
        busy.append(processor)
    await decoder.close()
    per_clip = [1000 / blocks * statistics.median(values) for values in (local, remote, busy)]
    print(f"{path.name}: {blocks} clips of 8 new frames")
    print(f"decoding in this process          {per_clip[0]:6.3f} ms a clip")
    print(f"through a decoder process         {per_clip[1]:6.3f} ms a clip, ratio {per_clip[1] / per_clip[0]:.2f}")
    print(f"this process's part of that       {per_clip[2]:6.3f} ms of processor a clip: the transport")


if __name__ == "__main__":
    asyncio.run(measure(Path(sys.argv[1] if len(sys.argv) > 1 else ".venv/videos/carphone_pristine.mp4")))
