"""What the network sees of each clip, for people to look at: its middle frame as a JPEG, made where the frames are decoded."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.video.clips import ClipPlan
from service.video.messages import FrameBlock, Message, ReadOptions, VideoInfo


def with_thumbnails(
    messages: Iterable[Message], options: ReadOptions, jpeg_of: Callable[[NDArray[np.uint8]], bytes]
) -> Generator[Message]:
    """The messages of `frames.read_video`, their blocks with the JPEGs that `clips.ClipCutter` takes from them.

    The last frame of each block has one too: a clip that is padded may end there before its middle. ``jpeg_of`` encodes a frame,
    uint8 (112, 112, 3) BGR.
    """
    plan = ClipPlan(0)
    begin: int | None = None  # the number of the part's first frame
    for message in messages:
        if isinstance(message, VideoInfo):
            plan = ClipPlan.of(message.num_frames_in_range, options)
        if not isinstance(message, FrameBlock) or not len(message.frames):
            yield message
            continue
        begin = message.first if begin is None else begin
        last = len(message.frames) - 1
        wanted = [at for at in range(len(message.frames)) if at == last or plan.is_middle(message.first + at - begin)]
        yield replace(message, thumbnails={at: jpeg_of(message.frames[at]) for at in wanted})
