"""A part, or a few clips, of a video are the very ones of a full read: frames, numbers and times, whatever the file."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from service.errors import VideoTooLong
from service.video.clips import Clip
from service.video.frames import read_video
from service.video.messages import FrameBlock, ReadOptions
from service.video.picture import Orientation, PictureMaker
from tests.support.cutting import cut
from tests.support.field_coded import write_field_coded
from tests.support.videos import write_video

OPEN_GOP = {"bf": "3", "b-pyramid": "normal", "x264-params": "open-gop=1:keyint=20:min-keyint=5"}
HEVC = {"x265-params": "open-gop=1:keyint=20:log-level=0"}
NUM_FRAMES = 120
# Name, encoder, its options, and whether decoding can begin in the middle.
FILES = [
    ("a.mp4", "libx264", {"g": "20"}, True),
    ("open.mp4", "libx264", OPEN_GOP, True),
    ("open.ts", "libx264", OPEN_GOP, True),
    ("open.mkv", "libx264", OPEN_GOP, True),
    ("refresh.ts", "libx264", {"x264-params": "intra-refresh=1:keyint=20"}, False),
    ("refresh.mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=20"}, False),
    ("fields.ts", "libx264", {"g": "20", "flags": "+ilme+ildct"}, True),
    ("a.avi", "libx264", {"g": "20", "bf": "0"}, True),
    ("b.avi", "libx264", {"g": "20", "bf": "2"}, False),
    ("a.mpg", "libx264", {"g": "20"}, False),
    ("h.mp4", "libx265", HEVC, True),
    ("h.ts", "libx265", HEVC, True),
    ("h.mkv", "libx265", HEVC, True),
    ("9.webm", "libvpx-vp9", {"g": "20", "lag-in-frames": "16", "auto-alt-ref": "1"}, True),
    ("8.webm", "libvpx", {"g": "30", "lag-in-frames": "16", "auto-alt-ref": "1"}, True),
    ("1.mp4", "libsvtav1", {"g": "20", "preset": "12"}, True),
    ("1.mkv", "libsvtav1", {"g": "20", "preset": "12"}, True),
    ("4.avi", "mpeg4", {"g": "12"}, True),
    ("4b.avi", "mpeg4", {"g": "12", "bf": "2"}, False),
    ("4b.mp4", "mpeg4", {"g": "12", "bf": "2"}, True),
    ("4b.mkv", "mpeg4", {"g": "12", "bf": "2"}, True),
    ("2.mpg", "mpeg2video", {"g": "12", "bf": "2"}, True),
    ("2.ts", "mpeg2video", {"g": "12", "bf": "2"}, True),
    ("j.avi", "mjpeg", {}, True),
]


def assert_same(ours: list[Clip], whole: dict[int, Clip]) -> None:
    """Each clip is the one that begins with the same frame, but for its index."""
    for clip in ours:
        same = whole[clip.span.start_frame]
        assert replace(clip.span, index=same.span.index) == same.span
        assert np.array_equal(clip.frames, same.frames)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "codec", "options", "seeks"), FILES, ids=[f"{name}-{codec}" for name, codec, *_ in FILES])
def test_clips_of_a_part_are_those_of_the_whole(
    directory: Path, name: str, codec: str, options: dict[str, str], *, seeks: bool
) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_video(directory / name, NUM_FRAMES, codec=codec, options=options, pix_fmt=pix_fmt)
    whole = {clip.span.start_frame: clip for clip in cut(path, clip_stride=1).clips}
    assert len(whole) == NUM_FRAMES - 15
    for max_clips in (1, 2, 3, 5):
        some = cut(path, max_clips=max_clips)
        assert len(some.clips) == max_clips
        assert_same(some.clips, whole)
    for start in (0.0, 1.0, 1.37, 2.6, 3.92):
        part = cut(path, start_sec=start, end_sec=start + 0.88)
        assert abs(part.info.num_frames_in_range - 22) <= (not seeks)  # where there are no timestamps, it is an estimate
        assert [clip.span.start_frame for clip in part.clips] == [math.ceil(start * 25 - 1e-6)]
        assert_same(part.clips, whole)
    if seeks:
        assert part.end.num_frames < 60


@pytest.mark.parametrize("packet_a_field", [True, False])
@pytest.mark.parametrize("name", ["a.ts", "a.mp4", "a.mkv"])
def test_frames_that_are_coded_as_two_fields_are_one_each(tmp_path: Path, name: str, *, packet_a_field: bool) -> None:
    path = write_field_coded(tmp_path / name, 72, packet_a_field=packet_a_field)
    whole = cut(path, clip_stride=1)
    assert (whole.info.num_frames_in_range, whole.info.fps, len(whole.clips)) == (72, 25, 72 - 15)
    assert list(whole.end.warnings(whole.info, [], [])) == []
    by_start = {clip.span.start_frame: clip for clip in whole.clips}
    with av.open(str(path)) as container:
        pictures = [PictureMaker(ReadOptions(), Orientation()).make(frame) for frame in container.decode(video=0)]
    assert all(np.array_equal(clip.frames[0], pictures[start]) for start, clip in by_start.items())
    for asked in ({"max_clips": 3}, {"start_sec": 1.0, "end_sec": 1.9}, {"start_sec": 2.2, "end_sec": 2.85}):
        assert_same(cut(path, **asked).clips, by_start)
    assert cut(path, start_sec=1.0, end_sec=1.9).end.num_frames < 30


def remuxed(source: Path, path: Path, shift: int = 0, leave_out: frozenset[int] = frozenset()) -> Path:
    """The packets copied, each at its place in the order of decoding, from ``shift`` on but for those of ``leave_out``."""
    with av.open(str(source)) as read, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(read.streams.video[0])
        number = shift
        for packet in read.demux(video=0):
            while number in leave_out:
                number += 1
            if packet.size:
                packet.stream, packet.pts, packet.dts = stream, number, number
                packet.time_base = 1 / Fraction(25)
                container.mux(packet)
                number += 1
    return path


def test_timestamps_that_do_not_tell_b_frames_are_those_of_an_order(tmp_path: Path) -> None:
    """As in an AVI that was copied into an mp4. FFmpeg gives each frame the timestamp of its packet, so that they jump."""
    source = write_video(tmp_path / "a.mp4", 60, options={"g": "20", "bf": "3"})
    copied = remuxed(source, tmp_path / "b.mp4", leave_out=frozenset({30}))
    ours, whole = cut(copied, clip_stride=1), cut(source, clip_stride=1)
    assert [clip.span.start_sec for clip in ours.clips] == pytest.approx([n / 25 for n in range(46) if n != 30])
    assert all(np.array_equal(one.frames, other.frames) for one, other in zip(ours.clips, whole.clips, strict=True))
    assert ours.end.times_estimated
    assert not ours.end.num_damaged_frames
    part = cut(copied, start_sec=1.0, end_sec=1.9)
    assert_same(part.clips, {clip.span.start_frame: clip for clip in ours.clips})


@pytest.mark.parametrize(("codec", "bf"), [("mpeg4", "0"), ("mpeg4", "2")])
def test_empty_chunks_of_an_avi_are_counted_by_its_header(tmp_path: Path, codec: str, bf: str) -> None:
    """A frame that is shown longer: recorders write nothing for the next one. It is no missing frame, and time goes on."""
    source = write_video(tmp_path / "a.avi", 60, codec=codec, options={"bf": bf})
    _, clips, end, _ = info, *_ = cut(
        remuxed(source, tmp_path / "b.avi", leave_out=frozenset({20, 40})), clip_stride=1, tail="pad"
    )
    assert info.num_frames_header == 62
    codes = {warning.code for warning in end.warnings(info, [], [])}
    assert not codes & {"header_frame_count_wrong", "video_truncated", "corrupt_frames"}
    assert clips[25].span.start_sec == pytest.approx(26 / 25)
    assert end.end_sec == pytest.approx(62 / 25)


def test_a_recovery_that_takes_longer_than_the_file_is_read_from_the_beginning(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 52, options={"bf": "2", "x264-params": "intra-refresh=1:keyint=20"})
    whole = {clip.span.start_frame: clip for clip in cut(path, clip_stride=1, tail="pad").clips}
    part = cut(path, start_sec=1.84, end_sec=2.0)
    assert part.clips[0].span.start_frame == 46
    assert np.array_equal(part.clips[0].frames[0], cut(path, start_sec=1.4).clips[0].frames[11])
    assert max(whole) == 36


def test_only_frames_that_clips_hold_are_handed_on(clip_mp4: Path) -> None:
    blocks = [message for message in read_video(clip_mp4, ReadOptions(max_clips=1)) if isinstance(message, FrameBlock)]
    assert [number for block in blocks for number in block.numbers.tolist()] == list(range(8, 24))
    spread = [message for message in read_video(clip_mp4, ReadOptions(clip_stride=20)) if isinstance(message, FrameBlock)]
    assert [number for block in spread for number in block.numbers.tolist()] == [*range(16), *range(20, 36)]


def test_what_lies_between_clips_is_not_decoded(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 400, options={"g": "20"}, size=(32, 48))
    assert cut(path).end.num_frames == 400
    assert cut(path, max_clips=2).end.num_frames < 60
    assert cut(path, start_sec=14.0, end_sec=15.0).end.num_frames < 50


def test_limits_act_on_what_is_asked_for(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 200, size=(16, 16))
    with pytest.raises(VideoTooLong):
        cut(path, max_video_s=5.0)
    assert len(cut(path, max_video_s=5.0, start_sec=6.0, end_sec=7.0).clips) == 2


@pytest.mark.parametrize("fps", [10.0, 29.97, 30.0, 50.0])
@pytest.mark.parametrize("name", ["a.mp4", "b.avi"])
def test_another_rate_shows_at_each_tick_the_frame_that_is_shown_then(tmp_path: Path, name: str, fps: float) -> None:
    """A frame takes over at the tick nearest to its start, as FFmpeg's filter `fps` does it."""
    path = write_video(tmp_path / name, 60, options={"g": "20"}, codec="libx264")
    frames = np.concatenate([clip.frames for clip in cut(path, clip_stride=16, tail="pad").clips])[:60]
    ticks = [math.floor(Fraction(index, 25) * Fraction(str(fps)) + Fraction(1, 2)) for index in range(61)]
    shown = [max(index for index in range(60) if ticks[index] <= tick) for tick in range(ticks[60])]
    resampled = cut(path, fps=fps, clip_stride=16, tail="pad")
    ours = np.concatenate([clip.frames for clip in resampled.clips])
    assert np.array_equal(ours[: len(shown)], frames[shown])
    assert resampled.clips[0].span.end_sec == pytest.approx(16 / fps)
    assert resampled.end.num_in_part == len(shown)
    assert resampled.info.resampled_fps == fps


def test_another_rate_of_a_variable_one_and_of_a_part(tmp_path: Path) -> None:
    pts = [0, 20, 40, 60, 160, 260, 360, 400, 440, 500, 900, 920, 940, 1000]
    path = write_video(tmp_path / "a.mkv", len(pts), pts=pts)
    frames = cut(path, clip_stride=16).clips[0].frames
    whole = cut(path, fps=30, clip_stride=1)
    shown = [max(index for index, each in enumerate(pts) if math.floor(each * 0.03 + 0.5) <= tick) for tick in range(16)]
    assert np.array_equal(whole.clips[0].frames, frames[shown])
    assert "variable_frame_rate" not in {each.code for each in whole.end.warnings(whole.info, [], [])}
    part = cut(path, fps=30, start_sec=0.4, end_sec=0.4 + 16 / 30)
    assert [clip.span.start_frame for clip in part.clips] == [12]
    assert_same(part.clips, {clip.span.start_frame: clip for clip in whole.clips})
