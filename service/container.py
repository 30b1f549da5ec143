"""A file becomes packets: opened by PyAV within limits, its video stream chosen, its packets read as far as they can be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from service.errors import NoVideoStream, UndecodableVideo, VideoTooLarge, VideoTooLong
from service.video.messages import Reading

FPS_GRACE = 1000  # frames before the limit on frames per second acts, so that a short burst is no offence
REORDERED_SEC = 2.0  # how much later in the file than its successors a packet may come, with B-frames
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
        return av.open(str(path), options=options, metadata_errors="replace")  # old files have tags in any encoding
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
    """How many frames the part asked for seems to have, by its packets: nothing is decoded.

    Raises as `video_stream` does, and VideoTooLong: what is too long is refused before any of it has cost the network a clip.
    """
    count, seen, latest = 0, 0, 0.0
    with opened(path, reading) as container:
        stream = video_stream(container, reading)
        frame_sec = float(1 / stream.average_rate) if stream.average_rate else 0.0
        for packet in packets(container, stream):
            if packet is None:
                break
            if not packet.size or packet.is_discard or not (seen or packet.is_keyframe):
                continue  # the last, empty one; what an edit list hides; what comes before the first picture that is whole
            start = start_sec(stream, packet.pts)
            start = seen * frame_sec if start is None else start  # as in AVI: packets in order, at the average rate
            seen, latest = seen + 1, max(latest, start)
            if reading.end_sec is not None and start >= reading.end_sec:
                if start >= reading.end_sec + REORDERED_SEC:
                    break
                continue
            check_length(seen, latest, latest + frame_sec, reading)
            count += start >= reading.start_sec
    return count


def check_length(num_frames: int, start_sec: float, end_sec: float, reading: Reading) -> None:
    """Raises VideoTooLong where so many frames, the last of which lasts from start to end, are over a limit."""
    if start_sec > reading.max_video_s:
        raise VideoTooLong(f"By its timestamps the video is longer than {reading.max_video_s:g} s. Send a part of it.")
    if num_frames > FPS_GRACE and num_frames > reading.max_fps * end_sec:
        raise VideoTooLong(f"The video has more than {reading.max_fps:g} frames/s, and goes on so for {num_frames} frames.")


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
