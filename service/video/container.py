"""A file as FFmpeg opens it: within the limits, one stream of it, packet by packet."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from service.errors import NoVideoStream, UndecodableVideo, VideoTooLarge
from service.video.messages import ReadOptions
from service.video.sniff import refusal

Item = TypeVar("Item")
PICTURES_KEPT = 12  # 9 to 12 were measured with H.264, HEVC and AV1 as they are usual; H.264 with 16 reference pictures keeps 17


def opened(video: Path | int, options: ReadOptions) -> InputContainer:
    """The container, to be closed by its user. ``video``: a path, or a descriptor that is open. Raises UndecodableVideo.

    Formats that would open other files, decoders of other codecs, which would see the file while it is probed, and protocols
    other than the plain file are not on the lists.
    """
    limits = {
        "protocol_whitelist": "file",
        "format_whitelist": options.containers,
        "codec_whitelist": options.codecs,
        "max_pixels": str(options.max_pixels),
    }
    url = str(video)
    if isinstance(video, int):
        os.lseek(video, 0, os.SEEK_SET)  # who read it before left it at its end
        url, limits["protocol_whitelist"], limits["fd"] = "fd:", "fd", str(video)
    try:
        return av.open(url, options=limits, metadata_errors="replace")  # old files have tags in any encoding
    except MemoryError:  # FFmpeg's is an FFmpegError, too
        raise
    except av.FFmpegError as error:
        raise UndecodableVideo(refusal(video)) from error


def video_stream(container: InputContainer, options: ReadOptions) -> VideoStream:
    """The stream that FFmpeg thinks best, ready to be decoded within the limits.

    Raises NoVideoStream; UndecodableVideo where its codec is not accepted; VideoTooLarge.
    """
    moving = moving_streams(container)
    if not moving:
        what = "a still picture" if container.streams.video else "sound"
        raise NoVideoStream(f"The file holds no video, only {what}. Send a file with a video stream.")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in moving else moving[0]
    context = stream.codec_context
    if context is None:
        raise UndecodableVideo("The video's codec is not known here. Convert it, for example to H.264.")
    if (codec := context.codec.canonical_name) not in options.codecs.split(","):
        raise UndecodableVideo(f"The video's codec, {codec}, is not accepted here. Convert it, for example to H.264.")
    if context.width * context.height > options.max_pixels:
        raise VideoTooLarge(f"The video has {context.width}x{context.height} pixels, over the limit of {options.max_pixels}.")
    # Those given to open do not reach the decoder. "explode": what is damaged is an error, not a picture made up for it.
    context.options = {"max_pixels": str(options.max_pixels), "err_detect": "explode"}
    context.flags |= Flags.unaligned  # without it, what is cropped on the left is rounded down to whole SIMD registers
    stream.thread_type = "SLICE"
    context.thread_count = 1  # videos are decoded side by side, so each needs one core
    return stream


def memory_of(stream: VideoStream) -> int:
    """About how many bytes decoding takes: the pictures that a decoder keeps, and one in BGR."""
    context = stream.codec_context
    picture_bytes = (context.format.padded_bits_per_pixel if context.format else 12) / 8  # a pixel; 12 bits are usual
    return int(context.width * context.height * (PICTURES_KEPT * picture_bytes + 3))


def require_room(stream: VideoStream) -> None:
    """Raises MemoryError where there is none for two more pictures: H.264's decoder then says that the data are invalid."""
    try:
        mmap.mmap(-1, max(1, 2 * memory_of(stream) // PICTURES_KEPT)).close()
    except OSError as error:
        raise MemoryError from error


def moving_streams(container: InputContainer) -> list[VideoStream]:
    """The video streams but for cover pictures, and photos (HEIC, AVIF), which FFmpeg opens as streams of one frame."""
    return [
        stream
        for stream in container.streams.video
        if Disposition.attached_pic not in stream.disposition
        and not (container.format.name.startswith("mov") and stream.frames == 1 and stream.time_base == 1)
    ]


def has_late_streams(container: InputContainer) -> bool:
    """Whether videos have begun since the file was opened. PyAV does not list them."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)  # FFmpeg logs the list
    try:
        listed: str = cast("Any", container).dumps_format()  # which PyAV's types do not know
    finally:
        av.logging.set_level(level)
    return listed.count(": Video: ") > len(container.streams.video)


def packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream] | None]:
    """The stream's packets until the file ends. Where it cannot be read on, None is the last one."""
    demuxed = container.demux(stream)
    while True:
        try:
            packet = next(demuxed, None)
        except IndexError:  # PyAV's, at the file's end, where streams have appeared that were not there at its beginning
            return
        except MemoryError:
            raise
        except av.FFmpegError:
            yield None
            return
        if packet is None:
            return
        if packet.size:  # PyAV ends with an empty one
            yield packet


def complained_of(items: Iterable[Item]) -> Iterator[tuple[Item, list[str]]]:
    """Each item, and what FFmpeg logged as an error while it was fetched: for some damage that is the only sign."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as lines:
            for item in items:
                yield item, [message for _, _, message in lines]
                lines.clear()
    finally:
        av.logging.set_level(level)


def duration_sec(container: InputContainer, stream: VideoStream) -> float | None:
    """As claimed for the picture. What is claimed for the whole file counts only where there is nothing but the picture."""
    if stream.duration and stream.duration > 0 and stream.time_base:
        before = stream.start_time or 0 if container.format.name == "asf" else 0  # there, it counts from 0 whatever comes first
        return float((stream.duration - before) * stream.time_base)
    if len(container.streams) > 1 or not container.duration or container.duration < 0:
        return None
    return (container.duration - max(0, container.start_time or 0)) / av.time_base


def name_of(container: InputContainer) -> str:
    """One name of the several that FFmpeg gives a demuxer. QuickTime and MP4 share one; the file's brand tells them apart."""
    name = container.format.name.split(",")[0]
    return name if name != "mov" or container.metadata.get("major_brand", "").startswith("qt") else "mp4"
