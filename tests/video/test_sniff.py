"""What a file is that is no video: one sentence, and a true one."""

from __future__ import annotations

import base64
import gzip
import io
import zipfile
from pathlib import Path

import pytest

from service.errors import NoVideoStream, UndecodableVideo
from service.video.frames import read_video
from service.video.messages import ReadOptions
from service.video.sniff import refusal
from tests.conftest import SHARED


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("video.mp4", content)
    return file.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"
KINDS = [
    (b"", "empty"),
    (bytes(5000), "only zeros"),
    (zipped(b"x"), "ZIP"),
    (gzip.compress(b"x"), "gzip"),
    (b"7z\xbc\xaf\x27\x1c" + bytes(99), "7z"),
    (LFS, "Git LFS"),
    (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "HTML"),
    (b"\xef\xbb\xbf \n<HTML lang=en>", "HTML"),
    (base64.encodebytes(bytes(range(256)) * 9), "base64"),
    (base64.b64encode(bytes(range(256)) * 9), "base64"),
    (b"data:video/mp4;base64,AAAA", "data: URL"),
    (b"\0\0\0\1\x67\x42\0\x1e" + bytes(range(1, 99)), "raw H.264"),
    (b"\0\0\1\x09\xf0" + bytes(range(1, 99)), "raw H.264"),
    (b"\0\0\0\1\x40\1\x0c" + bytes(range(1, 99)), "raw H.265"),
    (b"\x89PNG\r\n\x1a\n" + bytes(99), "PNG image"),
    (b"\xff\xd8\xff\xe0" + bytes(99), "JPEG image"),
    (b"RIFF\0\0\0\0WEBPVP8 " + bytes(99), "WebP image"),
    (b"\x06\x0e\x2b\x34\x02\5\1\1" + bytes(99), "MXF, which is not accepted"),
    (b"DKIF\0\0" + bytes(99), "IVF, which is not accepted"),
    (b".RMF\0\0\0\x12" + bytes(99), "RealMedia, which is not accepted"),
    (b"#EXTM3U\nvideo.ts\n", "playlist"),
    (b"a,b,c\n1,2,3\n", "text"),
    (b"%PDF-1.7" + bytes(99), "PDF"),
    (b"\x1a\x45\xdf\xa3" + bytes(99), "mkv or webm"),
    (bytes(range(1, 200)), "no known kind"),
]


@pytest.mark.parametrize(("content", "says"), KINDS, ids=[f"{number}-{says}" for number, (_, says) in enumerate(KINDS)])
def test_each_kind_is_called_what_it_is(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "secret-name"
    path.write_bytes(content)
    sentence = refusal(path)
    assert says in sentence
    assert "secret-name" not in sentence
    with pytest.raises(UndecodableVideo):
        list(read_video(path))


def test_a_cut_off_mp4_lacks_its_index(clip_mp4: Path, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(clip_mp4.read_bytes()[:2000])
    with pytest.raises(UndecodableVideo, match="index of this mp4 or mov is missing: the file was cut off"):
        list(read_video(path))


def test_an_mp4_whose_index_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\0\0\0\x14ftypisom\0\0\2\0isom" + b"\0\0\0\x10moov\xff\xff\xff\xff\xff\xff\xff\xff" + bytes(64))
    assert "index of this mp4 or mov is damaged" in refusal(path)


def test_a_codec_that_is_not_accepted_is_named(clip_mp4: Path) -> None:
    with pytest.raises(UndecodableVideo, match="codec, h264, is not accepted"):
        list(read_video(clip_mp4, ReadOptions(codecs="vp9")))


@pytest.mark.parametrize("name", ["photo.heic", "still.avif"])
def test_a_photo_is_no_video(name: str) -> None:
    if not SHARED.exists():
        pytest.skip("../shared/data is not here")
    with pytest.raises(NoVideoStream, match="still picture"):
        list(read_video(SHARED / "wild" / "still_heif" / name))
