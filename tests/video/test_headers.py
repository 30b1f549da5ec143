"""What packets' first bytes say of the pictures that they become."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from service.video import headers
from service.video.headers import PacketHeader
from tests.support.videos import write_video


def read(path: Path, leave_out: frozenset[int] = frozenset()) -> list[PacketHeader]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        read_one = headers.reader(context.codec.canonical_name, context.extradata)
        packets = [packet for packet in container.demux(stream) if packet.size]
        return [read_one(memoryview(packet)) for number, packet in enumerate(packets) if number not in leave_out]


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv", "a.avi"])
@pytest.mark.parametrize("options", [{}, {"bf": "3", "b-pyramid": "normal"}, {"flags": "+ilme+ildct"}], ids=str)
def test_every_packet_of_good_h264_is_a_picture_and_none_is_lost(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    found = read(write_video(tmp_path / name, 40, options=options))
    assert {header._replace(between=False) for header in found} == {PacketHeader()}


@pytest.mark.parametrize(("codec", "name"), [("libx264", "a.mp4"), ("libx264", "a.ts"), ("mpeg4", "a.avi")])
@pytest.mark.parametrize("bf", [0, 2])
def test_b_frames_are_known(tmp_path: Path, codec: str, name: str, bf: int) -> None:
    path = write_video(tmp_path / name, 40, codec=codec, options={"bf": str(bf), "g": "20"})
    with av.open(str(path)) as container:
        kinds = [PictureType(frame.pict_type).name for frame in container.decode(video=0)]
    assert sum(header.between for header in read(path)) == kinds.count("B")
    assert ("B" in kinds) == bool(bf)


@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
def test_a_reference_picture_that_is_missing_shows(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, 40, options={"bf": "0", "g": "40"})
    found = read(path, frozenset({10, 11}))
    assert [number for number, header in enumerate(found) if header.lost_before] == [10]


def test_a_picture_that_nothing_is_predicted_from_is_not_missed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 40, options={"bf": "1", "b-pyramid": "none", "g": "40", "x264-params": "b-adapt=0"})
    with av.open(str(path)) as container:
        data = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    single = next(number for number, each in enumerate(data) if number > 5 and not each[4] & 0x60)
    assert not any(header.lost_before for header in read(path, frozenset({single})))


def test_pictures_that_lead_an_open_group_are_known_in_hevc(tmp_path: Path) -> None:
    params = {"x265-params": "open-gop=1:keyint=10:min-keyint=10:bframes=3:log-level=0"}
    found = read(write_video(tmp_path / "a.mp4", 40, codec="libx265", options=params))
    assert any(header.leading for header in found)
    assert not found[0].leading


@pytest.mark.parametrize(("data", "shown"), [(b"\x10\x02\x00", True), (b"\x11\x02\x00", True), (b"\x00\x02\x00", False)])
def test_vp8_says_whether_a_picture_is_shown(data: bytes, *, shown: bool) -> None:
    assert headers.reader("vp8", None)(memoryview(data)).shown == shown


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x82\x49\x83\x42\x00", True),  # a key frame that is shown
        (b"\x84\x00\x00", False),  # a frame between, hidden
        (b"\x86\x00\x00", True),
        (b"\x88\x00", True),  # shows one that was decoded before
        (b"\x84\x00\xc1", True),  # a superframe
    ],
)
def test_vp9_says_whether_a_picture_is_shown(data: bytes, *, shown: bool) -> None:
    assert headers.reader("vp9", None)(memoryview(data)).shown == shown


@pytest.mark.parametrize("codec", ["h264", "hevc", "vp8", "vp9"])
def test_nonsense_is_no_error(codec: str) -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        read_one = headers.reader(codec, random.bytes(40))
        for size in (1, 5, 30, 5000):
            assert isinstance(read_one(memoryview(b"\0\0\1" + random.bytes(size))), PacketHeader)
