"""What is asked of a video's reader, what comes out of it, and what is odd about the video. Plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_store import c3d

if TYPE_CHECKING:
    from model_store.card import Card
    from model_store.preprocessing import LongSide

FPS_TOLERANCE = 1.2  # how far outside the range of the training videos a rate may lie before the answer says so
TRUNCATED_SHARE = 0.95  # of the duration that the header claims; a file that ends before it is called cut off
MAX_CLIPS_NAMED = 20  # in a warning; each clip's entry says it too
# FFmpeg's names of formats that are one file each. Playlists, scripts and image sequences, which open other files, are not
# among them. The audio formats are there to be told apart from rubbish: they hold no video, and the answer can say so.
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpegts,mpeg,mpegvideo,gif,mp3,wav,flac,ogg,aac"
CODECS = (
    "h264,hevc,av1,libdav1d,vp8,vp9,mpeg4,msmpeg4v1,msmpeg4v2,msmpeg4v3,mpeg2video,mpeg1video,mjpeg,prores,gif,h263,h263p,"
    "flv1,wmv1,wmv2,wmv3,vc1,theora,dvvideo,ffv1,huffyuv,rawvideo,png"
)


Tail = Literal["drop", "pad"]


def count(number: int, what: str) -> str:
    """`1 frame`, `2 frames`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


class VideoWarning(NamedTuple):
    """One entry of an answer's ``warnings``: a stable code and a sentence. docs/http-api.md lists them."""

    code: str
    message: str


# What each code means; docs/http-api.md has this table. A test holds it to the warnings that the code makes.
WARNINGS = {
    "stand_in_weights": "The weights are random numbers: labels and vectors mean nothing.",
    "corrupt_frames": "Parts of the file could not be decoded; the answer comes from the rest. The message names the clips that "
    "hold damaged frames.",
    "video_truncated": "The file ends before the duration it claims: it is probably cut off.",
    "header_frame_count_wrong": "The file claims another number of frames than were decoded.",
    "ten_bit_converted": "The video has more than 8 bits a channel. They were converted to 8, which libraries do differently.",
    "fewer_clips": "`max_clips` asked for more clips than the video gave.",
    "short_video_padded": "The video has fewer than 16 frames: the last one was repeated to fill a clip.",
    "tail_frames_dropped": "The last frames fill no clip; `tail=pad` keeps them.",
    "times_estimated": "The file has no timestamps that can be trusted (AVI with B-frames): times come from the average rate.",
    "variable_frame_rate": "Frames do not all last equally long; the network was trained on videos of a constant rate.",
    "fps_outside_training_range": "The network was trained on videos of about 25 to 30 frames/s; this one has another rate.",
    "rotated": "The file asks for its picture to be turned, and it was.",
}


@dataclass(frozen=True)
class ReadOptions:
    """How a file is read, and which part of it: what the model's card, the settings and the request say about that."""

    keep_aspect: bool = False  # these seven: see the model's card
    frame_rows: int = c3d.FRAME_SIZE[0]
    frame_columns: int = c3d.FRAME_SIZE[1]
    crop_top: int = c3d.CROP_TOP
    crop_left: int = c3d.CROP_LEFT
    long_side: LongSide = "rounded"
    honour_color_tags: bool = True
    max_pixels: int = 4096 * 2304  # these three: see the settings
    max_video_s: float = 7200.0
    max_fps: float = 240.0
    start_sec: float = 0.0  # these six: see the request's options
    end_sec: float | None = None  # half-open: a frame that starts then is not read
    clip_stride: int = c3d.CLIP_STRIDE
    tail: Tail = "drop"
    max_clips: int | None = None
    thumbnails: bool = False
    containers: str = CONTAINERS
    codecs: str = CODECS

    @classmethod
    def of(cls, card: Card) -> ReadOptions:
        """As the model's network was taught to see frames."""
        return cls(
            keep_aspect=card.keep_aspect,
            frame_rows=card.frame_rows,
            frame_columns=card.frame_columns,
            crop_top=card.crop_top,
            crop_left=card.crop_left,
            long_side=card.long_side,
            honour_color_tags=card.color_tags == "honour",
        )

    def framing(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Rows and columns that a picture is resized to, and the row and column where the crop of 112x112 begins."""
        if not self.keep_aspect:
            return self.frame_rows, self.frame_columns, self.crop_top, self.crop_left
        scale = self.frame_rows / min(height, width)
        long = int(max(height, width) * scale + (0.5 if self.long_side == "rounded" else 1))
        rows, columns = (self.frame_rows, long) if width > height else (long, self.frame_rows)
        return rows, columns, (rows - c3d.CROP_SIZE) // 2, (columns - c3d.CROP_SIZE) // 2


@dataclass(frozen=True)
class VideoInfo:
    """What the container and the first frame say. Sizes in pixels, after the picture was turned by ``rotation`` degrees."""

    container: str
    codec: str
    width: int
    height: int
    rotation: int
    fps: float | None
    color_matrix: str
    ten_bit: bool
    duration_sec: float | None  # these two as claimed: headers lie
    num_frames_header: int | None
    num_frames_in_range: int  # of the part asked for, counted in packets

    def warnings(self) -> Iterator[VideoWarning]:
        """What is odd, as far as it is known before the frames are read."""
        if self.rotation:
            yield VideoWarning(
                "rotated", f"The file asks for its picture to be turned by {self.rotation} degrees counter-clockwise, and it was."
            )
        if self.ten_bit:
            text = "The video has more than 8 bits a channel. They were converted to 8, which libraries do differently."
            yield VideoWarning("ten_bit_converted", text)
        low, high = c3d.TRAINING_FPS[0] / FPS_TOLERANCE, c3d.TRAINING_FPS[1] * FPS_TOLERANCE
        if self.fps and not low <= self.fps <= high:
            yield VideoWarning(
                "fps_outside_training_range", f"The video has {self.fps:.4g} frames/s; the network was trained on about 25 to 30."
            )


@dataclass(frozen=True)
class FrameBlock:
    """Consecutive frames. ``first`` is the first one's number, counted from 0 at the video's beginning.

    ``frames`` uint8 (n, 112, 112, 3) BGR, resized and cropped. ``start_sec`` float64 (n,), rising. ``damaged`` bool (n,): the
    decoder marked the frame, or packets before it did not decode. ``thumbnails``, if asked for: JPEGs of some of the frames, by
    their index in the block.
    """

    first: int
    frames: NDArray[np.uint8]
    start_sec: NDArray[np.float64]
    damaged: NDArray[np.bool_]
    thumbnails: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class VideoEnd:
    """What decoding found. Counts are of everything that was read, not only of the part asked for."""

    num_frames: int
    end_sec: float  # the last frame's start plus its duration; where reading stopped early, the start of the frame after
    whole: bool  # read to the file's end, not only as far as was asked for
    variable_frame_rate: bool
    times_estimated: bool
    num_lost_packets: int
    num_damaged_frames: int
    holes: list[list[float]] = field(default_factory=list)  # [start of one frame, start of the next], seconds: some are missing

    def warnings(self, info: VideoInfo, damaged_clips: Sequence[int]) -> Iterator[VideoWarning]:
        """What is odd once all was read. ``damaged_clips``: the indices of the clips that hold damaged frames."""
        if self.num_lost_packets or self.num_damaged_frames or self.holes:
            clips = ", ".join(map(str, damaged_clips[:MAX_CLIPS_NAMED])) + (
                ", ..." if len(damaged_clips) > MAX_CLIPS_NAMED else ""
            )
            lost, damaged = count(self.num_lost_packets, "packet"), count(self.num_damaged_frames, "frame")
            text = f"{lost} could not be decoded, {damaged} came out damaged. "
            text += "".join(f"Frames are missing between {begin:.2f} and {end:.2f} s. " for begin, end in self.holes)
            yield VideoWarning(
                "corrupt_frames", text + (f"They are in the clips {clips}." if damaged_clips else "No clip holds them.")
            )
        if self.times_estimated:
            text = "Timestamps are missing or cannot be trusted; such times come from the average frame rate."
            yield VideoWarning("times_estimated", text)
        if self.variable_frame_rate:
            text = "Frames do not all last equally long; the network was trained on videos of a constant rate."
            yield VideoWarning("variable_frame_rate", text)
        if self.whole and info.duration_sec and self.end_sec < TRUNCATED_SHARE * info.duration_sec - 1 / c3d.TRAINING_FPS[0]:
            text = f"The file claims {info.duration_sec:.2f} s and ends after {self.end_sec:.2f} s: it is probably cut off."
            yield VideoWarning("video_truncated", text)
        if self.whole and info.num_frames_header and info.num_frames_header != self.num_frames:
            text = f"The header claims {count(info.num_frames_header, 'frame')}; {self.num_frames} could be decoded."
            yield VideoWarning("header_frame_count_wrong", text)


Message = VideoInfo | FrameBlock | VideoEnd  # what `frames.read_video` gives: one VideoInfo, FrameBlocks, one VideoEnd
