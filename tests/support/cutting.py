"""A file read and cut into clips in this process, with all that was said on the way."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from service.video.clips import Clip, ClipCutter, ClipPlan
from service.video.frames import read_video
from service.video.messages import FrameBlock, ReadOptions, VideoEnd, VideoInfo


class Cut(NamedTuple):
    """What the reader said first and last, and the clips between, with what cut them."""

    info: VideoInfo
    clips: list[Clip]
    end: VideoEnd
    cutter: ClipCutter


def cut(path: Path, **asked: object) -> Cut:
    """Read the file by ReadOptions of ``asked``."""
    options = ReadOptions(**asked)  # type: ignore[arg-type]
    clips: list[Clip] = []
    for message in read_video(path, options):
        match message:
            case VideoInfo():
                info, cutter = message, ClipCutter(ClipPlan.of(message.num_frames_in_range, options))
            case FrameBlock():
                clips += cutter.add(message)
            case VideoEnd():
                clips += cutter.finish(message.num_in_part)
                end = message
    return Cut(info, clips, end, cutter)
