"""service/video/thumbnails.py: every clip has its middle frame as a JPEG, exactly as the network gets it, and only who asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from service.video.clips import MIDDLE, Clip, ClipCutter, ClipPlan
from service.video.frames import read_video
from service.video.messages import FrameBlock, Message, ReadOptions, VideoEnd, VideoInfo
from tests.support.videos import write_video


def clips_of(messages: list[Message], options: ReadOptions) -> list[Clip]:
    clips: list[Clip] = []
    for message in messages:
        match message:
            case VideoInfo():
                cutter = ClipCutter(ClipPlan.of(message.num_frames_in_range, options))
            case FrameBlock():
                clips += cutter.add(message)
            case VideoEnd():
                clips += cutter.finish(message.num_in_part)
    return clips


def read(path: Path, **asked: Any) -> list[Clip]:
    options = ReadOptions(thumbnails=True, **asked)
    return clips_of(list(read_video(path, options)), options)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"clip_stride": 1},
        {"clip_stride": 5},
        {"clip_stride": 23},
        {"max_clips": 3},
        {"max_clips": 1},
        {"start_sec": 0.3},
        {"start_sec": 0.3, "max_clips": 2},
        {"tail": "pad", "end_sec": 1.0},
        {"tail": "pad", "clip_stride": 7},
    ],
    ids=str,
)
def test_every_clip_has_its_middle_frame(clip_mp4: Path, asked: dict[str, Any]) -> None:
    clips = read(clip_mp4, **asked)
    assert clips
    for clip in clips:
        assert clip.thumbnail is not None
        decoded = cv2.imdecode(np.frombuffer(clip.thumbnail, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        assert decoded.shape == (112, 112, 3)
        frame = clip.frames[MIDDLE].astype(int)  # of a padded clip that ends before it, the last one, repeated
        assert np.abs(decoded.astype(int) - frame).mean() < 3, "BGR, the right way up, the right frame"


@pytest.mark.parametrize("num_frames", [1, 5, 8, 9, 15])
def test_a_short_video_has_one_too(tmp_path: Path, num_frames: int) -> None:
    [clip] = read(write_video(tmp_path / "short.mp4", num_frames))
    assert clip.thumbnail


def test_nobody_else_gets_one(clip_mp4: Path) -> None:
    blocks = [message for message in read_video(clip_mp4) if isinstance(message, FrameBlock)]
    assert blocks
    assert not any(block.thumbnails for block in blocks)


def test_few_frames_are_encoded(clip_mp4: Path) -> None:
    blocks = [each for each in read_video(clip_mp4, ReadOptions(thumbnails=True)) if isinstance(each, FrameBlock)]
    assert sum(len(block.thumbnails) for block in blocks) <= 2 * len(blocks)
