"""Packets become finished frames: decoded by PyAV, resized by OpenCV, cropped.

The original resized with cv::resize on OpenCV's BGR frames. Decoding with PyAV and resizing with cv2.resize is bit for bit
the same on 8-bit video, and tells what cv2.VideoCapture hides: errors, true times, damaged frames.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from model_store import c3d
from service.container import check_length, count_frames, duration_sec, name_of, opened, packets, start_sec, video_stream
from service.errors import UndecodableVideo, VideoTooLarge
from service.video.clock import Clock
from service.video.messages import FrameBlock, Reading, VideoEnd, VideoInfo
from service.video.ring import BLOCK_LENGTH

cv2.setNumThreads(0)  # a thread pool costs more than it gains on frames this small, and each thread is address space

SIGN_OF_LIFE = 64  # frames left out, after which an empty block says that the work goes on
COLOR_MATRICES = {0: "rgb", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc", 10: "bt2020c"}

NOTHING = (np.empty((0, *c3d.CLIP_SHAPE[1:]), np.uint8), np.empty(0), np.empty(0, np.bool_))  # of a FrameBlock
Message = VideoInfo | FrameBlock | VideoEnd


def read_video(path: Path, reading: Reading | None = None) -> Generator[Message, bool | None]:
    """Decode the file: first its VideoInfo, then FrameBlocks as they are asked for, last its VideoEnd.

    Whoever sends True into the generator has seen enough: the VideoEnd comes next. Holds one block at a time. Raises
    NoVideoStream where there is nothing to see in the file, UndecodableVideo where it is no video file or gives not one
    frame, VideoTooLarge and VideoTooLong where a limit of ``reading`` acts.
    """
    reading = reading or Reading()
    num_in_range = count_frames(path, reading)
    with opened(path, reading) as container:
        yield from _Reader(container, video_stream(container, reading), reading).messages(num_in_range)


class _Frame(NamedTuple):
    number: int
    start_sec: float
    damaged: bool
    picture: NDArray[np.uint8]


class _Reader:
    """One pass over one stream."""

    def __init__(self, container: InputContainer, stream: VideoStream, reading: Reading) -> None:
        self._container, self._stream, self._reading = container, stream, reading
        by_index = container.format.name == "avi" and bool(stream.codec_context.has_b_frames)
        rate = stream.average_rate or stream.guessed_rate or Fraction(c3d.TRAINING_FPS[0])
        self._clock = Clock(rate, by_index=by_index, tick_sec=float(stream.time_base or 0))
        self._reformatter = VideoReformatter()
        self._num_lost = 0  # packets that did not decode ...
        self._lost_before = 0  # ... and how many of them the frames so far have been marked for
        self._num_damaged = 0
        self._first_pts: int | None = None

    def messages(self, num_in_range: int) -> Generator[Message, bool | None]:
        """What `read_video` gives."""
        block: list[_Frame] = []
        info, enough = None, False
        for decoded in self._decoded():
            if info is None:
                info = self._info(decoded, num_in_range)
                enough = bool((yield info))
            frame = self._frame(decoded)
            if frame is not None:
                block.append(frame)
            elif self._clock.num_frames % SIGN_OF_LIFE == 0:
                enough = bool((yield FrameBlock(self._clock.num_frames, *NOTHING)))
            if len(block) == BLOCK_LENGTH:
                enough = bool((yield _block(block)))
                block = []
            if enough or self._past_the_end():
                break
        if info is None:
            raise UndecodableVideo("Not one frame of this video can be decoded: it is damaged, encrypted or cut off.")
        if block:
            yield _block(block)
        yield self._end(whole=not enough and not self._past_the_end())

    def _decoded(self) -> Iterator[VideoFrame]:
        """Each frame that decodes. What does not is counted, packet by packet, instead of ending the video."""
        for packet in packets(self._container, self._stream):
            try:
                frames: list[Any] = packet.decode() if packet else []
                self._num_lost += packet is None or packet.is_corrupt
            except MemoryError:
                raise
            except av.FFmpegError:
                frames = []
                self._num_lost += 1
            yield from frames

    def _frame(self, decoded: VideoFrame) -> _Frame | None:
        """The frame with its number and time; None outside the part asked for. Raises VideoTooLong, VideoTooLarge."""
        number, reading = self._clock.num_frames, self._reading
        lasts = float(decoded.duration * decoded.time_base) if decoded.duration and decoded.time_base else None
        pts = decoded.pts
        if self._container.format.name == "avi" and pts is not None:  # an encoder's delay, of which its header knows nothing
            self._first_pts = pts if self._first_pts is None else self._first_pts
            pts -= self._first_pts - (self._stream.start_time or 0)
        start = self._clock.start_of(start_sec(self._stream, pts), lasts)
        check_length(number, start, self._clock.end_sec, reading)
        if decoded.width * decoded.height > reading.max_pixels:
            raise VideoTooLarge(f"A frame has {decoded.width}x{decoded.height} pixels, over the limit of {reading.max_pixels}.")
        damaged = bool(decoded.is_corrupt) or self._num_lost > self._lost_before
        self._lost_before = self._num_lost
        self._num_damaged += damaged
        if start < reading.start_sec or self._past_the_end():
            return None
        return _Frame(number, start, damaged, self._finished(decoded))

    def _past_the_end(self) -> bool:
        return self._reading.end_sec is not None and self._clock.last_sec >= self._reading.end_sec

    def _finished(self, decoded: VideoFrame) -> NDArray[np.uint8]:
        """One decoded frame as the network sees it: BGR, upright, 171x128, cropped to uint8 (112, 112, 3).

        BICUBIC is what OpenCV gives libswscale: it decides how chroma is brought to full size. The resizing is OpenCV's own.
        """
        spaces: dict[str, Any] = {}
        if not self._reading.honour_color_tags:
            spaces = {"src_colorspace": Colorspace.ITU601, "dst_colorspace": Colorspace.ITU601}
        converted = self._reformatter.reformat(decoded, format="bgr24", interpolation=Interpolation.BICUBIC, threads=1, **spaces)
        bgr: NDArray[Any] = converted.to_ndarray()
        if rotation := _rotation(decoded):
            bgr = np.ascontiguousarray(np.rot90(bgr, rotation // 90))
        resized = cv2.resize(bgr, (c3d.FRAME_SIZE[1], c3d.FRAME_SIZE[0]))  # bilinear, as the original
        left = self._reading.crop_left
        return np.asarray(resized[c3d.CROP_TOP :, left:][: c3d.CROP_SIZE, : c3d.CROP_SIZE], np.uint8)

    def _info(self, first: VideoFrame, num_in_range: int) -> VideoInfo:
        container, stream = self._container, self._stream
        rotation = _rotation(first)
        sideways = rotation in {90, 270}
        matrix = COLOR_MATRICES.get(int(first.colorspace), "unspecified")
        return VideoInfo(
            container=name_of(container),
            codec=stream.codec_context.codec.canonical_name,
            width=first.height if sideways else first.width,
            height=first.width if sideways else first.height,
            rotation=rotation,
            fps=float(stream.average_rate) if stream.average_rate else None,
            color_matrix=matrix if self._reading.honour_color_tags else "bt601 (tags ignored)",
            ten_bit=any(component.bits > 8 for component in first.format.components),
            duration_sec=duration_sec(container, stream),
            num_frames_header=stream.frames if stream.frames > 0 else None,
            num_frames_in_range=num_in_range,
        )

    def _end(self, *, whole: bool) -> VideoEnd:
        clock = self._clock
        return VideoEnd(
            num_frames=clock.num_frames,
            end_sec=clock.end_sec if whole else clock.last_sec,
            whole=whole,
            variable_frame_rate=clock.variable and not self._num_lost,  # what is lost leaves holes, large and small
            times_estimated=clock.estimated,
            num_lost_packets=self._num_lost,
            num_damaged_frames=self._num_damaged,
            holes=clock.holes,
        )


def _block(frames: list[_Frame]) -> FrameBlock:
    numbers, times, damaged, pictures = zip(*frames, strict=True)
    return FrameBlock(numbers[0], np.stack(pictures), np.array(times), np.array(damaged))


def _rotation(frame: VideoFrame) -> int:
    """Degrees counter-clockwise, 0, 90, 180 or 270. A picture that is askew by another angle is left so, as OpenCV does."""
    return frame.rotation % 360 if frame.rotation % 90 == 0 else 0
