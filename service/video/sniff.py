"""What a file is that does not open as a video: its first bytes say so, and the refusal repeats it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO

HEAD_BYTES = 4096
ACCEPTED = "Send an mp4, mov, mkv, webm, avi, ts, mpg, wmv, flv or gif file."
EXTRACT = "Send the video that is inside."
CONVERT = "Convert it, for example to mp4."
IMAGE = "A video is needed."
# How files of other kinds begin: (where, bytes, what it is, what to do).
SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"PK\3\4", "a ZIP archive", EXTRACT),
    (0, b"\x1f\x8b", "compressed with gzip", EXTRACT),
    (0, b"BZh", "compressed with bzip2", EXTRACT),
    (0, b"\xfd7zXZ\0", "compressed with xz", EXTRACT),
    (0, b"\x28\xb5\x2f\xfd", "compressed with Zstandard", EXTRACT),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", EXTRACT),
    (0, b"Rar!\x1a\7", "a RAR archive", EXTRACT),
    (257, b"ustar", "a tar archive", EXTRACT),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "Fetch the file with `git lfs pull`."),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image", IMAGE),
    (0, b"\xff\xd8\xff", "a JPEG image", IMAGE),
    (8, b"WEBP", "a WebP image", IMAGE),
    (0, b"BM", "a BMP image", IMAGE),
    (0, b"II*\0", "a TIFF image", IMAGE),
    (0, b"MM\0*", "a TIFF image", IMAGE),
    (0, b"\0\0\1\0", "an icon", IMAGE),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image", IMAGE),
    (0, b"\xff\x0a", "a JPEG XL image", IMAGE),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 image", IMAGE),
    (0, b"8BPS", "a Photoshop image", IMAGE),
    (0, b"%PDF", "a PDF document", "Send a video."),
    (0, b"\x7fELF", "a program", "Send a video."),
    (0, b"MZ", "a program", "Send a video."),
    (0, b"\x89HDF", "an HDF5 file", "Send a video."),
    (0, b"\x93NUMPY", "a NumPy array", "Send a video; clips that are cut already go to /v2."),
    (0, b"SQLite format 3", "a database", "Send a video."),
    (0, b"#EXTM3U", "a playlist, which only names other files", "Send the video itself."),
    (0, b"ffconcat", "a list of files", "Send the video itself."),
    (0, b"\x06\x0e\x2b\x34", "in the container MXF, which is not accepted", CONVERT),
    (0, b"DKIF", "in the container IVF, which is not accepted", CONVERT),
    (0, b"YUV4MPEG2", "in the container YUV4MPEG2, which is not accepted", CONVERT),
    (0, b".RMF", "in the container RealMedia, which is not accepted", CONVERT),
    (0, b"nut/multimedia container", "in the container NUT, which is not accepted", CONVERT),
    (0, b"\xb7\xd8\x00\x20\x37\x49\xda\x11", "in the container WTV, which is not accepted", CONVERT),
    (0, b"BIK", "in the container Bink, which is not accepted", CONVERT),
    (0, b"KB2", "in the container Bink, which is not accepted", CONVERT),
    (0, b"FWS", "in the container SWF, which is not accepted", CONVERT),
    (0, b"CWS", "in the container SWF, which is not accepted", CONVERT),
    (0, b"NSVf", "in the container NSV, which is not accepted", CONVERT),
    (0, b"\x1f\x07\0", "in the container DV, which is not accepted", CONVERT),
    (0, b"FORM", "in the container IFF, which is not accepted", CONVERT),
    (0, b"caff", "a sound file (CAF)", "Send a video."),
    (0, b"#!AMR", "a sound file (AMR)", "Send a video."),
    (0, b"MThd", "music (MIDI)", "Send a video."),
)
# How accepted containers begin. A file that has this and does not open is damaged.
BEGINNINGS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x1a\x45\xdf\xa3", "mkv or webm"),
    (8, b"AVI ", "avi"),
    (0, b"FLV\1", "flv"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "wmv"),
    (0, b"\0\0\1\xba", "mpg"),
    (0, b"GIF8", "gif"),
    (0, b"OggS", "ogg"),
)
MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"styp", b"sidx", b"uuid", b"pnot"}
START_CODE = re.compile(rb"\x00?\x00\x00\x01(.)", re.DOTALL)
H264_UNITS, HEVC_UNITS = {5, 6, 7, 8, 9}, {32, 33, 34, 35, 39, 19, 20, 21}  # types that a raw stream begins with
MIN_BASE64 = 64  # characters, from which on text of these letters alone is no word


def refusal(video: Path | int) -> str:
    """A sentence for the client: what the file is, and what to do. Neither the name of the file nor its content is in it."""
    with _reading(video) as file:
        head = file.read(HEAD_BYTES)
    if not head.strip(b"\0"):
        return f"The file holds only zeros: it was not written to its end. {ACCEPTED}" if head else "The file is empty."
    for place, begins, what, advice in SIGNATURES:
        if head.startswith(begins, place):
            return f"This is {what}. {advice}"
    if head[4:8] in MP4_BOXES:
        return _of_mp4(video)
    for place, begins, name in BEGINNINGS:
        if head.startswith(begins, place):
            return f"This looks like {name}, but cannot be read: it is damaged or cut off. Send the whole file."
    return _of_raw(head) or _of_text(head) or f"This is no known kind of video file. {ACCEPTED}"


def _reading(video: Path | int) -> BinaryIO:
    """The file from its beginning. A descriptor stays open."""
    file = video.open("rb") if isinstance(video, Path) else os.fdopen(os.dup(video), "rb")
    file.seek(0)
    return file


def _of_mp4(video: Path | int) -> str:
    """By its boxes: an index that was to be written last is missing where the file was cut off."""
    place = 0
    with _reading(video) as file:
        size = os.fstat(file.fileno()).st_size
        while place + 8 <= size:
            file.seek(place)
            header = file.read(16)
            length, name = int.from_bytes(header[:4]), header[4:8]
            if name == b"moov":
                return "The index of this mp4 or mov is damaged. Repair the file, or send it again."
            length = int.from_bytes(header[8:16]) if length == 1 else length or size - place
            place += max(length, 8)
    return "The index of this mp4 or mov is missing: the file was cut off, or is still being written. Send the whole file."


def _of_raw(head: bytes) -> str | None:
    """A stream of a codec without a container."""
    found = START_CODE.match(head)
    if not found:
        return None
    first = found[1][0]
    name = "H.264" if first & 31 in H264_UNITS and not first & 0x80 else None
    if first >> 1 in HEVC_UNITS and head[found.end() : found.end() + 1] == b"\1":
        name = "H.265"
    if first in {0xB0, 0xB5, 0x20}:
        name = "MPEG-4"
    if name is None:
        return None
    return f"This is raw {name} without a container. Put it into one, for example with `ffmpeg -i FILE -c copy FILE.mp4`."


def _of_text(head: bytes) -> str | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    start = text[:512].lower()
    is_page = start.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script")) or b"<html" in start
    is_base64 = len(text) >= MIN_BASE64 and re.fullmatch(rb"[A-Za-z0-9+/=_\-\r\n]+", text) and not _is_one_letter(text)
    kinds = (
        (is_page, "This is a web page (HTML), not a video: perhaps that of a download or a login. Send the video itself."),
        (start.startswith(b"data:"), "This is a data: URL. Send the bytes that it stands for."),
        (is_base64, "This is base64 text. Send the bytes that it stands for."),
        (start.startswith((b"<?xml", b"<mpd")), "This is XML, not a video. Send the video itself."),
        (start.startswith(b"v=0") and b"m=" in text, "This is a session description (SDP), not a video. Send the video itself."),
        (all(byte >= 32 or byte in b"\t\r\n" for byte in text), f"This is text, not a video. {ACCEPTED}"),
    )
    return next((sentence for holds, sentence in kinds if holds), None)


def _is_one_letter(text: bytes) -> bool:
    return len(set(text.split(maxsplit=1)[0])) == 1
