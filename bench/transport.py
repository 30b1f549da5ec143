"""What it costs to bring frames from a decoder process: python -m bench.transport. Medians of 9 rounds, interleaved.

The same video read by `frames.read_video` in this process, and through `pool.DecoderPool`: the difference, per clip of the
default stride (8 new frames), is the transport, process switches included.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

from bench import claims, inputs, stats
from bench.claims import Claim, Options, Table
from service.video.frames import read_video
from service.video.messages import FrameBlock, ReadOptions
from service.video.pool import DecoderPool

ROUNDS = 9
FRAMES = 240
GIB = 1024**3


def here(path: Path) -> tuple[float, int]:
    """Seconds and blocks of a reading in this process."""
    started = time.perf_counter()
    blocks = sum(isinstance(message, FrameBlock) for message in read_video(path))
    return time.perf_counter() - started, blocks


async def there(decoder: DecoderPool, path: Path) -> tuple[float, float]:
    """Seconds of a reading through the pool: by the clock, and of this process's processor."""
    started, busy = time.perf_counter(), time.process_time()
    async with decoder.open(path, ReadOptions()) as messages:
        async for _ in messages:
            pass
    return time.perf_counter() - started, time.process_time() - busy


async def readings(path: Path) -> tuple[list[float], list[float], list[float], int]:
    """Seconds here, there, and this process's share of there, by round; and the number of blocks."""
    decoder = DecoderPool(1, 1, 3 * GIB // 2, 60)
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
    return local, remote, busy, blocks


def measure(options: Options, directory: Path) -> Claim:
    """Both ways of reading one video."""
    local, remote, busy, blocks = asyncio.run(readings(inputs.make_video(directory / "video.mp4", FRAMES)))
    ratio = stats.paired_ratio(remote, local)
    in_process, through, own = (1000 / blocks * statistics.median(values) for values in (local, remote, busy))
    table = Table("Frames from a decoder process, by clip (8 new frames of 320x240 H.264)", ("", "ms"))
    table.rows = [
        ["decoding in this process", f"{in_process:.2f}"],
        [f"through a decoder process ({ratio} times that)", f"{through:.2f}"],
        ["this process's processor for it: the transport", f"{own:.2f}"],
    ]
    figures = {"in_process_ms": in_process, "through_ms": through, "ratio": ratio, "transport_cpu_ms": own}
    return Claim("transport", [table], figures)


if __name__ == "__main__":
    claims.run(measure, __doc__)
