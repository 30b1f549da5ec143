"""Where clips start and end, for every length, stride and tail."""

from __future__ import annotations

import weakref
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from service.video.clips import Clip, ClipCutter, ClipPlan
from service.video.messages import FrameBlock, Tail

FPS = 25


def frames_of(num_frames: int) -> NDArray[np.uint8]:
    """Frames that carry their index, without the memory of real ones."""
    index = np.arange(num_frames)
    values = np.stack([index % 256, index // 256], axis=-1).astype(np.uint8)
    return values.reshape(-1, 1, 1, 2)


def blocks_of(
    num_frames: int,
    block: int = 8,
    first: int = 0,
    damaged: frozenset[int] = frozenset(),
    gaps: frozenset[int] = frozenset(),
) -> list[FrameBlock]:
    """Frames ``first`` and on, at 25/s, some of them damaged."""
    frames, numbers = frames_of(first + num_frames), np.arange(first + num_frames)
    marks = np.isin(numbers, list(damaged))
    parts = (slice(start, min(start + block, first + num_frames)) for start in range(first, first + num_frames, block))
    return [
        FrameBlock(
            first_in_part=first,
            numbers=numbers[part],
            frames=frames[part],
            start_sec=numbers[part] / FPS,
            end_sec=(numbers[part] + 1) / FPS,
            damaged=marks[part],
            before_gap=np.isin(numbers[part], list(gaps)),
        )
        for part in parts
    ]


def cut(
    num_frames: int,
    stride: int = 8,
    tail: Tail = "drop",
    *,
    block: int = 8,
    max_clips: int | None = None,
    expected: int | None = None,
    first: int = 0,
    damaged: frozenset[int] = frozenset(),
    gaps: frozenset[int] = frozenset(),
) -> tuple[list[Clip], ClipCutter]:
    plan = ClipPlan(num_frames if expected is None else expected, stride, tail, max_clips)
    cutter, clips = ClipCutter(plan), []
    for each in blocks_of(num_frames, block, first, damaged, gaps):
        clips += cutter.add(each)
    clips += cutter.finish(num_frames)
    return clips, cutter


def codes(cutter: ClipCutter) -> list[str]:
    return [notice.code for notice in cutter.warnings()]


def indices(clip: Clip) -> list[int]:
    low_high = clip.frames.reshape(16, 2).astype(int)
    return [int(low + 256 * high) for low, high in low_high]


@pytest.mark.parametrize("stride", [1, 5, 8, 16, 20, 40])
@pytest.mark.parametrize("block", [1, 7, 8, 600])
def test_clips_are_those_of_the_definition(stride: int, block: int) -> None:
    for num_frames in (16, 17, 23, 24, 25, 164, 500):
        clips, cutter = cut(num_frames, stride, block=block)
        starts = list(range(0, num_frames - 15, stride))
        assert [clip.span.start_frame for clip in clips] == starts
        for number, (clip, start) in enumerate(zip(clips, starts, strict=True)):
            assert indices(clip) == list(range(start, start + 16))
            assert clip.span.index == number
            assert (clip.span.end_frame, clip.span.num_padded_frames) == (start + 16, 0)
            assert (clip.span.start_sec, clip.span.end_sec) == (start / FPS, (start + 16) / FPS)
        covered = {i for start in starts for i in range(start, start + 16)}
        assert cutter.num_used == len(covered)


def test_the_known_video_has_19_clips() -> None:
    clips, cutter = cut(164)
    assert len(clips) == 19
    assert (clips[0].span.start_sec, clips[0].span.end_sec) == (0.0, 0.64)
    assert [notice.message.split(" fill")[0] for notice in cutter.warnings()] == ["The last 4 frames"]


@pytest.mark.parametrize(
    ("num_frames", "stride", "last", "padded"), [(20, 8, 8, 4), (20, 16, 16, 12), (30, 8, 16, 2), (17, 1, 1, 0)]
)
def test_pad_adds_one_clip_with_what_is_left(num_frames: int, stride: int, last: int, padded: int) -> None:
    clips, cutter = cut(num_frames, stride, "pad")
    assert clips[-1].span.start_frame == last
    assert clips[-1].span.num_padded_frames == padded
    assert clips[-1].span.end_frame == num_frames
    assert indices(clips[-1]) == [*range(last, num_frames), *[num_frames - 1] * padded]
    assert clips[-1].span.end_sec == num_frames / FPS
    assert codes(cutter) == []
    assert cutter.num_used == num_frames


@pytest.mark.parametrize("num_frames", [16, 24, 32])
def test_pad_adds_nothing_where_nothing_is_left(num_frames: int) -> None:
    assert len(cut(num_frames, 8, "pad")[0]) == len(cut(num_frames, 8, "drop")[0])


@pytest.mark.parametrize("num_frames", [20, 39, 40])
@pytest.mark.parametrize("tail", ["drop", "pad"])
def test_frames_that_a_long_stride_skips_are_no_tail(num_frames: int, tail: Tail) -> None:
    clips, cutter = cut(num_frames, 40, tail)
    assert len(clips) == 1
    assert codes(cutter) == []


@pytest.mark.parametrize("num_frames", [1, 15])
@pytest.mark.parametrize("tail", ["drop", "pad"])
def test_a_short_video_is_padded_to_one_clip_and_says_so(num_frames: int, tail: Tail) -> None:
    clips, cutter = cut(num_frames, tail=tail)
    assert [indices(clip) for clip in clips] == [[*range(num_frames), *[num_frames - 1] * (16 - num_frames)]]
    assert clips[0].span.end_frame == num_frames
    assert codes(cutter) == ["short_video_padded"]


@pytest.mark.parametrize(
    ("num_frames", "said"),
    [
        (1, "The video has 1 frame, a clip 16: the last frame was repeated."),
        (15, "The video has 15 frames, a clip 16: the last frame was repeated."),
        (17, "The last frame fills no clip and was left out. To keep it: tail=pad."),
        (18, "The last 2 frames fill no clip and were left out. To keep them: tail=pad."),
    ],
)
def test_warnings_agree_in_number(num_frames: int, said: str) -> None:
    _, cutter = cut(num_frames)
    assert [warning.message for warning in cutter.warnings()] == [said]


def test_no_frames_make_no_clip() -> None:
    clips, cutter = cut(0)
    assert clips == []
    assert codes(cutter) == []


def test_clips_tile_without_gaps_at_stride_16() -> None:
    clips, _ = cut(500, 16, "pad")
    ends = [clip.span.end_sec for clip in clips]
    assert [clip.span.start_sec for clip in clips] == [0.0, *ends[:-1]]
    assert ends[-1] == 500 / FPS


def test_a_part_keeps_the_videos_own_numbers_and_times() -> None:
    clips, _ = cut(40, first=100)
    assert [clip.span.start_frame for clip in clips] == [100, 108, 116, 124]
    assert clips[0].span.start_sec == 100 / FPS
    assert indices(clips[1]) == list(range(108, 124))


@pytest.mark.parametrize(
    ("max_clips", "starts"),
    [
        (1, [72]),
        (2, [0, 144]),
        (3, [0, 72, 144]),
        (4, [0, 48, 96, 144]),
        (19, list(range(0, 145, 8))),
        (500, list(range(0, 145, 8))),
    ],
)
def test_max_clips_are_evenly_spaced_from_the_first_to_the_last(max_clips: int, starts: list[int]) -> None:
    clips, cutter = cut(164, max_clips=max_clips)
    assert [clip.span.start_frame for clip in clips] == starts
    assert [clip.span.index for clip in clips] == list(range(len(starts)))
    assert all(indices(clip) == list(range(start, start + 16)) for clip, start in zip(clips, starts, strict=True))
    assert "fewer_clips" not in codes(cutter)


@pytest.mark.parametrize("stride", [1, 8, 20])
@pytest.mark.parametrize("tail", ["drop", "pad"])
@pytest.mark.parametrize("max_clips", [None, 1, 3, 500])
def test_the_plan_is_what_is_cut(stride: int, tail: Tail, max_clips: int | None) -> None:
    for num_frames in (0, 1, 16, 17, 30, 164, 1000):
        plan = ClipPlan(num_frames, stride, tail, max_clips)
        clips, _ = cut(num_frames, stride, tail, max_clips=max_clips)
        starts = [clip.span.start_frame for clip in clips]
        if num_frames:
            assert plan.num_clips == len(clips)
            assert starts == list(islice(plan.starts(), len(clips)))
        wanted = {number for a, b in plan.wanted(is_exact=True) for number in range(a, min(int(b), num_frames))}
        assert wanted == {number for clip in clips for number in range(clip.span.start_frame, clip.span.end_frame)}


@pytest.mark.parametrize(("stride", "max_clips"), [(8, 1), (8, 3), (20, None), (5, 7), (40, 2), (1, 9)])
@pytest.mark.parametrize("tail", ["drop", "pad"])
def test_frames_that_are_not_wanted_need_not_come(stride: int, max_clips: int | None, tail: Tail) -> None:
    plan = ClipPlan(333, stride, tail, max_clips)
    clips, whole = cut(333, stride, tail, max_clips=max_clips)
    wanted = [number for a, b in plan.wanted(is_exact=True) for number in range(a, min(int(b), 333))]
    cutter, early = ClipCutter(plan), []
    [block] = blocks_of(333, 333)
    chosen = {
        name: getattr(block, name)[wanted] for name in ("numbers", "frames", "start_sec", "end_sec", "damaged", "before_gap")
    }
    early += cutter.add(FrameBlock(first_in_part=0, **chosen))
    early += cutter.finish(333)
    assert [clip.span for clip in early] == [clip.span for clip in clips]
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(early, clips, strict=True))
    assert (codes(cutter), cutter.num_used) == (codes(whole), whole.num_used)


def test_without_an_exact_count_the_clips_go_on_to_the_end() -> None:
    assert list(ClipPlan(30).wanted(is_exact=False)) == [(0, float("inf"))]
    assert list(islice(ClipPlan(30, 20).wanted(is_exact=False), 3)) == [(0, 16), (20, 36), (40, 56)]
    assert len(cut(60, expected=30)[0]) == 6


def test_a_clip_of_which_frames_are_missing_is_left_out() -> None:
    cutter = ClipCutter(ClipPlan(80))
    first, second = blocks_of(20, 20), blocks_of(40, 40, first=40)
    for block in (*first, *(replace(block, first_in_part=0) for block in second)):
        cutter.add(block)
    assert cutter.num_clips == 1 + 4
    starts = [clip.span.start_frame for clip in cutter.finish(80)]
    assert starts == []


def test_clips_over_a_gap_are_known() -> None:
    assert cut(40, gaps=frozenset({20}))[1].gap_clips == [1, 2]
    assert cut(40, gaps=frozenset({15}))[1].gap_clips == [1]  # behind the last frame of clip 0


def test_max_clips_of_a_padded_tail() -> None:
    clips, _ = cut(30, 16, "pad", max_clips=2)
    assert [(clip.span.start_frame, clip.span.num_padded_frames) for clip in clips] == [(0, 0), (16, 2)]


def test_a_shortfall_is_told() -> None:
    clips, cutter = cut(60, max_clips=4, expected=164)
    assert len(clips) < 4
    assert codes(cutter) == ["fewer_clips"]


@pytest.mark.parametrize("max_clips", [1, 5])
def test_a_short_video_is_one_clip_whatever_was_asked(max_clips: int) -> None:
    assert [clip.span.num_padded_frames for clip in cut(10, max_clips=max_clips)[0]] == [6]


def test_damaged_frames_are_counted_where_they_are() -> None:
    clips, cutter = cut(40, damaged=frozenset({9, 10, 30}))
    assert [clip.span.num_damaged_frames for clip in clips] == [2, 2, 1, 1]
    assert cutter.damaged_clips == [0, 1, 2, 3]
    assert cut(40, damaged=frozenset({39}))[1].damaged_clips == [3]
    assert cut(40, damaged=frozenset())[1].damaged_clips == []


def test_holds_no_more_than_one_clip() -> None:
    cutter, given = ClipCutter(ClipPlan(1000)), []
    blocks = blocks_of(1000, block=1)[::-1]
    while blocks:
        given.append(weakref.ref(blocks[-1].frames))
        cutter.add(blocks.pop())
        assert sum(frames() is not None for frames in given) <= 16
