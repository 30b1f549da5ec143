"""A container becomes finished frames: opened and decoded by PyAV, resized by OpenCV, cropped. The only file that knows both.

The original resized with cv::resize on OpenCV's BGR frames. Decoding with PyAV and resizing with cv2.resize is bit for bit
the same on 8-bit video, and tells what cv2.VideoCapture hides: errors, true times, damaged frames.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from service import c3d
from service.errors import Notice, NoVideoStream, UndecodableVideo

cv2.setNumThreads(0)  # a thread pool costs more than it gains on frames this small, and each thread is address space

BLOCK_LENGTH = 8  # frames handed on at once: half a clip
FPS_TOLERANCE = 1.2  # how far outside the range of the training videos a rate may lie before the answer says so
VARIABLE_RATE = 1.5  # longest frame over shortest, from which a video's frame rate is called variable
# Formats that are one file each. Playlists, scripts and image sequences, which open other files, are not among them. The
# audio formats are there to be told apart from rubbish: such a file has no video, and the answer can say so.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpegts,mpeg,gif,mp3,wav,flac,ogg,aac"
DECODER = {"name": "PyAV", "version": av.__version__}
OPEN_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
COLOR_MATRICES = {
    0: "rgb",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020nc",
    10: "bt2020c",
}


@dataclass(frozen=True)
class VideoInfo:
    """What the container and the first frame say: sizes in pixels, after turning by ``rotation`` degrees."""

    container: str
    codec: str
    width: int
    height: int
    rotation: int
    fps: float | None
    color_matrix: str
    duration_sec: float | None
    num_frames_header: int | None  # as claimed; headers lie


@dataclass(frozen=True)
class FrameBlock:
    """Consecutive frames: ``frames`` uint8 (n, 112, 112, 3) BGR, resized and cropped; ``start_sec`` float64 (n,), rising."""

    frames: NDArray[np.uint8]
    start_sec: NDArray[np.float64]


@dataclass(frozen=True)
class VideoEnd:
    """What decoding found: ``end_sec`` is the last frame's start plus its duration."""

    num_frames: int
    end_sec: float
    variable_frame_rate: bool
    notices: tuple[Notice, ...]


def read_video(path: Path, crop_left: int = c3d.CROP_LEFT) -> Generator[VideoInfo | FrameBlock | VideoEnd]:
    """Decode the file: first its VideoInfo, then FrameBlocks as they are asked for, last its VideoEnd.

    Holds one block at a time. Raises NoVideoStream where there is nothing to see in the file, UndecodableVideo where it
    is no video file or gives not one frame.
    """
    try:
        with av.open(str(path), options=OPEN_OPTIONS) as container:
            yield from _read(container, _video_stream(container), crop_left)
    except av.FFmpegError as error:
        raise UndecodableVideo(
            "This is not a video file, or it is of a kind that is not accepted, or its beginning is damaged. Send a whole "
            "mp4, mov, mkv, webm, avi, ts, mpg or gif file."
        ) from error


def _video_stream(container: InputContainer) -> VideoStream:
    """The stream FFmpeg thinks best; a cover picture is no video."""
    moving = [stream for stream in container.streams.video if Disposition.attached_pic not in stream.disposition]
    if not moving:
        raise NoVideoStream("The file holds no video, only sound or a still picture. Send a file with a video stream.")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in moving else moving[0]
    stream.thread_type = "SLICE"
    stream.codec_context.thread_count = 1  # videos are decoded side by side, so each needs one core
    return stream


def _read(container: InputContainer, stream: VideoStream, crop_left: int) -> Iterator[VideoInfo | FrameBlock | VideoEnd]:
    clock, reformatter, damage = _Clock(container, stream), VideoReformatter(), _Damage()
    frames: list[NDArray[np.uint8]] = []
    times: list[float] = []
    info: VideoInfo | None = None
    for frame in _decoded(container, stream, damage):
        if info is None:
            info = _info(container, stream, frame)
            yield info
        frames.append(_finished(frame, reformatter, crop_left))
        times.append(clock.start_of(frame))
        if len(frames) == BLOCK_LENGTH:
            yield FrameBlock(np.stack(frames), np.array(times))
            frames, times = [], []
    if info is None:
        raise UndecodableVideo("Not one frame of this video can be decoded: it is damaged, encrypted or cut off.")
    if frames:
        yield FrameBlock(np.stack(frames), np.array(times))
    notices = (*_notices(info, clock), *damage.notices())
    yield VideoEnd(clock.num_frames, clock.end_sec, clock.variable, notices)


def _decoded(container: InputContainer, stream: VideoStream, damage: _Damage) -> Iterator[VideoFrame]:
    """Each frame that decodes. What does not is counted, packet by packet, instead of ending the video."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)  # after an error of the demuxer itself this is None: that is the video's end
            if packet is None:
                return
            frames = packet.decode()
        except av.FFmpegError:
            damage.packets += 1
            continue
        for frame in frames:
            damage.frames += frame.is_corrupt
            yield frame


def _finished(frame: VideoFrame, reformatter: VideoReformatter, crop_left: int) -> NDArray[np.uint8]:
    """One decoded frame as the network sees it: BGR, upright, 171x128, cropped to uint8 (112, 112, 3).

    BICUBIC is what OpenCV gives libswscale: it decides how chroma is brought to full size. The resizing is OpenCV's own.
    """
    converted = reformatter.reformat(frame, format="bgr24", interpolation=Interpolation.BICUBIC, threads=1)
    bgr: NDArray[Any] = converted.to_ndarray()
    if frame.rotation:
        bgr = np.ascontiguousarray(np.rot90(bgr, frame.rotation // 90))
    resized = cv2.resize(bgr, (c3d.FRAME_SIZE[1], c3d.FRAME_SIZE[0]))  # bilinear, as the original
    return np.asarray(resized[c3d.CROP_TOP :, crop_left:][: c3d.CROP_SIZE, : c3d.CROP_SIZE], np.uint8)


def _info(container: InputContainer, stream: VideoStream, frame: VideoFrame) -> VideoInfo:
    sideways = frame.rotation % 180 != 0
    duration = container.duration / av.time_base if container.duration and container.duration > 0 else None
    return VideoInfo(
        container=_container_name(container),
        codec=stream.codec_context.name,
        width=frame.height if sideways else frame.width,
        height=frame.width if sideways else frame.height,
        rotation=frame.rotation,
        fps=float(stream.average_rate) if stream.average_rate else None,
        color_matrix=COLOR_MATRICES.get(int(frame.colorspace), "unspecified"),
        duration_sec=duration,
        num_frames_header=stream.frames if stream.frames > 0 else None,
    )


def _container_name(container: InputContainer) -> str:
    """One name of the several that FFmpeg gives a demuxer. QuickTime and MP4 share one; the file's brand tells them apart."""
    name = container.format.name.split(",")[0]
    return name if name != "mov" or container.metadata.get("major_brand", "").startswith("qt") else "mp4"


@dataclass
class _Damage:
    packets: int = 0
    frames: int = 0

    def notices(self) -> Iterator[Notice]:
        if self.packets or self.frames:
            yield Notice(
                "corrupt_frames",
                f"The file is damaged: {self.packets} packets could not be decoded, {self.frames} frames are damaged. "
                "The answer is computed from the frames that decoded.",
            )


@dataclass
class _Clock:
    """Start times in seconds from the stream's beginning, by timestamps where they can be trusted.

    An AVI file with B-frames has none that can: there a frame starts at its index / average rate. Elsewhere, where a timestamp
    is missing or does not rise, a frame starts one average frame after the one before it.
    """

    container: InputContainer
    stream: VideoStream
    num_frames: int = 0
    num_estimated: int = 0
    last_sec: float = -math.inf
    end_sec: float = 0.0
    shortest: float = math.inf
    longest: float = 0.0

    def __post_init__(self) -> None:
        self.rate = self.stream.average_rate or self.stream.guessed_rate or Fraction(c3d.TRAINING_FPS[0])
        self.origin = self.stream.start_time or 0
        self.by_index = self.container.format.name == "avi" and bool(self.stream.codec_context.has_b_frames)

    def start_of(self, frame: VideoFrame) -> float:
        """When the frame is shown. To be asked for each frame once, in order."""
        start = None if frame.pts is None or frame.time_base is None else float((frame.pts - self.origin) * frame.time_base)
        duration = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else float(1 / self.rate)
        if self.by_index:
            start, duration = float(self.num_frames / self.rate), float(1 / self.rate)
        elif start is None or start <= self.last_sec:
            self.num_estimated += 1
            start = self.last_sec + float(1 / self.rate) if self.num_frames else 0.0
        if self.num_frames:
            self.shortest = min(self.shortest, start - self.last_sec)
            self.longest = max(self.longest, start - self.last_sec)
        self.num_frames += 1
        self.last_sec, self.end_sec = start, start + duration
        return start

    @property
    def variable(self) -> bool:
        """Timestamps are whole ticks, so a constant rate may still differ by two of them."""
        tick = float(self.stream.time_base) if self.stream.time_base else 0.0
        return self.longest > VARIABLE_RATE * self.shortest and self.longest - self.shortest > 2 * tick


def _notices(info: VideoInfo, clock: _Clock) -> Iterator[Notice]:
    if info.rotation:
        yield Notice("rotated", f"The file says to turn the picture by {info.rotation} degrees; the frames were turned.")
    if clock.by_index or clock.num_estimated:
        yield Notice("times_estimated", "The file has no timestamps that can be trusted; times come from the average frame rate.")
    if clock.variable:
        yield Notice("variable_frame_rate", "Frames last differently long; the network was trained on videos of a constant rate.")
    low, high = c3d.TRAINING_FPS[0] / FPS_TOLERANCE, c3d.TRAINING_FPS[1] * FPS_TOLERANCE
    if info.fps and not low <= info.fps <= high:
        yield Notice("fps_outside_training_range", f"The video has {info.fps:g} frames/s; the network saw about 25 to 30.")
    if info.num_frames_header and info.num_frames_header != clock.num_frames:
        text = f"The header claims {info.num_frames_header} frames; {clock.num_frames} were decoded. The file may be cut off."
        yield Notice("header_frame_count_wrong", text)
