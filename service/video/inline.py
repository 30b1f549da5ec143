"""A video's clips, decoded in this process and not in one of its own: for commands that an operator runs on own files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.video.clips import ClipCutter, ClipPlan
from service.video.frames import read_video
from service.video.messages import FrameBlock, ReadOptions, VideoEnd, VideoInfo


def clips_of(video: Path, options: ReadOptions) -> Iterator[NDArray[np.uint8]]:
    """The video's clips, uint8 (16, 112, 112, 3) BGR, one after the other: any length passes in constant memory."""
    for message in read_video(video, options):
        match message:
            case VideoInfo():
                cutter = ClipCutter(ClipPlan.of(message.num_frames_in_range, options))
            case FrameBlock():
                yield from (clip.frames for clip in cutter.add(message))
            case VideoEnd():
                yield from (clip.frames for clip in cutter.finish(message.num_in_part))
