"""One process as its parent sees it. (What the pool makes of it: test_pool.py.)"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from service.errors import DecoderFailed, DecodeTimeout, UndecodableVideo
from service.video import ring
from service.video.memory import MemoryBudget
from service.video.messages import FrameBlock, ReadOptions, VideoEnd
from service.video.process import DecoderHalted, DecoderProcess
from tests.support.videos import write_video

pytestmark = pytest.mark.slow  # a process for each test

GIB = 1024**3


def with_process(
    work: Callable[[DecoderProcess], Awaitable[Any]], timeout_s: float = 60, memory: MemoryBudget | None = None
) -> Any:
    async def run() -> Any:
        process = await DecoderProcess.start(3 * GIB // 2, timeout_s, memory or MemoryBudget())
        try:
            return await work(process)
        finally:
            await process.kill()
            assert not process.is_usable()

    return asyncio.run(run())


async def read(process: DecoderProcess, path: Path) -> list[Any]:
    return [decoded.message async for decoded in process.decode(path, ReadOptions())]


def test_frames_are_the_readers_own(clip_mp4: Path, tmp_path: Path) -> None:
    """The ring is written over by the next blocks; what was handed on is not."""

    async def work(process: DecoderProcess) -> None:
        blocks = [message for message in await read(process, clip_mp4) if isinstance(message, FrameBlock)]
        before = [block.frames.copy() for block in blocks]
        await read(process, write_video(tmp_path / "other.mp4", 60, seed=1))
        assert all((block.frames == frames).all() for block, frames in zip(blocks, before, strict=True))
        assert process.is_usable()

    with_process(work)


def test_a_refusal_leaves_it_usable_and_a_failure_does_not(tmp_path: Path, clip_mp4: Path) -> None:
    (tmp_path / "video").write_bytes(b"no video")

    async def work(process: DecoderProcess) -> None:
        with pytest.raises(UndecodableVideo):
            await read(process, tmp_path / "video")
        assert process.is_usable()
        with pytest.raises(DecoderFailed):
            [message async for message in process.decode(clip_mp4, ReadOptions(crop_left=100))]
        assert not process.is_usable()

    with_process(work)


def test_reset_is_for_a_video_that_was_left(clip_mp4: Path) -> None:
    async def work(process: DecoderProcess) -> None:
        messages = process.decode(clip_mp4, ReadOptions())
        await anext(messages)
        await messages.aclose()
        await process.reset()
        assert process.is_usable()
        assert isinstance((await read(process, clip_mp4))[-1], VideoEnd)
        await process.reset()
        assert process.is_usable()

    with_process(work)


def test_a_stopped_process_is_told_from_a_stuck_one(clip_mp4: Path) -> None:
    async def work(process: DecoderProcess) -> None:
        await read(process, clip_mp4)
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(DecoderHalted):
            await read(process, clip_mp4)
        assert not process.is_usable()

    with_process(work, timeout_s=2)


def test_one_that_works_without_a_frame_is_stuck(tmp_path: Path) -> None:
    """A second of processor is what it may take; before it says anything it decodes 16 frames of 4096x2304 in several."""
    slow = write_video(tmp_path / "slow.mp4", 17, size=(2304, 4096), options={"g": "300"})

    async def work(process: DecoderProcess) -> None:
        with pytest.raises(DecodeTimeout):
            [message async for message in process.decode(slow, ReadOptions(max_clips=1))]
        assert not process.is_usable()

    with_process(work, timeout_s=0.2)


def test_a_pause_of_everything_is_no_failure(clip_mp4: Path) -> None:
    """At the first look after it the decoder has had no time to work, as it has when all of a container is thawed."""

    async def work(process: DecoderProcess) -> None:
        await read(process, clip_mp4)
        os.kill(process.pid, signal.SIGSTOP)
        loop = asyncio.get_running_loop()
        loop.call_later(0.8, os.kill, process.pid, signal.SIGCONT)  # between the first look, after 0.5 s, and the second
        assert isinstance((await read(process, clip_mp4))[-1], VideoEnd)

    with_process(work, timeout_s=2)


def test_a_video_takes_memory_by_its_size_and_gives_it_back(tmp_path: Path, clip_mp4: Path) -> None:
    large, memory = write_video(tmp_path / "large.mp4", 20, size=(1080, 1920)), MemoryBudget()
    taken: list[int] = []

    async def work(process: DecoderProcess) -> None:
        for path in (clip_mp4, large):
            messages = process.decode(path, ReadOptions())
            await anext(messages)
            taken.append(memory.used_bytes)
            await messages.aclose()
            await process.reset()
            assert memory.used_bytes == 0
        await anext(process.decode(large, ReadOptions()))

    with_process(work, memory=memory)
    assert memory.used_bytes == 0
    assert taken == [128 * 96 * 21, 1920 * 1080 * 21]


def test_death_is_noticed() -> None:
    async def work(process: DecoderProcess) -> None:
        os.kill(process.pid, signal.SIGKILL)
        while process.is_usable():  # noqa: ASYNC110 (nothing is to be waited for but the loop's own turn)
            await asyncio.sleep(0)

    with_process(work)


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n",
        b"[]\n",
        b"{}\n",
        b'{"info": 3}\n',
        b'{"error": "none", "detail": "", "cause": "", "healthy": true}\n',
        b"x" * 100_000,
    ],
)
def test_lines_that_no_healthy_process_writes_break_it(clip_mp4: Path, tmp_path: Path, line: bytes) -> None:
    """A program that says this, and whatever it is told, is taken for the decoder."""
    (tmp_path / "line").write_bytes(line)

    async def run() -> None:
        program = await asyncio.create_subprocess_exec("cat", str(tmp_path / "line"), "-", stdin=PIPE, stdout=PIPE)
        files, theirs = socket.socketpair()
        descriptor = ring.create()
        process = DecoderProcess(program, descriptor, files, 60, MemoryBudget())
        os.close(descriptor)
        with theirs, pytest.raises(DecoderFailed):
            await read(process, clip_mp4)
        assert not process.is_usable()
        await process.kill()

    asyncio.run(run())
