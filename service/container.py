"""A file becomes packets: opened by PyAV within limits, its video stream chosen, its packets read as far as they can be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from service.errors import NoVideoStream, UndecodableVideo, VideoTooLarge
from service.video import Reading

MAX_PACKETS_COUNTED = 2_000_000  # more than a video of the longest length and highest rate can have
UNDECODABLE = (
    "This is not a video file, or it is of a kind that is not accepted, or its beginning is damaged. Send a whole mp4, mov, "
    "mkv, webm, avi, ts, mpg or gif file."
)


def opened(path: Path, reading: Reading) -> InputContainer:
    """The container, to be closed by its user. Raises UndecodableVideo.

    Formats that would open other files, and protocols other than the plain file, are not on the lists.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": reading.containers, "max_pixels": str(reading.max_pixels)}
    try:
        return av.open(str(path), options=options)
    except MemoryError:  # FFmpeg's is an FFmpegError, too
        raise
    except av.FFmpegError as error:
        raise UndecodableVideo(UNDECODABLE) from error


def video_stream(container: InputContainer, reading: Reading) -> VideoStream:
    """The stream that FFmpeg thinks best, ready to be decoded within the limits; a cover picture is no video.

    Raises NoVideoStream; UndecodableVideo where its codec is not accepted; VideoTooLarge.
    """
    moving = [stream for stream in container.streams.video if Disposition.attached_pic not in stream.disposition]
    if not moving:
        raise NoVideoStream("The file holds no video, only sound or a still picture. Send a file with a video stream.")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in moving else moving[0]
    context = stream.codec_context
    if context is None or context.codec.canonical_name not in reading.codecs.split(","):
        raise UndecodableVideo("The video's codec is not accepted here. Convert it, for example to H.264.")
    if context.width * context.height > reading.max_pixels:
        raise VideoTooLarge(f"The video has {context.width}x{context.height} pixels, over the limit of {reading.max_pixels}.")
    # Those given to open do not reach the decoder. "explode": what is damaged is an error, not a picture made up for it.
    context.options = {"max_pixels": str(reading.max_pixels), "err_detect": "explode"}
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


def count_frames(path: Path, reading: Reading) -> int:
    """How many frames the part asked for seems to have, by its packets: nothing is decoded. Raises as `video_stream` does."""
    count = 0
    end = reading.max_video_s if reading.end_sec is None else reading.end_sec
    with opened(path, reading) as container:
        stream = video_stream(container, reading)
        for seen, packet in enumerate(packets(container, stream)):
            if packet is None or seen > MAX_PACKETS_COUNTED:
                break
            start = start_sec(stream, packet.pts)
            if start is None and stream.average_rate:  # as in AVI: packets in order, at the average rate
                start = float(seen / stream.average_rate)
            count += packet.size > 0 and (start is None or reading.start_sec <= start < end)
    return count
