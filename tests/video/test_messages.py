"""What is odd about a video is said, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.video.messages import VideoEnd, VideoInfo

INFO = VideoInfo(
    container="mp4",
    codec="h264",
    width=320,
    height=240,
    rotation=0,
    mirrored=False,
    fps=25.0,
    color_matrix="unspecified",
    transfer="unspecified",
    primaries="unspecified",
    ten_bit=False,
    duration_sec=4.0,
    num_frames_header=100,
    num_frames_in_range=100,
)
END = VideoEnd(
    num_frames=100,
    num_in_part=100,
    end_sec=4.0,
    whole=True,
    variable_frame_rate=False,
    times_estimated=False,
    num_lost_packets=0,
    num_damaged_frames=0,
    sizes=[[320, 240]],
    num_in_file=100,
)


def codes(info: VideoInfo = INFO, end: VideoEnd = END, damaged_clips: tuple[int, ...] = ()) -> set[str]:
    return {notice.code for notice in (*info.warnings(), *end.warnings(info, damaged_clips, []))}


def test_nothing_is_odd_about_a_good_video() -> None:
    assert codes() == set()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"rotation": 90}, "rotated"),
        ({"mirrored": True}, "rotated"),
        ({"transfer": "arib-std-b67"}, "colors_not_converted"),
        ({"transfer": "smpte2084"}, "colors_not_converted"),
        ({"primaries": "smpte432"}, "colors_not_converted"),
        ({"num_streams": 2}, "several_streams"),
        ({"ten_bit": True}, "ten_bit_converted"),
        ({"fps": 12.0}, "fps_outside_training_range"),
        ({"fps": 60.0}, "fps_outside_training_range"),
        ({"num_frames_header": 101}, "header_frame_count_wrong"),
        ({"duration_sec": 8.0}, "video_truncated"),
    ],
)
def test_what_the_file_claims(change: dict[str, float], code: str) -> None:
    assert codes(info=replace(INFO, **change)) == {code}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"variable_frame_rate": True}, "variable_frame_rate"),
        ({"times_estimated": True}, "times_estimated"),
        ({"num_lost_packets": 1}, "corrupt_frames"),
        ({"num_damaged_frames": 1}, "corrupt_frames"),
        ({"num_missing": 1}, "corrupt_frames"),
        ({"gaps": [[1.0, 2.0]]}, "gap"),
        ({"matrix_ignored": True}, "color_matrix_ignored"),
        ({"sizes": [[320, 240], [160, 120]]}, "size_changes"),
        ({"has_late_streams": True}, "late_streams"),
        ({"num_in_file": 99}, "header_frame_count_wrong"),
    ],
)
def test_what_decoding_found(change: dict[str, int], code: str) -> None:
    assert codes(end=replace(END, **change)) == {code}  # type: ignore[arg-type]


def test_a_part_says_nothing_of_the_whole() -> None:
    assert codes(end=replace(END, num_frames=10, end_sec=0.4, whole=False, num_in_file=None)) == set()


def test_another_rate_that_was_asked_for_silences_what_the_files_rate_is() -> None:
    info = replace(INFO, fps=12.0, resampled_fps=30.0)
    assert codes(info=info, end=replace(END, variable_frame_rate=True)) == set()


def test_a_gap_is_no_damage_unless_something_is_lost() -> None:
    [gap] = replace(END, gaps=[[1.0, 2.5]]).warnings(INFO, [], [3, 4])
    assert "1.00 and 2.50 s: the picture stood still" in gap.message
    assert gap.message.endswith("That is inside the clips 3, 4.")
    damage, gap = replace(END, gaps=[[1.0, 2.5]], num_missing=1).warnings(INFO, [3], [3])
    assert (damage.code, gap.code) == ("corrupt_frames", "gap")
    assert "frames are missing there" in gap.message


def test_the_last_frame_may_end_a_little_early() -> None:
    assert codes(info=replace(INFO, duration_sec=4.04)) == set()
    assert codes(info=replace(INFO, duration_sec=None, num_frames_header=None, fps=None)) == set()


def test_damaged_clips_are_named_up_to_a_number() -> None:
    [few] = replace(END, num_damaged_frames=3).warnings(INFO, [2, 3], [])
    assert few.message.endswith("They are in the clips 2, 3.")
    [many] = replace(END, num_damaged_frames=99).warnings(INFO, range(99), [])
    assert many.message.endswith("18, 19, ....")
    [none] = replace(END, num_lost_packets=1).warnings(INFO, [], [])
    assert none.message.endswith("No clip is affected.")
