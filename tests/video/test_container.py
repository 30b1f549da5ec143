"""What is opened, which stream is read, and how long it seems to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest
from av.stream import Disposition

from service.errors import NoVideoStream, UndecodableVideo, VideoTooLarge
from service.video.container import opened, packets, video_stream
from service.video.messages import ReadOptions
from service.video.timeline import read_timeline
from tests.support.videos import picture, write_audio, write_video


def test_the_stream_is_ready_to_be_decoded_on_one_core(clip_mp4: Path) -> None:
    with opened(clip_mp4, ReadOptions()) as container:
        stream = video_stream(container, ReadOptions())
        assert stream.codec_context.thread_count == 1
        assert sum(packet is not None and packet.size > 0 for packet in packets(container, stream)) == 40


def two_streams(path: Path) -> Path:
    """A small video, then a larger one in a second stream, which is marked as the one to show."""
    with av.open(str(path), "w") as container:
        streams: list[Any] = []
        for size in ((32, 48), (96, 128)):
            stream: Any = container.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
            streams.append(stream)
        streams[0].disposition, streams[1].disposition = Disposition(0), Disposition.default
        for index in range(20):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(picture(index, stream.height, stream.width), format="bgr24")
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def test_of_several_streams_the_default_one_is_read(tmp_path: Path) -> None:
    with opened(two_streams(tmp_path / "a.mkv"), ReadOptions()) as container:
        assert video_stream(container, ReadOptions()).codec_context.width == 128


def test_refuses_in_words(tmp_path: Path, clip_mp4: Path) -> None:
    with pytest.raises(UndecodableVideo), opened(Path("/dev/null"), ReadOptions()):
        pass
    sound = write_audio(tmp_path / "a.wav")
    for path, reading, error in (
        (sound, ReadOptions(), NoVideoStream),
        (clip_mp4, ReadOptions(codecs="vp9"), UndecodableVideo),
        (clip_mp4, ReadOptions(max_pixels=100), VideoTooLarge),
    ):
        with opened(path, ReadOptions()) as container, pytest.raises(error) as caught:
            video_stream(container, reading)
        assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.ts", "libx264"), ("a.webm", "libvpx")])
@pytest.mark.parametrize(("start", "end", "expected"), [(0.0, None, 50), (1.0, None, 25), (0.0, 1.0, 25), (0.4, 0.8, 10)])
def test_counts_the_frames_of_a_part(
    tmp_path: Path, name: str, codec: str, start: float, end: float | None, expected: int
) -> None:
    path = write_video(tmp_path / name, 50, codec=codec, options={"bf": "0"} if codec == "libx264" else {})
    options = ReadOptions(start_sec=start, end_sec=end)
    with opened(path, options) as container:
        reading = read_timeline(container, video_stream(container, options), options)
        with pytest.raises(StopIteration) as done:
            next(reading)
        assert done.value.value.num_in_part == expected
