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

from service.errors import DecoderFailed, UndecodableVideo
from service.video import ring
from service.video.messages import FrameBlock, ReadOptions, VideoEnd
from service.video.process import DecoderProcess
from tests.support.videos import write_video

pytestmark = pytest.mark.slow  # a process for each test

GIB = 1024**3


def with_process(work: Callable[[DecoderProcess], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        process = await DecoderProcess.start(3 * GIB // 2, 60)
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


def test_death_is_noticed() -> None:
    async def work(process: DecoderProcess) -> None:
        os.kill(process.pid, signal.SIGKILL)
        while process.is_usable():  # noqa: ASYNC110 (nothing is to be waited for but the loop's own turn)
            await asyncio.sleep(0)

    with_process(work)


@pytest.mark.parametrize(
    "line", [b"no json\n", b"[]\n", b"{}\n", b'{"info": 3}\n', b'{"error": "none", "detail": "", "cause": ""}\n', b"x" * 100_000]
)
def test_lines_that_no_healthy_process_writes_break_it(clip_mp4: Path, tmp_path: Path, line: bytes) -> None:
    """A program that says this, and whatever it is told, is taken for the decoder."""
    (tmp_path / "line").write_bytes(line)

    async def run() -> None:
        program = await asyncio.create_subprocess_exec("cat", str(tmp_path / "line"), "-", stdin=PIPE, stdout=PIPE)
        files, theirs = socket.socketpair()
        descriptor = ring.create()
        process = DecoderProcess(program, descriptor, files, 60)
        os.close(descriptor)
        with theirs, pytest.raises(DecoderFailed):
            await read(process, clip_mp4)
        assert not process.is_usable()
        await process.kill()

    asyncio.run(run())
