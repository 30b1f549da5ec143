"""A file through all the stages, with a network of ten lines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store.c3d import CLIP_SHAPE, ClipOutputs
from service.errors import NonFiniteOutput, TimeRangeOutsideVideo, UndecodableVideo
from service.inference.batcher import Batcher
from service.options import Options
from service.pipeline import BATCHES_AHEAD, ClipDone, Opened, Pipeline, Summary
from service.video.frames import read_video
from service.video.messages import FrameBlock, ReadOptions
from tests.support.fakes import FakeNetwork, InlineDecoder, fake_outputs
from tests.support.videos import write_video

Run = Callable[[NDArray[Any]], Any]
MakePipeline = Callable[[Run], Pipeline]


@pytest.fixture
def make() -> Iterator[MakePipeline]:
    """Pipelines that are stopped after the test."""
    opened: list[Batcher] = []

    def build(run: Run) -> Pipeline:
        opened.append(Batcher(run, (1, 2, 4)))
        return Pipeline(InlineDecoder(), opened[-1], ReadOptions())

    yield build
    for batcher in opened:
        batcher.stop()


async def everything(pipeline: Pipeline, path: Path, **wanted: Any) -> list[Any]:
    async with aclosing(pipeline.run(path, Options(**wanted))) as steps:
        return [step async for step in steps]


def frames_of(path: Path) -> NDArray[np.uint8]:
    return np.concatenate([block.frames for block in read_video(path) if isinstance(block, FrameBlock)])


def test_gives_what_the_file_says_then_clips_in_order_then_summary(make: MakePipeline, clip_mp4: Path) -> None:
    opened, *clips, summary = asyncio.run(everything(make(FakeNetwork().run), clip_mp4))
    assert isinstance(opened, Opened)
    assert opened.num_clips == len(clips)
    assert isinstance(summary, Summary)
    frames = frames_of(clip_mp4)
    assert [done.span.start_frame for done in clips] == [0, 8, 16, 24]
    for done in clips:
        assert isinstance(done, ClipDone)
        expected = fake_outputs(frames[done.span.start_frame :][:16][None])
        for ours, theirs in zip(done.outputs, expected, strict=True):
            assert np.array_equal(ours, theirs[0])
    assert summary.end
    assert (summary.end.num_frames, summary.num_frames_used, summary.end.end_sec) == (40, 40, 1.6)
    assert summary.decode_s > 0
    assert summary.model_s > 0


def test_many_videos_share_batches_and_never_mix(make: MakePipeline, tmp_path: Path) -> None:
    network = FakeNetwork()
    pipeline = make(network.run)
    paths = [write_video(tmp_path / f"{seed}.mp4", 16 + 8 * (seed % 4), seed=seed) for seed in range(8)]
    alone = [asyncio.run(everything(pipeline, path)) for path in paths]

    async def all_at_once() -> list[list[Any]]:
        return await asyncio.gather(*(everything(pipeline, path) for path in paths * 2))

    for number, steps in enumerate(asyncio.run(all_at_once())):
        expected = alone[number % len(paths)]
        assert [type(step) for step in steps] == [type(step) for step in expected]
        for ours, theirs in zip(steps[1:-1], expected[1:-1], strict=True):
            assert ours.span == theirs.span
            assert np.array_equal(ours.outputs.fc6, theirs.outputs.fc6)
    assert max(network.batches) > 1


class Stuck:
    """A batcher that takes clips and never answers."""

    batch_sizes = (1, 2, 4)

    def __init__(self) -> None:
        self.taken: list[Future[Any]] = []

    def submit(self, owner: object, item: NDArray[Any]) -> Future[Any]:
        self.taken.append(Future())
        return self.taken[-1]

    def drop(self, owner: object) -> None:
        """Nothing to drop."""


def test_is_never_far_ahead_of_the_network(tmp_path: Path) -> None:
    """A long video waits for the network: what is decoded of it is bounded, whatever its length."""
    path = write_video(tmp_path / "long.mp4", 400)
    stuck = Stuck()

    async def watch() -> None:
        task = asyncio.create_task(everything(Pipeline(InlineDecoder(), stuck, ReadOptions()), path))  # type: ignore[arg-type]
        before = -1
        while before != len(stuck.taken) or not before:  # until nothing moves, with every chance to
            before = len(stuck.taken)
            await asyncio.to_thread(frames_of, path)
        await give_up(task, stuck)

    asyncio.run(watch())


async def give_up(task: asyncio.Task[Any], stuck: Stuck) -> None:
    """Few of its clips waited, and none does when nobody waits for them."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(stuck.taken) == BATCHES_AHEAD * 4
    assert all(future.cancelled() for future in stuck.taken)


async def rows_of(pipeline: Pipeline, clips: NDArray[np.uint8], summary: Summary | None = None) -> list[ClipOutputs]:
    async with aclosing(pipeline.run_clips(clips, summary or Summary())) as steps:
        return [outputs async for outputs in steps]


def some_clips(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *CLIP_SHAPE), np.uint8)


def test_clips_that_come_as_they_are_give_their_rows_in_order(make: MakePipeline) -> None:
    clips, summary = some_clips(21), Summary()
    rows = asyncio.run(rows_of(make(FakeNetwork().run), clips, summary))
    assert np.array_equal(np.stack([each.fc6 for each in rows]), fake_outputs(clips).fc6)
    assert summary.model_s > 0
    assert summary.queue_s > 0


def test_clips_of_many_requests_share_batches_and_never_mix(make: MakePipeline) -> None:
    network = FakeNetwork()
    pipeline = make(network.run)
    requests = [some_clips(1 + seed % 5, seed) for seed in range(12)]

    async def all_at_once() -> list[list[ClipOutputs]]:
        return await asyncio.gather(*(rows_of(pipeline, clips) for clips in requests))

    for clips, rows in zip(requests, asyncio.run(all_at_once()), strict=True):
        assert np.array_equal(np.stack([each.fc6 for each in rows]), fake_outputs(clips).fc6)
    assert max(network.batches) > 1


def test_few_of_many_clips_wait_at_once_and_none_when_nobody_waits_for_them() -> None:
    stuck = Stuck()

    async def watch() -> None:
        task = asyncio.create_task(rows_of(Pipeline(InlineDecoder(), stuck, ReadOptions()), some_clips(50)))  # type: ignore[arg-type]
        for _ in range(100):
            await asyncio.sleep(0)
        await give_up(task, stuck)

    asyncio.run(watch())


def test_what_is_not_finite_is_an_error(make: MakePipeline, clip_mp4: Path) -> None:
    def broken(clips: NDArray[Any]) -> Any:
        outputs = fake_outputs(clips)
        outputs.fc6[:, 7] = np.nan
        return outputs

    with pytest.raises(NonFiniteOutput):
        asyncio.run(everything(make(broken), clip_mp4))


def test_a_failing_network_fails_its_video_and_not_the_next(make: MakePipeline, clip_mp4: Path, tmp_path: Path) -> None:
    bad = write_video(tmp_path / "bad.mp4", 24, seed=3)
    marker = int(frames_of(bad)[0].sum())

    def moody(clips: NDArray[Any]) -> Any:
        if any(int(clip[0].sum()) == marker for clip in clips):
            raise RuntimeError("the device is out of sorts")
        return fake_outputs(clips)

    pipeline = make(moody)

    async def both() -> Any:
        runs = (everything(pipeline, path) for path in (clip_mp4, bad, clip_mp4))
        return await asyncio.gather(*runs, return_exceptions=True)

    first, second, third = asyncio.run(both())
    assert isinstance(second, RuntimeError)
    assert len(first) == len(third) == 6
    assert len(asyncio.run(everything(pipeline, clip_mp4))) == 6


def test_leaving_in_the_middle_ends_the_work(make: MakePipeline, tmp_path: Path) -> None:
    network = FakeNetwork()
    pipeline = make(network.run)
    path = write_video(tmp_path / "long.mp4", 800)

    async def leave_after_the_first_clip() -> None:
        async with aclosing(pipeline.run(path, Options())) as steps:
            async for step in steps:
                if isinstance(step, ClipDone):
                    return

    asyncio.run(leave_after_the_first_clip())
    assert sum(network.batches) < 99


def test_stride_and_tail_reach_the_cutter(make: MakePipeline, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 50)
    steps = asyncio.run(everything(make(FakeNetwork().run), path, clip_stride=16, tail="pad"))
    assert [(s.span.start_frame, s.span.num_padded_frames) for s in steps[1:-1]] == [(0, 0), (16, 0), (32, 0), (48, 14)]


def test_a_part_is_half_open_by_start_times(make: MakePipeline, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 100)
    _, *clips, summary = asyncio.run(everything(make(FakeNetwork().run), path, start_sec=1.0, end_sec=2.0))
    assert [(s.span.start_frame, s.span.start_sec) for s in clips] == [(25, 1.0), (33, 1.32)]
    assert clips[0].span.end_sec == 41 / 25
    assert summary.end.num_in_part == 25
    assert {notice.code for notice in summary.warnings} == {"tail_frames_dropped"}


def test_a_part_behind_the_video_is_an_error(make: MakePipeline, clip_mp4: Path) -> None:
    with pytest.raises(TimeRangeOutsideVideo, match=r"1\.60 s"):
        asyncio.run(everything(make(FakeNetwork().run), clip_mp4, start_sec=5))
    with pytest.raises(TimeRangeOutsideVideo):
        asyncio.run(everything(make(FakeNetwork().run), clip_mp4, start_sec=0.01, end_sec=0.02))


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.ts", "a.mkv"])
def test_max_clips_reads_no_further_than_it_must(make: MakePipeline, tmp_path: Path, name: str) -> None:
    codec = "mpeg4" if name == "a.avi" else "libx264"
    path = write_video(tmp_path / name, 164, codec=codec)
    _, *clips, summary = asyncio.run(everything(make(FakeNetwork().run), path, max_clips=3))
    assert [s.span.start_frame for s in clips] == [0, 72, 144]
    _, *one, summary = asyncio.run(everything(make(FakeNetwork().run), path, max_clips=1))
    assert [s.span.start_frame for s in one] == [72]
    assert summary.end.num_frames < 100
    assert summary.warnings == []


def test_a_video_that_ends_before_its_last_clip_says_so(make: MakePipeline, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", 100, options={"g": "10"}, size=(240, 320))
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 5 // 188 * 188, len(data), 188):
        data[place + 30 : place + 188] = bytes(158)
    path.write_bytes(data)
    try:
        steps = asyncio.run(everything(make(FakeNetwork().run), path, max_clips=2))
    except UndecodableVideo:
        return
    assert {notice.code for notice in steps[-1].warnings} & {"corrupt_frames", "fewer_clips"}
