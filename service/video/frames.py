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
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from model_store import c3d
from service.errors import NoVideoStream, UndecodableVideo, VideoTooLarge, VideoTooLong
from service.video.clips import ClipPlan
from service.video.clock import Clock
from service.video.messages import FrameBlock, Message, ReadOptions, VideoEnd, VideoInfo
from service.video.ring import BLOCK_LENGTH
from service.video.thumbnails import with_thumbnails

FPS_GRACE = 1000  # frames before the limit on frames per second acts, so that a short burst is no offence
REORDERED_SEC = 2.0  # how much later in the file than its successors a packet may come, with B-frames
MAX_RESIZED_PIXELS = 1 << 20  # where the aspect is kept, a picture of few rows and very many columns becomes larger
UNDECODABLE = (
    "This is not a video file, or it is of a kind that is not accepted, or its beginning is damaged. Send a whole mp4, mov, "
    "mkv, webm, avi, ts, mpg or gif file."
)


def opened(path: Path, options: ReadOptions) -> InputContainer:
    """The container, to be closed by its user. Raises UndecodableVideo.

    Formats that would open other files, and protocols other than the plain file, are not on the lists.
    """
    limits = {"protocol_whitelist": "file", "format_whitelist": options.containers, "max_pixels": str(options.max_pixels)}
    try:
        return av.open(str(path), options=limits, metadata_errors="replace")  # old files have tags in any encoding
    except MemoryError:  # FFmpeg's is an FFmpegError, too
        raise
    except av.FFmpegError as error:
        raise UndecodableVideo(UNDECODABLE) from error


def video_stream(container: InputContainer, options: ReadOptions) -> VideoStream:
    """The stream that FFmpeg thinks best, ready to be decoded within the limits; a cover picture is no video.

    Raises NoVideoStream; UndecodableVideo where its codec is not accepted; VideoTooLarge.
    """
    moving = [stream for stream in container.streams.video if Disposition.attached_pic not in stream.disposition]
    if not moving:
        raise NoVideoStream("The file holds no video, only sound or a still picture. Send a file with a video stream.")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in moving else moving[0]
    context = stream.codec_context
    if context is None or context.codec.canonical_name not in options.codecs.split(","):
        raise UndecodableVideo("The video's codec is not accepted here. Convert it, for example to H.264.")
    if context.width * context.height > options.max_pixels:
        raise VideoTooLarge(f"The video has {context.width}x{context.height} pixels, over the limit of {options.max_pixels}.")
    # Those given to open do not reach the decoder. "explode": what is damaged is an error, not a picture made up for it.
    context.options = {"max_pixels": str(options.max_pixels), "err_detect": "explode"}
    stream.thread_type = "SLICE"
    context.thread_count = 1  # videos are decoded side by side, so each needs one core
    return stream


def start_sec(stream: VideoStream, pts: int | None) -> float | None:
    """A timestamp in seconds from the stream's start; None where there is none."""
    return None if pts is None or stream.time_base is None else float((pts - (stream.start_time or 0)) * stream.time_base)


def packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream] | None]:
    """Until the file ends; None in place of a packet, as the last one, where it cannot be read on."""
    demuxed = container.demux(stream)
    while True:
        try:
            packet = next(demuxed, None)
        except MemoryError:
            raise
        except av.FFmpegError:
            yield None
            return
        if packet is None:
            return
        yield packet


def count_frames(path: Path, options: ReadOptions) -> int:
    """How many frames the part asked for seems to have, by its packets: nothing is decoded.

    Raises as `video_stream` does, and VideoTooLong: what is too long is refused before any of it has cost the network a clip.
    """
    count, seen, latest = 0, 0, 0.0
    with opened(path, options) as container:
        stream = video_stream(container, options)
        frame_sec = float(1 / stream.average_rate) if stream.average_rate else 0.0
        for packet in packets(container, stream):
            if packet is None:
                break
            if not packet.size or packet.is_discard or not (seen or packet.is_keyframe):
                continue  # the last, empty one; what an edit list hides; what comes before the first picture that is whole
            start = start_sec(stream, packet.pts)
            start = seen * frame_sec if start is None else start  # as in AVI: packets in order, at the average rate
            seen, latest = seen + 1, max(latest, start)
            if options.end_sec is not None and start >= options.end_sec:
                if start >= options.end_sec + REORDERED_SEC:
                    break
                continue
            check_length(seen, latest, latest + frame_sec, options)
            count += start >= options.start_sec
    return count


def check_length(num_frames: int, start_sec: float, end_sec: float, options: ReadOptions) -> None:
    """Raises VideoTooLong where so many frames, the last of which lasts from start to end, are over a limit."""
    if start_sec > options.max_video_s:
        raise VideoTooLong(f"By its timestamps the video is longer than {options.max_video_s:g} s. Send a part of it.")
    if num_frames > FPS_GRACE and num_frames > options.max_fps * end_sec:
        raise VideoTooLong(f"The video has more than {options.max_fps:g} frames/s, and goes on so for {num_frames} frames.")


def duration_sec(container: InputContainer, stream: VideoStream) -> float | None:
    """As claimed for the picture. What is claimed for the whole file counts only where there is nothing but the picture."""
    if stream.duration and stream.duration > 0 and stream.time_base:
        return float(stream.duration * stream.time_base)
    if len(container.streams) > 1 or not container.duration or container.duration < 0:
        return None
    return (container.duration - max(0, container.start_time or 0)) / av.time_base


def name_of(container: InputContainer) -> str:
    """One name of the several that FFmpeg gives a demuxer. QuickTime and MP4 share one; the file's brand tells them apart."""
    name = container.format.name.split(",")[0]
    return name if name != "mov" or container.metadata.get("major_brand", "").startswith("qt") else "mp4"


cv2.setNumThreads(0)  # a thread pool costs more than it gains on frames this small, and each thread is address space

JPEG_QUALITY = 90  # about 3 kB, in which nobody sees the compression
SIGN_OF_LIFE = 64  # frames left out, after which an empty block says that the work goes on
COLOR_MATRICES = {0: "rgb", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc", 10: "bt2020c"}

NO_FRAMES = (np.empty((0, *c3d.CLIP_SHAPE[1:]), np.uint8), np.empty(0), np.empty(0, np.bool_))  # of a FrameBlock


def read_video(path: Path, options: ReadOptions | None = None) -> Generator[Message]:
    """Decode the file: first its VideoInfo, then FrameBlocks as they are asked for, last its VideoEnd.

    It reads no further than the clips asked for need, and holds one block at a time. Raises NoVideoStream where the file holds
    no video, UndecodableVideo where it is no video file or not one frame decodes, VideoTooLarge and VideoTooLong where it
    passes a limit of ``options``.
    """
    options = options or ReadOptions()
    num_in_range = count_frames(path, options)
    with opened(path, options) as container:
        messages = _Reader(container, video_stream(container, options), options, num_in_range).messages()
        yield from with_thumbnails(messages, options, jpeg_of) if options.thumbnails else messages


class _Frame(NamedTuple):
    number: int
    start_sec: float
    damaged: bool
    picture: NDArray[np.uint8]


class _Reader:
    """One pass over one stream."""

    def __init__(self, container: InputContainer, stream: VideoStream, options: ReadOptions, num_in_range: int) -> None:
        """``num_in_range``: how many frames the part asked for seems to have."""
        self._container, self._stream, self._options, self._num_in_range = container, stream, options, num_in_range
        by_index = container.format.name == "avi" and bool(stream.codec_context.has_b_frames)
        rate = stream.average_rate or stream.guessed_rate or Fraction(c3d.TRAINING_FPS[0])
        self._clock = Clock(rate, by_index=by_index, tick_sec=float(stream.time_base or 0))
        self._reformatter = VideoReformatter()
        self._num_wanted = ClipPlan.of(num_in_range, options).end  # frames of the part; None: all of them
        self._num_read = 0  # frames of the part
        self._num_lost = 0  # packets that did not decode ...
        self._lost_before = 0  # ... and how many of them the frames so far have been marked for
        self._num_damaged = 0
        self._first_pts: int | None = None

    def messages(self) -> Generator[Message]:
        """What `read_video` gives."""
        block: list[_Frame] = []
        for decoded in self._decoded():
            if not self._clock.num_frames:
                yield self._info(decoded)
            frame = self._frame(decoded)
            if self._is_enough():
                break
            if frame is not None:
                block.append(frame)
            elif self._clock.num_frames % SIGN_OF_LIFE == 0:
                yield FrameBlock(self._clock.num_frames, *NO_FRAMES)
            if len(block) == BLOCK_LENGTH:
                yield _block(block)
                block = []
        if not self._clock.num_frames:
            raise UndecodableVideo("No frame of this video can be decoded: it is damaged, encrypted or cut off.")
        if block:
            yield _block(block)
        yield self._end(whole=not self._is_enough())

    def _decoded(self) -> Iterator[VideoFrame]:
        """Each frame that decodes. A packet that does not decode is counted, and the next ones are tried."""
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
        number, options = self._clock.num_frames, self._options
        lasts = float(decoded.duration * decoded.time_base) if decoded.duration and decoded.time_base else None
        pts = decoded.pts
        if self._container.format.name == "avi" and pts is not None:  # an encoder's delay, of which its header knows nothing
            self._first_pts = pts if self._first_pts is None else self._first_pts
            pts -= self._first_pts - (self._stream.start_time or 0)
        start = self._clock.start_of(start_sec(self._stream, pts), lasts)
        check_length(number, start, self._clock.end_sec, options)
        if decoded.width * decoded.height > options.max_pixels:
            raise VideoTooLarge(f"A frame has {decoded.width}x{decoded.height} pixels, over the limit of {options.max_pixels}.")
        damaged = bool(decoded.is_corrupt) or self._num_lost > self._lost_before
        self._lost_before = self._num_lost
        self._num_damaged += damaged
        if start < options.start_sec:
            return None
        self._num_read += 1
        return None if self._is_enough() else _Frame(number, start, damaged, self._finished(decoded))

    def _is_enough(self) -> bool:
        """Whether the last frame is the first one that is not wanted: it says when the one before it ends."""
        if self._options.end_sec is not None and self._clock.last_sec >= self._options.end_sec:
            return True
        return self._num_wanted is not None and self._num_read > self._num_wanted

    def _finished(self, decoded: VideoFrame) -> NDArray[np.uint8]:
        """One decoded frame as the network sees it: BGR, upright, resized, cropped to uint8 (112, 112, 3).

        BICUBIC is what OpenCV gives libswscale: it decides how chroma is brought to full size. The resizing is OpenCV's own.
        """
        spaces: dict[str, Any] = {}
        if not self._options.honour_color_tags:
            spaces = {"src_colorspace": Colorspace.ITU601, "dst_colorspace": Colorspace.ITU601}
        converted = self._reformatter.reformat(decoded, format="bgr24", interpolation=Interpolation.BICUBIC, threads=1, **spaces)
        bgr: NDArray[Any] = converted.to_ndarray()
        if rotation := _rotation(decoded):
            bgr = np.ascontiguousarray(np.rot90(bgr, rotation // 90))
        rows, columns, top, left = self._options.framing(*bgr.shape[:2])
        if rows * columns > MAX_RESIZED_PIXELS:
            raise VideoTooLarge(f"The frames are too long and narrow: resized to {columns}x{rows} they would be too large.")
        resized = cv2.resize(bgr, (columns, rows))  # bilinear, as the original
        return np.asarray(resized[top:, left:][: c3d.CROP_SIZE, : c3d.CROP_SIZE], np.uint8)

    def _info(self, first: VideoFrame) -> VideoInfo:
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
            color_matrix=matrix if self._options.honour_color_tags else "bt601 (tags ignored)",
            ten_bit=any(component.bits > 8 for component in first.format.components),
            duration_sec=duration_sec(container, stream),
            num_frames_header=stream.frames if stream.frames > 0 else None,
            num_frames_in_range=self._num_in_range,
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


def jpeg_of(picture: NDArray[np.uint8]) -> bytes:
    """A picture as the network sees it, uint8 (112, 112, 3) BGR, as a JPEG."""
    _, encoded = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
    return encoded.tobytes()


def _rotation(frame: VideoFrame) -> int:
    """Degrees counter-clockwise, 0, 90, 180 or 270. A picture that is askew by another angle is left so, as OpenCV does."""
    return frame.rotation % 360 if frame.rotation % 90 == 0 else 0
