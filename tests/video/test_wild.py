"""Files as people have them. Nothing intact is called damaged, nothing damaged is called fine."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from service.video.clips import Clip
from service.video.messages import VideoEnd, VideoInfo
from tests.conftest import SHARED
from tests.support.cutting import cut

WILD = SHARED / "wild"
pytestmark = pytest.mark.skipif(not WILD.exists(), reason="../shared/data is not here")


class Answer(NamedTuple):
    info: VideoInfo
    clips: list[Clip]
    end: VideoEnd
    warnings: dict[str, str]

    def frames(self) -> np.ndarray:
        """(n, 16, 112, 112, 3)."""
        return np.stack([clip.frames for clip in self.clips]).astype(int)


def answer(name: str, **asked: object) -> Answer:
    info, clips, end, cutter = cut(WILD / name, **asked)
    found = [*info.warnings(), *end.warnings(info, cutter.damaged_clips, cutter.gap_clips), *cutter.warnings()]
    return Answer(info, clips, end, {each.code: each.message for each in found if each.code != "tail_frames_dropped"})


def test_what_an_edit_list_hides_is_not_counted() -> None:
    whole = answer("trimmed/trimmed_one_key.mp4")
    assert whole.info.num_frames_in_range == 67
    assert len(whole.clips) == 7
    assert whole.warnings == {}
    spread = answer("trimmed/trimmed_one_key.mp4", max_clips=4)
    assert [clip.span.start_frame for clip in spread.clips] == [0, 16, 32, 48]


def test_a_part_of_three_hours_is_not_too_long() -> None:
    part = answer("long/three_hours_1fps.mp4", start_sec=10000, end_sec=10020)
    assert [clip.span.start_sec for clip in part.clips] == [10000]
    assert part.end.num_frames < 600


def test_lost_packets_are_damage_and_the_clips_that_hold_it_are_named() -> None:
    damaged = answer("loss/p_lost3.mkv")
    assert "packets are missing from the file in 1 place" in damaged.warnings["corrupt_frames"]
    assert "the clips 2, 3, 4, 5, 6, 7, 8, 9, 10" in damaged.warnings["corrupt_frames"]
    assert [clip.span.num_damaged_frames for clip in damaged.clips[:2]] == [0, 0]


def test_a_still_scene_is_a_gap_and_no_damage() -> None:
    paused = answer("pauses/screen_two_pauses.mp4")
    assert paused.warnings.keys() == {"gap"}
    assert "the clips 1, 2, 4" in paused.warnings["gap"]
    assert paused.info.fps == 25


def test_a_long_last_sample_is_no_slow_video() -> None:
    last = answer("stts/last_10s.mp4")
    assert last.info.fps == 25
    assert last.warnings == {}


def test_streams_that_begin_late_are_told() -> None:
    joined = answer("ts/concat_otherpid.ts")
    assert joined.warnings.keys() == {"late_streams"}
    assert "ends at 2.00 s" in joined.warnings["late_streams"]


@pytest.mark.parametrize(
    ("name", "turned"), [("hflip", (slice(None), slice(None, None, -1))), ("vflip", (slice(None, None, -1),))]
)
def test_mirrored_pictures_are_upright(name: str, turned: tuple[slice, ...]) -> None:
    base, mirrored = answer("mirror/base.mp4", keep_aspect=True), answer(f"mirror/{name}.mp4", keep_aspect=True)
    assert mirrored.info.mirrored
    assert mirrored.warnings.keys() == {"rotated"}
    # The crop begins with column 29 of 171 and leaves 30 on the right: flipped it lies one column beside.
    ours, theirs = mirrored.frames(), base.frames()[(slice(None), slice(None), *turned)]
    shift = 1 if name == "hflip" else 0
    assert np.abs(ours[..., shift:, :] - theirs[..., : 112 - shift, :]).mean() < 2


def test_one_orientation_for_the_whole_video() -> None:
    plain, turned = answer("orientation/plain.mp4"), answer("orientation/sei_key_only.ts")
    assert (turned.info.rotation, turned.info.width, turned.info.height) == (90, 96, 128)
    assert len(turned.clips) == len(plain.clips)
    first, last = turned.frames()[0, 0], turned.frames()[-1, -1]
    assert np.abs(first - last).mean() < 60  # the same scene the same way up; a turned one differs by more


@pytest.mark.parametrize(("name", "transfer"), [("hlg10.mp4", "arib-std-b67"), ("pq8.mp4", "smpte2084")])
def test_hdr_is_told(name: str, transfer: str) -> None:
    hdr = answer(f"hdr/{name}")
    assert (hdr.info.transfer, hdr.info.primaries) == (transfer, "bt2020")
    assert "colors_not_converted" in hdr.warnings


@pytest.mark.parametrize("matrix", [8, 10])
def test_a_colour_matrix_that_cannot_be_converted_is_taken_as_untagged(matrix: int) -> None:
    odd = answer(f"color_odd_matrix/matrix_{matrix}.mp4")
    assert odd.warnings.keys() == {"color_matrix_ignored"}
    assert np.array_equal(odd.frames(), answer(f"color_odd_matrix/matrix_{matrix}.mp4", honour_color_tags=False).frames())


def test_cropping_on_the_left_is_exact() -> None:
    assert (answer("odd/cropped.mp4").info.width, answer("odd/cropped.mp4").info.height) == (112, 88)


@pytest.mark.parametrize("name", ["clip_flv1.flv", "clip_wmv2.wmv"])
def test_wmv_and_flv_open(name: str) -> None:
    video = answer(f"wmv_flv/{name}")
    assert (len(video.clips), video.info.fps, video.warnings) == (2, 25, {})


def test_an_animated_avif_is_a_video() -> None:
    assert answer("still_heif/anim.avif").info.num_frames_in_range == 20


def paths() -> list[Path]:
    return sorted(WILD.glob("*/*"))


@pytest.mark.parametrize("path", paths(), ids=lambda path: path.name)
def test_a_few_clips_are_those_of_all(path: Path) -> None:
    name = str(path.relative_to(WILD))
    if path.suffix in {".heic", ".avif"} or "three_hours" in name:
        pytest.skip("no video, or too long as a whole")
    whole = {clip.span.start_frame: clip for clip in answer(name).clips}
    for clip in answer(name, max_clips=2).clips:
        assert np.array_equal(clip.frames, whole[clip.span.start_frame].frames)
        assert clip.span.end_sec == whole[clip.span.start_frame].span.end_sec
