"""The pool of real processes: what it hands on, how it ends a video, and what a bad one costs."""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import struct
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import DecoderFailed, ServiceError, Shortage, UndecodableVideo
from service.video.frames import read_video
from service.video.messages import FrameBlock, ReadOptions, VideoEnd, VideoInfo
from service.video.pool import DecoderPool
from service.video.process import Decoded
from tests.conftest import SHARED
from tests.support.videos import write_video

pytestmark = pytest.mark.slow  # a process or more for each test

GIB = 1024**3


def with_decoder(
    work: Callable[[DecoderPool], Awaitable[Any]],
    kept: int = 1,
    most: int = 4,
    timeout_s: float = 60,
    memory_bytes: int = GIB,
    address_space_bytes: int = 3 * GIB // 2,
) -> Any:
    """Run ``work`` with a pool that is closed afterwards; all its processes must then be gone."""

    async def run() -> Any:
        decoder = DecoderPool(most, kept, address_space_bytes, timeout_s, memory_bytes)
        await decoder.start()
        try:
            return await work(decoder)
        finally:
            pids = [process.pid for process in decoder.idle]
            await decoder.close()
            assert decoder.num_processes == 0
            assert not any(is_running(pid) for pid in pids)

    return asyncio.run(run())


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def everything(decoder: DecoderPool, path: Path, **options: Any) -> list[Decoded]:
    async with decoder.open(path, ReadOptions(**options)) as decoded:
        return [each async for each in decoded]


def frames_in(decoded: list[Decoded]) -> bytes:
    return b"".join(each.message.frames.tobytes() for each in decoded if isinstance(each.message, FrameBlock))


def test_gives_what_the_file_holds(clip_mp4: Path) -> None:
    decoded = with_decoder(lambda decoder: everything(decoder, clip_mp4))
    assert [type(each.message) for each in decoded] == [VideoInfo, *[FrameBlock] * 5, VideoEnd]
    for ours, theirs in zip(decoded, list(read_video(clip_mp4))[1:], strict=True):
        if not isinstance(theirs, FrameBlock):
            assert ours.message == theirs
            continue
        assert isinstance(ours.message, FrameBlock)
        for name in ("numbers", "frames", "start_sec", "end_sec", "damaged", "before_gap"):
            assert np.array_equal(getattr(ours.message, name), getattr(theirs, name))
    assert all(each.seconds > 0 for each in decoded)


def test_many_videos_at_once_do_not_mix(clip_mp4: Path, tmp_path: Path) -> None:
    paths = [clip_mp4, *(write_video(tmp_path / f"{seed}.mp4", 60, seed=seed) for seed in range(1, 5))] * 2

    async def all_at_once(decoder: DecoderPool) -> list[list[Decoded]]:
        return await asyncio.gather(*(everything(decoder, path) for path in paths))

    for path, decoded in zip(paths, with_decoder(all_at_once, kept=2, most=3), strict=True):
        assert frames_in(decoded) == b"".join(m.frames.tobytes() for m in read_video(path) if isinstance(m, FrameBlock))


def test_a_refused_file_does_not_cost_its_process(tmp_path: Path, clip_mp4: Path) -> None:
    (tmp_path / "video").write_bytes(b"no video")

    async def work(decoder: DecoderPool) -> None:
        [process] = decoder.idle
        with pytest.raises(UndecodableVideo):
            await everything(decoder, tmp_path / "video")
        assert len(await everything(decoder, clip_mp4)) == 7
        await decoder.settled()
        assert decoder.idle == (process,)
        assert decoder.num_replaced == 0

    with_decoder(work)


def test_leaving_in_the_middle_frees_the_process_for_the_next(tmp_path: Path, clip_mp4: Path) -> None:
    long = write_video(tmp_path / "long.mp4", 600)

    async def work(decoder: DecoderPool) -> None:
        for _ in range(3):
            async with decoder.open(long, ReadOptions()) as messages:
                assert isinstance((await anext(messages)).message, VideoInfo)
                assert isinstance((await anext(messages)).message, FrameBlock)
            assert len(await everything(decoder, clip_mp4)) == 7
        await decoder.settled()
        assert decoder.num_replaced == 0

    with_decoder(work)


def test_reads_no_further_than_its_clips_need(tmp_path: Path) -> None:
    long = write_video(tmp_path / "long.mp4", 600)

    async def work(decoder: DecoderPool) -> None:
        *_, end = await everything(decoder, long, max_clips=1, end_sec=4.0)
        assert isinstance(end.message, VideoEnd)
        assert end.message.num_frames < 100
        assert not end.message.whole

    with_decoder(work)


def test_nothing_is_decoded_far_ahead_of_the_reader(tmp_path: Path) -> None:
    """A reader that stands still costs no more decoding: the process sleeps in its pipe."""
    long = write_video(tmp_path / "long.mp4", 2000)

    async def work(decoder: DecoderPool) -> None:
        process = decoder.idle[-1]  # the one that will be taken
        async with decoder.open(long, ReadOptions()) as messages:
            await anext(messages)
            spent = -1
            while spent != (now := cpu_ticks(process.pid)) or now == 0:
                spent = now
                await everything(decoder, long, end_sec=4.0)  # time for it to go on, if it would
            rest = [each async for each in messages]
            assert isinstance(rest[-1].message, VideoEnd)
            assert cpu_ticks(process.pid) > spent

    with_decoder(work, kept=2)


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_crash_costs_its_own_video_only(tmp_path: Path, clip_mp4: Path, number: signal.Signals) -> None:
    long = write_video(tmp_path / "long.mp4", 600)

    async def work(decoder: DecoderPool) -> None:
        first, second = decoder.idle
        async with (
            decoder.open(long, ReadOptions()) as doomed,
            decoder.open(long, ReadOptions()) as neighbour,
        ):
            await anext(doomed)
            await anext(neighbour)
            [victim] = [process for process in (first, second) if process is second]  # the last one idle is the first one taken
            os.kill(victim.pid, number)
            with pytest.raises(DecoderFailed):
                async for _ in doomed:
                    pass
            rest = [each async for each in neighbour]
        assert isinstance(rest[-1].message, VideoEnd)
        assert len(await everything(decoder, clip_mp4)) == 7
        await decoder.settled()
        assert decoder.num_replaced == 1

    with_decoder(work, kept=2)


def test_a_process_that_died_idle_costs_nobody(clip_mp4: Path) -> None:
    async def work(decoder: DecoderPool) -> None:
        [process] = decoder.idle
        os.kill(process.pid, signal.SIGKILL)
        while process.is_usable():  # noqa: ASYNC110 (nothing is to be waited for but the loop's own turn)
            await asyncio.sleep(0)
        assert len(await everything(decoder, clip_mp4)) == 7

    with_decoder(work)


def test_a_video_whose_process_was_stopped_is_decoded_in_another(tmp_path: Path) -> None:
    """From where its reader is: nothing comes twice."""
    long = write_video(tmp_path / "long.mp4", 300)

    async def work(decoder: DecoderPool) -> None:
        pid = decoder.idle[-1].pid  # of the one that will be taken
        async with decoder.open(long, ReadOptions()) as messages:
            decoded = [await anext(messages) for _ in range(3)]
            os.kill(pid, signal.SIGSTOP)
            decoded += [each async for each in messages]
        assert frames_in(decoded) == b"".join(m.frames.tobytes() for m in read_video(long) if isinstance(m, FrameBlock))
        await decoder.settled()
        assert not is_running(pid)

    with_decoder(work, timeout_s=4)


def test_where_all_processes_are_stopped_the_file_is_not_to_blame(clip_mp4: Path) -> None:
    async def work(decoder: DecoderPool) -> None:
        async with decoder.open(clip_mp4, ReadOptions()) as messages:
            stopping = asyncio.create_task(stop_all())
            with pytest.raises(Shortage):
                [each async for each in messages]
        stopping.cancel()
        await asyncio.wait([stopping])
        assert len(await everything(decoder, clip_mp4)) == 7

    with_decoder(work, timeout_s=2)


async def stop_all() -> None:
    """Each decoder as soon as it is there."""
    while True:
        for pid in children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(0.01)


def address_space_used(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * mmap.PAGESIZE


def children() -> list[int]:
    pids = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    return [int(pid) for pid in pids if b"service.video.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_large_videos_wait_for_each_other_and_all_are_read(tmp_path: Path, clip_mp4: Path) -> None:
    async def work(decoder: DecoderPool) -> None:
        async with decoder.open(large, ReadOptions()) as first:
            await anext(first)
            second = asyncio.create_task(everything(decoder, large))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(second), 1)
        assert isinstance((await second)[-1].message, VideoEnd)

    large = write_video(tmp_path / "large.mp4", 20, size=(480, 640))
    with_decoder(work, kept=2, memory_bytes=640 * 480 * 30)


def test_a_file_that_takes_too_much_memory_costs_no_process(tmp_path: Path, clip_mp4: Path) -> None:
    """It is not called damaged, as FFmpeg does it. The process proves that it works, and goes on."""
    large = write_video(tmp_path / "large.mp4", 12, size=(2304, 4096), pix_fmt="yuv444p10le", options={"x264-params": "ref=8"})
    sizes: list[int] = []

    async def measure(decoder: DecoderPool) -> None:
        await everything(decoder, clip_mp4)
        [pid] = children()
        sizes.append(address_space_used(pid))

    async def work(decoder: DecoderPool) -> None:
        await everything(decoder, clip_mp4)
        before = set(children())
        with pytest.raises(DecoderFailed, match="more memory"):
            await everything(decoder, large)
        assert len(await everything(decoder, clip_mp4)) == 7
        assert before <= set(children())
        assert decoder.num_replaced == 0

    with_decoder(measure, most=1)
    with_decoder(work, most=1, address_space_bytes=sizes[0] + GIB * 7 // 16)


def claims_many_samples(path: Path, source: Path) -> Path:
    """The mp4 with a sample table that claims 400 million equal samples in a few bytes: an index of gigabytes."""
    data = source.read_bytes()
    place = data.index(b"stsz")
    table = struct.pack(">4sIII", b"stsz", 0, 1, 400_000_000)
    size = struct.unpack(">I", data[place - 4 : place])[0]
    padded = table + bytes(size - 4 - len(table))
    data = data[:place] + padded + data[place + len(padded) :]
    place = data.index(b"stts")
    path.write_bytes(data[: place + 12] + struct.pack(">I", 400_000_000) + data[place + 16 :])
    return path


def test_an_index_of_gigabytes_fails_one_video(tmp_path: Path, clip_mp4: Path) -> None:
    bomb = claims_many_samples(tmp_path / "bomb.mp4", clip_mp4)

    async def work(decoder: DecoderPool) -> None:
        before = set(children())
        with pytest.raises(ServiceError) as caught:
            await everything(decoder, bomb)
        assert caught.value.status == 422
        assert len(await everything(decoder, clip_mp4)) == 7
        assert before <= set(children())
        assert decoder.num_replaced == 0

    with_decoder(work, most=1)


@pytest.mark.parametrize("name", ["editlist_bomb.mp4", "same_chunk_60k.mp4", "huge_16000_h264.mp4", "mp4_claims_1e7.mp4"])
def test_bombs_end_within_their_limits(name: str, clip_mp4: Path) -> None:
    if not SHARED.exists():
        pytest.skip("../shared/data is not here")

    async def work(decoder: DecoderPool) -> None:
        try:
            decoded = await everything(decoder, SHARED / "badvideos" / name)
        except ServiceError as error:
            assert error.status == 422  # noqa: PT017
        else:
            assert isinstance(decoded[-1].message, VideoEnd)
        assert len(await everything(decoder, clip_mp4)) == 7

    with_decoder(work)


def test_waits_for_a_process_where_all_are_taken(clip_mp4: Path) -> None:
    async def work(decoder: DecoderPool) -> None:
        async with decoder.open(clip_mp4, ReadOptions()) as holding:
            await anext(holding)
            waiting = asyncio.create_task(everything(decoder, clip_mp4))
            gone = asyncio.create_task(everything(decoder, clip_mp4))
            await asyncio.sleep(0)
            gone.cancel()
            assert not waiting.done()
        assert len(await waiting) == 7
        with pytest.raises(asyncio.CancelledError):
            await gone

    with_decoder(work, most=1)


def test_closing_in_the_middle_of_the_start_leaves_no_process() -> None:
    async def run() -> None:
        decoder = DecoderPool(3, 3, 3 * GIB // 2, 60)
        starting = asyncio.create_task(decoder.start())
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
        await decoder.close()
        assert decoder.num_processes == 0

    asyncio.run(run())


def test_many_short_videos_start_no_more_processes(clip_mp4: Path) -> None:
    async def work(decoder: DecoderPool) -> None:
        decoder.patience_s = 3600
        await asyncio.gather(*(everything(decoder, clip_mp4) for _ in range(6)))
        assert decoder.num_processes == 2

    with_decoder(work, kept=2)


def test_first_come_first_served(clip_mp4: Path) -> None:
    """Also where one comes just when a process is free, and others wait for it."""

    async def work(decoder: DecoderPool) -> None:
        ended: list[int] = []

        async def one(number: int) -> None:
            await everything(decoder, clip_mp4)
            ended.append(number)
            if number < 10:
                again.append(asyncio.create_task(one(number + 10)))

        again: list[asyncio.Task[None]] = []
        await asyncio.gather(*(one(number) for number in range(5)))
        await asyncio.gather(*again)
        assert ended == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]

    with_decoder(work, most=1)


def test_a_video_that_takes_long_keeps_nobody_waiting(clip_mp4: Path) -> None:
    async def work(decoder: DecoderPool) -> None:
        async with (
            decoder.open(clip_mp4, ReadOptions()) as film,
            decoder.open(clip_mp4, ReadOptions()) as other,
        ):
            await anext(film)
            await anext(other)
            assert len(await everything(decoder, clip_mp4)) == 7
            assert decoder.num_processes >= 3

    with_decoder(work)


def test_beside_long_videos_one_process_is_ready_before_a_video_comes(clip_mp4: Path) -> None:
    async def work(decoder: DecoderPool) -> None:
        decoder.patience_s = 0
        async with (
            decoder.open(clip_mp4, ReadOptions()) as film,
            decoder.open(clip_mp4, ReadOptions()) as other,
        ):
            await anext(film)
            await anext(other)
            assert decoder.num_processes == 3
            decoder.patience_s = 3600  # nobody could wait for one more
            assert len(await everything(decoder, clip_mp4)) == 7
            assert decoder.num_processes == 3

    with_decoder(work, kept=2)


def test_no_more_processes_are_started_ahead_than_may_run(clip_mp4: Path) -> None:
    async def work(decoder: DecoderPool) -> None:
        decoder.patience_s = 0
        async with decoder.open(clip_mp4, ReadOptions()) as film:
            await anext(film)
            for _ in range(3):
                await everything(decoder, clip_mp4)
            assert decoder.num_processes == 2

    with_decoder(work, kept=1, most=2)


def test_more_processes_are_started_and_ended_again(clip_mp4: Path) -> None:
    async def work(decoder: DecoderPool) -> None:
        decoder.patience_s = 0
        await asyncio.gather(*(everything(decoder, clip_mp4) for _ in range(6)))
        await decoder.settled()
        assert len(decoder.idle) <= 2
        assert decoder.num_processes == len(decoder.idle)

    with_decoder(work, kept=1, most=4)


def test_confined_and_alone() -> None:
    """Limits, no inherited secrets, and death with the parent are what the processes have."""

    async def work(decoder: DecoderPool) -> None:
        [process] = decoder.idle
        proc = Path(f"/proc/{process.pid}")
        await everything_started(decoder)
        limits = proc.joinpath("limits").read_text()
        assert str(3 * GIB // 2) in limits
        assert "NoNewPrivs:\t1" in proc.joinpath("status").read_text()
        assert proc.joinpath("oom_score_adj").read_text() == "1000\n"
        names = {entry.split(b"=")[0] for entry in proc.joinpath("environ").read_bytes().split(b"\0") if entry}
        assert names == {
            b"OPENBLAS_NUM_THREADS",
            b"OMP_NUM_THREADS",
            b"MALLOC_TRIM_THRESHOLD_",
            b"MALLOC_MMAP_THRESHOLD_",
            b"PYTHONPATH",
        }

    with_decoder(work)


async def everything_started(decoder: DecoderPool) -> None:
    with pytest.raises(UndecodableVideo):
        await everything(decoder, Path("/dev/null"))


def test_pictures_come_out_of_the_process_whole(tmp_path: Path) -> None:
    noise = write_video(tmp_path / "noise.mp4", 20, options={"crf": "5"})
    options: dict[str, Any] = {"clip_stride": 1, "thumbnails": True}  # one for every frame: the longest messages
    decoded = with_decoder(lambda decoder: everything(decoder, noise, **options))
    found = [each.message.thumbnails for each in decoded if isinstance(each.message, FrameBlock)]
    expected = [each.thumbnails for each in read_video(noise, ReadOptions(**options)) if isinstance(each, FrameBlock)]
    assert found == expected
    assert all(each.startswith(b"\xff\xd8") and each.endswith(b"\xff\xd9") for block in found for each in block.values())
