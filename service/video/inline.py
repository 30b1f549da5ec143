"""A video's clips in this process, without limits or a process of their own: for commands that an operator runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store import c3d
from service.video.clips import ClipCutter
from service.video.frames import read_video
from service.video.messages import FrameBlock, ReadOptions, VideoEnd


def clips_of(video: Path, options: ReadOptions, stride: int = c3d.CLIP_STRIDE) -> Iterator[NDArray[np.uint8]]:
    """The video's clips, uint8 (16, 112, 112, 3) BGR, one after the other: any length passes in constant memory."""
    cutter = ClipCutter(stride)
    for message in read_video(video, options):
        if isinstance(message, FrameBlock):
            yield from (clip.frames for clip in cutter.add(message))
        elif isinstance(message, VideoEnd):
            yield from (clip.frames for clip in cutter.finish(message.end_sec))
