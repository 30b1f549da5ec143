"""The decoder hands on what read_video gives, only when asked, and ends with its reader."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

from service.decoder import Decoded, Decoder
from service.errors import UndecodableVideo
from service.frames import FrameBlock, VideoEnd, VideoInfo, read_video


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    made = Decoder(threads=2, crop_left=29)
    yield made
    made.close()


async def everything(decoder: Decoder, path: Path) -> list[Decoded]:
    async with aclosing(decoder.read(path)) as decoded:
        return [each async for each in decoded]


def frames_in(decoded: list[Decoded]) -> list[bytes]:
    return [each.message.frames.tobytes() for each in decoded if isinstance(each.message, FrameBlock)]


def test_gives_what_the_file_holds(decoder: Decoder, clip_mp4: Path) -> None:
    decoded = asyncio.run(everything(decoder, clip_mp4))
    assert [type(each.message) for each in decoded] == [VideoInfo, *[FrameBlock] * 5, VideoEnd]
    assert frames_in(decoded) == [m.frames.tobytes() for m in read_video(clip_mp4) if isinstance(m, FrameBlock)]
    assert all(each.seconds > 0 for each in decoded)


def test_many_videos_at_once_do_not_mix(decoder: Decoder, clip_mp4: Path, tmp_path: Path) -> None:
    from videos import write_video

    paths = [clip_mp4, *(write_video(tmp_path / f"{seed}.mp4", 20, seed=seed) for seed in range(1, 5))] * 2

    async def all_at_once() -> list[list[Decoded]]:
        return await asyncio.gather(*(everything(decoder, path) for path in paths))

    for path, decoded in zip(paths, asyncio.run(all_at_once()), strict=True):
        expected = [m.frames for m in read_video(path) if isinstance(m, FrameBlock)]
        assert np.array_equal(np.concatenate(expected).tobytes(), b"".join(frames_in(decoded)))


def test_errors_reach_the_reader(decoder: Decoder, tmp_path: Path) -> None:
    (tmp_path / "video").write_bytes(b"no video")
    with pytest.raises(UndecodableVideo):
        asyncio.run(everything(decoder, tmp_path / "video"))


def test_nothing_is_decoded_for_a_reader_that_left(decoder: Decoder, clip_mp4: Path) -> None:
    async def leave_at_once() -> int:
        seen = 0
        async with aclosing(decoder.read(clip_mp4)) as decoded:
            async for _ in decoded:
                seen += 1
                if seen == 2:
                    break
        return seen

    assert asyncio.run(leave_at_once()) == 2


def test_a_cancelled_reader_is_closed_while_a_thread_is_inside(decoder: Decoder, clip_mp4: Path) -> None:
    async def cancel_in_the_middle() -> None:
        task = asyncio.create_task(everything(decoder, clip_mp4))
        await asyncio.sleep(0)  # it has asked for its first message
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_in_the_middle())
    assert len(asyncio.run(everything(decoder, clip_mp4))) == 7
