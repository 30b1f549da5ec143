"""Files become frames: the original's pixels, true times, and a word on everything odd."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import NoVideoStream, UndecodableVideo, VideoTooLarge, VideoTooLong
from service.video.frames import read_video
from service.video.messages import FrameBlock, ReadOptions, VideoEnd, VideoInfo
from service.video.ring import BLOCK_LENGTH
from tests.conftest import ROOT, SHARED
from tests.support.videos import write_audio, write_video

Read = tuple[VideoInfo, NDArray[np.uint8], NDArray[np.float64], VideoEnd]


def read(path: Path, **options: Any) -> Read:
    """All frames: no more is left out at the end."""
    _, info, *blocks, end = read_video(path, ReadOptions(**{"tail": "pad"} | options))
    assert isinstance(info, VideoInfo)
    assert isinstance(end, VideoEnd)
    frames = np.concatenate([block.frames for block in blocks if isinstance(block, FrameBlock)])
    times = np.concatenate([block.start_sec for block in blocks if isinstance(block, FrameBlock)])
    assert len(frames) == len(times)
    return info, frames, times, end


def by_opencv(path: Path) -> NDArray[np.uint8]:
    """What the original did: VideoCapture, then resize, then the crop written out in numbers."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while (grabbed := capture.read())[0]:
        frames.append(cv2.resize(grabbed[1], (171, 128))[8:120, 29:141])
    return np.stack(frames).astype(np.uint8)


def codes(info: VideoInfo, end: VideoEnd) -> set[str]:
    return {notice.code for notice in (*info.warnings(), *end.warnings(info, [], []))}


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "size"),
    [
        ("a.mp4", "libx264", "yuv420p", (240, 320)),
        ("a.mkv", "libx265", "yuv420p", (96, 128)),
        ("a.webm", "libvpx-vp9", "yuv420p", (96, 128)),
        ("a.avi", "mpeg4", "yuv420p", (120, 160)),
        ("a.mp4", "libx264", "yuv444p", (90, 130)),
        ("a.avi", "mjpeg", "yuvj420p", (50, 66)),
        ("a.mpg", "mpeg2video", "yuv420p", (96, 128)),
        ("a.ts", "libx264", "yuv420p", (200, 100)),
        ("a.mov", "libx264", "gray", (96, 128)),
    ],
)
def test_frames_are_those_of_opencv_bit_for_bit(
    tmp_path: Path, name: str, codec: str, pix_fmt: str, size: tuple[int, int]
) -> None:
    path = write_video(tmp_path / name, 20, codec=codec, pix_fmt=pix_fmt, size=size)
    info, frames, _, _ = read(path)
    assert frames.dtype == np.uint8
    assert frames.shape == (20, 112, 112, 3)
    assert np.array_equal(frames, by_opencv(path))
    assert (info.height, info.width) == size


def test_real_frames_are_those_of_opencv_bit_for_bit(eye_makeup: Path) -> None:
    info, frames, times, end = read(eye_makeup)
    assert np.array_equal(frames, by_opencv(eye_makeup))
    assert (info.container, info.codec, info.width, info.height, info.fps) == ("avi", "mpeg4", 320, 240, 25.0)
    assert times.tolist() == [i / 25 for i in range(164)]
    assert end.end_sec == 6.56
    assert codes(info, end) == {"times_estimated"}  # AVI with B-frames


@pytest.mark.parametrize("name", ["rot90.mp4", "rot270.mp4"])
def test_rotation_is_applied_as_opencv_does_and_told(name: str) -> None:
    if not SHARED.exists():
        pytest.skip("../shared/data is not here")
    info, frames, _, end = read(SHARED / "badvideos" / name)
    assert np.array_equal(frames, by_opencv(SHARED / "badvideos" / name))
    assert (info.width, info.height) == (48, 64)
    assert info.rotation in {90, -90, 270}
    assert "rotated" in codes(info, end)


def test_the_crop_column_is_the_models(clip_mp4: Path) -> None:
    _, at_29, _, _ = read(clip_mp4)
    _, at_30, _, _ = read(clip_mp4, crop_left=30)
    assert np.array_equal(at_29[:, :, 1:], at_30[:, :, :-1])
    assert not np.array_equal(at_29, at_30)


@pytest.mark.parametrize("rate", [25, 30, Fraction(30000, 1001), Fraction(24000, 1001)])
@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv"])
def test_times_are_timestamps_from_zero(tmp_path: Path, name: str, rate: Fraction | int) -> None:
    """Whatever tick a container counts in, and though MPEG-TS starts at 1.4 s and B-frames come out of order."""
    path = write_video(tmp_path / name, 30, rate=rate, options={"bf": "2"})
    info, _, times, end = read(path)
    assert np.allclose(times, np.arange(30) / float(rate), atol=0.0011)
    assert end.end_sec == pytest.approx(30 / rate, abs=0.0011)
    assert codes(info, end) == set()
    assert not end.variable_frame_rate


def test_a_variable_rate_keeps_its_times_and_is_told(tmp_path: Path) -> None:
    pts = [0, 20, 40, 60, 160, 260, 360, 400, 440, 500]
    info, _, times, end = read(write_video(tmp_path / "a.mkv", 10, pts=pts))
    assert np.allclose(times, np.array(pts) / 1000)
    assert end.variable_frame_rate
    assert "variable_frame_rate" in codes(info, end)


@pytest.mark.parametrize(("rate", "told"), [(24, False), (25, False), (30, False), (10, True), (60, True)])
def test_a_rate_far_from_the_training_videos_is_told(tmp_path: Path, rate: int, told: bool) -> None:  # noqa: FBT001
    info, _, _, end = read(write_video(tmp_path / "a.mp4", 20, rate=rate))
    assert ("fps_outside_training_range" in codes(info, end)) == told


def test_a_cut_off_file_gives_its_good_frames_and_says_so(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.mp4", 60, options={"g": "10"}, size=(240, 320))
    data = whole.read_bytes()
    moov_first = tmp_path / "b.mp4"
    with_moov_first(whole, moov_first)
    moov_first.write_bytes(moov_first.read_bytes()[: len(data) * 2 // 3])
    info, frames, _, end = read(moov_first)
    assert 10 < len(frames) < 60
    assert codes(info, end) >= {"header_frame_count_wrong", "video_truncated"}
    assert np.array_equal(frames[:10], read(whole)[1][:10])


def with_moov_first(source: Path, target: Path) -> None:
    """The same packets with the index at the file's beginning, so that cutting the end off leaves it."""
    import av

    with av.open(str(source)) as inside, av.open(str(target), "w", options={"movflags": "faststart"}) as outside:
        stream = outside.add_stream_from_template(inside.streams.video[0])
        for packet in inside.demux(inside.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                outside.mux(packet)


def test_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", 60, options={"g": "10"}, size=(240, 320))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 6000] = np.random.default_rng(0).bytes(6000)
    path.write_bytes(data)
    info, frames, _, end = read(path)
    assert len(frames) > 20
    assert "corrupt_frames" in codes(info, end)


@pytest.mark.parametrize("name", ["a.wav", "a.m4a"])
def test_sound_is_no_video(tmp_path: Path, name: str) -> None:
    with pytest.raises(NoVideoStream):
        list(read_video(write_audio(tmp_path / name)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a video\n" * 100,
        b"<!doctype html><html></html>",
        b"ffconcat version 1.0\nfile sibling\n",
        b"#EXTM3U\nsibling\n",
    ],
)
def test_what_is_no_video_is_refused_and_opens_nothing_else(tmp_path: Path, content: bytes, clip_mp4: Path) -> None:
    (tmp_path / "sibling").write_bytes(clip_mp4.read_bytes())
    path = tmp_path / "video"
    path.write_bytes(content)
    with pytest.raises(UndecodableVideo) as caught:
        list(read_video(path))
    assert str(tmp_path) not in str(caught.value)


BAD = sorted(path.name for path in (SHARED / "badvideos").glob("*") if path.suffix != ".json")
BOMBS = {"editlist_bomb.mp4", "same_chunk_60k.mp4", "huge_16000_h264.mp4", "mp4_claims_1e7.mp4", "lie_small_65000_png.avi"}


@pytest.mark.parametrize("name", sorted(set(BAD) - BOMBS))
def test_every_bad_file_gives_frames_or_a_sentence(name: str) -> None:
    """Files that want bounds on memory and number of frames are left out: bounds come with decoder processes."""
    try:
        _, frames, times, end = read(SHARED / "badvideos" / name)
    except (NoVideoStream, UndecodableVideo) as error:
        assert str(error).endswith(".")  # noqa: PT017 (both outcomes are right; the sentence is what is checked)
    else:
        assert len(frames) > 0
        assert all(later > earlier for earlier, later in pairwise(times.tolist()))
        assert end.end_sec > times[-1]


def test_pixels_are_limited_before_a_frame_is_decoded(clip_mp4: Path) -> None:
    with pytest.raises(VideoTooLarge, match="128x96"):
        read(clip_mp4, max_pixels=128 * 96 - 1)
    assert len(read(clip_mp4, max_pixels=128 * 96)[1]) == 40


def test_seconds_are_limited(clip_mp4: Path) -> None:
    with pytest.raises(VideoTooLong):
        read(clip_mp4, max_video_s=1.5)
    assert len(read(clip_mp4, max_video_s=1.6)[1]) == 40


def test_frames_a_second_are_limited_once_they_are_many(tmp_path: Path) -> None:
    with pytest.raises(VideoTooLong, match="frames/s"):
        read(write_video(tmp_path / "a.mp4", 1100, rate=500, size=(16, 16)))
    assert len(read(write_video(tmp_path / "b.mp4", 900, rate=500, size=(16, 16)))[1]) == 900


@pytest.mark.parametrize("limit", [{"codecs": "vp9,av1"}, {"containers": "avi,matroska"}])
def test_only_what_is_on_the_lists_is_read(clip_mp4: Path, limit: dict[str, str]) -> None:
    with pytest.raises(UndecodableVideo):
        read(clip_mp4, **limit)


def test_ten_bits_are_told(tmp_path: Path) -> None:
    info, _, _, end = read(write_video(tmp_path / "a.mp4", 16, pix_fmt="yuv420p10le", codec="libx265"))
    assert "ten_bit_converted" in codes(info, end)


def test_color_tags_are_honoured_or_not(tmp_path: Path) -> None:
    """As OpenCV from 4.13 on reads the tag, or as it did not before."""
    path = write_video(tmp_path / "a.mp4", 16, options={"x264-params": "colormatrix=bt709"}, size=(720, 1280))
    info, honoured, _, _ = read(path)
    assert info.color_matrix == "bt709"
    assert np.array_equal(honoured, by_opencv(path))
    _, ignored, _, _ = read(path, honour_color_tags=False)
    assert np.abs(honoured.astype(int) - ignored).max() > 3


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv"])
def test_tags_in_any_encoding_are_no_obstacle(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, 20, title="T_l_")
    data = path.read_bytes()
    assert b"T_l_" in data
    path.write_bytes(data.replace(b"T_l_", b"T\xe9l\xe9"))
    assert len(read(path)[1]) == 20


def test_what_is_too_long_is_refused_before_its_first_frame(clip_mp4: Path) -> None:
    with pytest.raises(VideoTooLong):
        for _ in zip(range(2), read_video(clip_mp4, ReadOptions(max_video_s=1.5)), strict=False):
            pass
    _, info, *_ = read_video(clip_mp4, ReadOptions(max_video_s=1.5, end_sec=1.0))
    assert isinstance(info, VideoInfo)
    assert info.num_frames_in_range == 25


def test_leaving_frames_out_shows_signs_of_life(tmp_path: Path) -> None:
    one_key = write_video(tmp_path / "a.mp4", 300, options={"g": "600"})
    blocks = [m for m in read_video(one_key, ReadOptions(start_sec=11.0, tail="pad")) if isinstance(m, FrameBlock)]
    sizes = [len(block.frames) for block in blocks]
    assert sizes.count(0) == 4
    assert sum(sizes) == 25
    assert next(int(block.numbers[0]) for block in blocks if len(block.frames)) == 275


@pytest.mark.parametrize("name", ["corrupt_mid.webm", "zeroed_mid.webm", "corrupt_mid.mp4", "corrupt_mid.ts", "corrupt_mid.avi"])
def test_no_damaged_file_is_answered_without_saying_so(name: str) -> None:
    if not SHARED.exists():
        pytest.skip("../shared/data is not here")
    info, _, _, end = read(SHARED / "badvideos" / name)
    assert "corrupt_frames" in codes(info, end)
    assert "variable_frame_rate" not in codes(info, end)


def test_sound_that_outlasts_the_picture_does_not_make_it_cut_off(tmp_path: Path) -> None:
    if not SHARED.exists():
        pytest.skip("../shared/data is not here")
    info, _, _, end = read(SHARED / "badvideos" / "gab2_hls.avi")
    assert "video_truncated" not in codes(info, end)


def test_an_avi_begins_at_zero_whatever_its_encoders_delay(tmp_path: Path) -> None:
    _, _, times, end = read(write_video(tmp_path / "a.avi", 30, codec="libx264", options={"bf": "0"}))
    assert times[0] == 0
    assert end.end_sec == pytest.approx(1.2)


def test_a_reader_that_is_left_closes_its_file(clip_mp4: Path) -> None:
    def open_files() -> set[str]:
        names = (str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink() and fd.exists())
        return {name for name in names if name == str(clip_mp4)}

    reader = read_video(clip_mp4)
    next(reader)
    assert open_files() == {str(clip_mp4)}
    reader.close()
    gc.collect()
    assert open_files() == set()


def test_blocks_are_bounded(clip_mp4: Path) -> None:
    sizes = [len(block.frames) for block in read_video(clip_mp4) if isinstance(block, FrameBlock)]
    assert sizes == [BLOCK_LENGTH] * 5


SCRIPTS = {
    "ffconcat": b"ffconcat version 1.0\nfile sibling\n",
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nsibling\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "dash": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>sibling</BaseURL></MPD>',
    "imf": b'<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">sibling</CompositionPlaylist>',
}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("name", [*SCRIPTS, "gab2_hls.avi"])
def test_nothing_is_opened_but_the_upload(tmp_path: Path, clip_mp4: Path, name: str) -> None:
    """Seen from the kernel: of this directory only the one file, and no socket at all."""
    (tmp_path / "sibling").write_bytes(clip_mp4.read_bytes())
    (tmp_path / "sibling.ts").write_bytes(clip_mp4.read_bytes())
    if name in SCRIPTS:
        (tmp_path / "video").write_bytes(SCRIPTS[name])
    elif SHARED.exists():
        (tmp_path / "video").write_bytes((SHARED / "badvideos" / name).read_bytes())
    else:
        pytest.skip("../shared/data is not here")
    program = """
import sys
from pathlib import Path
from service.errors import ServiceError
from service.video.frames import read_video
try:
    print(sum(1 for _ in read_video(Path(sys.argv[1]))))
except ServiceError as error:
    print(error.code)
"""
    log = tmp_path / "strace.log"
    command = [
        "strace",
        "-f",
        "-e",
        "trace=%file,%network",
        "-o",
        str(log),
        sys.executable,
        "-c",
        program,
        str(tmp_path / "video"),
    ]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    calls = [line for line in log.read_text().splitlines() if str(tmp_path) in line and "execve" not in line]
    assert calls
    assert all(f'"{tmp_path}/video"' in line for line in calls)
    assert not any("sibling" in line or "socket(" in line or "connect(" in line for line in log.read_text().splitlines())


def test_a_kept_aspect_crops_the_middle(clip_mp4: Path) -> None:
    """128x96 becomes 171x128 by its short side, so the same picture as stretched, cropped a column further left or right."""
    options = ReadOptions(keep_aspect=True)
    assert options.framing(96, 128) == (128, 171, 8, 29)
    assert options.framing(128, 96) == (171, 128, 29, 8)
    assert options.framing(360, 640) == (128, 228, 8, 58)
    assert np.array_equal(read(clip_mp4, keep_aspect=True)[1], read(clip_mp4)[1])


def test_long_and_narrow_frames_are_refused_before_they_grow(tmp_path: Path) -> None:
    with pytest.raises(VideoTooLarge, match="too long and narrow"):
        read(write_video(tmp_path / "thin.avi", 2, size=(16, 1920), codec="ffv1"), keep_aspect=True)


def test_frames_at_exactly_the_limit_are_within_it(tmp_path: Path) -> None:
    """1,003 frames at 240/s in Matroska, whose timestamps are rounded to milliseconds."""
    *_, end = read_video(write_video(tmp_path / "fast.mkv", 1003, rate=240))
    assert isinstance(end, VideoEnd)
    with pytest.raises(VideoTooLong, match="240 frames/s"):
        list(read_video(write_video(tmp_path / "faster.mkv", 1003, rate=300)))


def test_two_recordings_joined_are_not_damaged(tmp_path: Path) -> None:
    one = write_video(tmp_path / "a.ts", 50, options={"g": "25"}).read_bytes()
    (tmp_path / "joined.ts").write_bytes(one + one)
    info, frames, _, end = read(tmp_path / "joined.ts")
    assert len(frames) == 100
    assert "corrupt_frames" not in codes(info, end)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_what_a_transport_stream_misses_is_told_wherever_the_clips_are(tmp_path: Path, codec: str) -> None:
    data = write_video(tmp_path / "a.ts", 100, codec=codec, options={"g": "25", "bf": "0"}).read_bytes()
    place = len(data) // 188 * 2 // 5 * 188
    path = tmp_path / "lossy.ts"
    path.write_bytes(data[:place] + data[place + 3 * 188 :])
    info, *_, end = read(path)
    assert "corrupt_frames" in codes(info, end)
    assert end.num_damaged_frames
    info, *_, end = read(path, start_sec=3.2)  # in which nothing is decoded that is damaged
    assert "corrupt_frames" in codes(info, end)
    assert not end.num_damaged_frames


def test_a_recording_that_begins_between_key_frames_is_not_cut_off(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", 100, options={"g": "25"})
    path.write_bytes(path.read_bytes()[188 * 15 :])
    info, frames, times, end = read(path)
    assert len(frames) == 75
    assert times[0] == 0
    assert "video_truncated" not in codes(info, end)
