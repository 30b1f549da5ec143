"""What the network sees of each clip, for people to look at: its middle frame as a JPEG, made where the frames are decoded."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

from service.video.clips import ClipPlan
from service.video.messages import FrameBlock, Message, ReadOptions, VideoInfo
from service.video.picture import jpeg_of


def with_thumbnails(messages: Generator[Message], options: ReadOptions) -> Generator[Message]:
    """The messages of `frames.read_video`, their blocks with the JPEGs that `clips.ClipCutter` takes from them.

    The last frame of each block has one too: a clip that is padded may end there before its middle.
    """
    plan = ClipPlan(0)
    with closing(messages):
        for message in messages:
            match message:
                case VideoInfo():
                    plan = ClipPlan.of(message.num_frames_in_range, options)
                    yield message
                case FrameBlock():
                    yield _with_thumbnails(message, plan)
                case _:
                    yield message


def _with_thumbnails(block: FrameBlock, plan: ClipPlan) -> FrameBlock:
    places = (block.numbers - block.first_in_part).tolist()
    wanted = [at for at, place in enumerate(places) if at == len(places) - 1 or plan.is_middle(place)]
    return replace(block, thumbnails={at: jpeg_of(block.frames[at]) for at in wanted})
