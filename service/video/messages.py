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
HDR_TRANSFERS, WIDE_PRIMARIES = {"smpte2084", "arib-std-b67"}, {"bt2020", "smpte431", "smpte432"}  # PQ, HLG; BT.2020, P3
# FFmpeg's names of formats that are one file each. Playlists, scripts and image sequences, which open other files, are not
# among them. The audio formats are there so that the answer can say that such a file holds sound and no video.
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpegts,mpeg,mpegvideo,gif,asf,flv,mp3,wav,flac,ogg,aac"
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
    "corrupt_frames": "Parts of the file are missing or could not be decoded. The message names the clips that hold "
    "damaged frames.",
    "gap": "For a while no frame starts: a still scene of a screen recording, or nothing was recorded. The message names the "
    "clips that contain it.",
    "video_truncated": "The file ends before the duration it claims: it is probably cut off.",
    "header_frame_count_wrong": "The header claims another number of frames than the file holds.",
    "late_streams": "Other videos begin in the middle of the file, as in joined recordings. Only the first one was read.",
    "several_streams": "The file holds several videos side by side (lenses, programs). The message says which was read.",
    "size_changes": "The picture changes its size. Each frame was resized by itself.",
    "colors_not_converted": "The colours are HDR or of a wide gamut (HLG, PQ, BT.2020, P3). They were taken as they are, without "
    "tone mapping.",
    "color_matrix_ignored": "The colour matrix is one that cannot be converted here. The colours were taken as untagged.",
    "ten_bit_converted": "The video has more than 8 bits a channel. They were converted to 8, which libraries do differently.",
    "fewer_clips": "`max_clips` asked for more clips than the video gave.",
    "short_video_padded": "The video has fewer than 16 frames: the last one was repeated to fill a clip.",
    "tail_frames_dropped": "The last frames fill no clip; `tail=pad` keeps them.",
    "times_estimated": "The file has no timestamps that can be trusted (AVI with B-frames): times come from the average rate.",
    "variable_frame_rate": "Frames do not all last equally long; the network was trained on videos of a constant rate.",
    "fps_outside_training_range": "The network was trained on videos of about 25 to 30 frames/s; this one has another rate. "
    "`fps=30` resamples it.",
    "rotated": "The file asks for its picture to be turned or mirrored, and it was.",
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
    max_pixels: int = 4096 * 2304  # these two: see the settings
    max_video_s: float = 7200.0
    start_sec: float = 0.0  # these seven: see the request's options
    end_sec: float | None = None  # half-open: a frame that starts then is not read
    fps: float | None = None  # frames a second to resample to
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
    mirrored: bool  # left and right were swapped before turning
    fps: float | None
    color_matrix: str
    transfer: str
    primaries: str
    ten_bit: bool
    duration_sec: float | None  # these two as claimed: headers lie
    num_frames_header: int | None
    num_frames_in_range: int  # of the part asked for, counted in packets
    resampled_fps: float | None = None  # to which the frames were resampled
    num_streams: int = 1  # of video
    stream: int = 0  # which of them was read, counted from 0

    def warnings(self) -> Iterator[VideoWarning]:
        """What is odd, as far as it is known before the frames are read."""
        if self.rotation or self.mirrored:
            asked = ["to swap left and right"] if self.mirrored else []
            asked += [f"to turn the picture by {self.rotation} degrees counter-clockwise"] if self.rotation else []
            yield VideoWarning("rotated", f"The file asks {' and '.join(asked)}, and that was done.")
        if self.num_streams > 1:
            text = f"The file holds {self.num_streams} videos side by side. Number {self.stream}, counted from 0, was read."
            yield VideoWarning("several_streams", text)
        if self.transfer in HDR_TRANSFERS or self.primaries in WIDE_PRIMARIES:
            text = (
                f"The colours are HDR or of a wide gamut (transfer {self.transfer}, primaries {self.primaries}). They were taken "
                "as they are, without tone mapping; the network saw ordinary video."
            )
            yield VideoWarning("colors_not_converted", text)
        if self.ten_bit:
            text = "The video has more than 8 bits a channel. They were converted to 8, which libraries do differently."
            yield VideoWarning("ten_bit_converted", text)
        low, high = c3d.TRAINING_FPS[0] / FPS_TOLERANCE, c3d.TRAINING_FPS[1] * FPS_TOLERANCE
        if self.fps and not self.resampled_fps and not low <= self.fps <= high:
            text = f"The video has {self.fps:.4g} frames/s; the network was trained on about 25 to 30. fps=30 resamples it."
            yield VideoWarning("fps_outside_training_range", text)


class Demand(NamedTuple):
    """About how much memory decoding will take, said before it begins: large videos wait for each other."""

    memory_bytes: int


class Working(NamedTuple):
    """A sign of life from a reader that has nothing else to say yet."""


@dataclass(frozen=True)
class FrameBlock:
    """Frames that clips hold, in order. Those between them that no clip holds are left out.

    ``numbers`` int64 (n,): counted from 0 at the video's beginning. ``first_in_part``: the number of the first frame of the part
    asked for. ``frames`` uint8 (n, 112, 112, 3) BGR, resized and cropped. ``start_sec`` and ``end_sec`` float64 (n,): an end is
    the start of the video's next frame. ``damaged`` bool (n,): the frame did not decode as it should. ``before_gap`` bool (n,):
    the next frame starts much later than frames usually do. ``thumbnails``, if asked for: JPEGs of some of the frames, by their
    index in the block.
    """

    first_in_part: int
    numbers: NDArray[np.int64]
    frames: NDArray[np.uint8]
    start_sec: NDArray[np.float64]
    end_sec: NDArray[np.float64]
    damaged: NDArray[np.bool_]
    before_gap: NDArray[np.bool_]
    thumbnails: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class VideoEnd:
    """What was found out about the video."""

    num_frames: int  # that were decoded
    num_in_part: int  # frames of the part asked for
    end_sec: float  # of the last frame that is known
    whole: bool  # known to the file's end, not only as far as was asked for
    variable_frame_rate: bool
    times_estimated: bool
    num_lost_packets: int
    num_damaged_frames: int
    tells_losses: bool = True  # a lost packet would show, by pictures' numbers or by how long frames are said to last
    matrix_ignored: bool = False  # the colour matrix is one that libswscale has not
    sizes: list[list[int]] = field(default_factory=list)  # width and height of the frames, as far as decoded
    has_late_streams: bool = False
    num_missing: int = 0  # pictures that others are predicted from and that are not in the file
    num_in_file: int | None = None  # pictures, hidden ones as well; None where they were not counted to the end
    gaps: list[list[float]] = field(default_factory=list)  # [start of a frame, start of the next one], in seconds

    def warnings(self, info: VideoInfo, damaged_clips: Sequence[int], gap_clips: Sequence[int]) -> Iterator[VideoWarning]:
        """What is odd once all was read. The indices are of clips that hold damaged frames, and that reach over a gap."""
        if self.num_lost_packets or self.num_damaged_frames or self.num_missing:
            yield VideoWarning("corrupt_frames", f"{self._damage()} {_named(damaged_clips, 'They are in')}")
        if self.gaps:
            yield VideoWarning("gap", f"{self._gaps()} {_named(gap_clips, 'That is inside')}")
        yield from self._of_pictures(info)
        yield from self._of_times(info)
        if info.num_frames_header and self.num_in_file is not None and info.num_frames_header != self.num_in_file:
            text = f"The header claims {count(info.num_frames_header, 'frame')}; the file holds {self.num_in_file}."
            yield VideoWarning("header_frame_count_wrong", text)

    def _of_pictures(self, info: VideoInfo) -> Iterator[VideoWarning]:
        if self.matrix_ignored:
            text = f"The colour matrix {info.color_matrix} cannot be converted here; the colours were taken as untagged (BT.601)."
            yield VideoWarning("color_matrix_ignored", text)
        if len(self.sizes) > 1:
            sizes = ", ".join(f"{width}x{height}" for width, height in self.sizes[:MAX_CLIPS_NAMED])
            yield VideoWarning("size_changes", f"The picture changes its size: {sizes}. Each frame was resized by itself.")
        if self.has_late_streams:
            end = f", and ends at {self.end_sec:.2f} s" if self.whole else ""
            text = f"Other videos begin in the middle of the file. Only the first one was read{end}."
            yield VideoWarning("late_streams", text)

    def _of_times(self, info: VideoInfo) -> Iterator[VideoWarning]:
        if self.times_estimated:
            text = "Timestamps are missing or cannot be trusted; such times come from the average frame rate."
            yield VideoWarning("times_estimated", text)
        if self.variable_frame_rate and not info.resampled_fps:
            text = "Frames do not all last equally long; the network was trained on videos of a constant rate."
            yield VideoWarning("variable_frame_rate", text)
        if self.whole and info.duration_sec and self.end_sec < TRUNCATED_SHARE * info.duration_sec - 1 / c3d.TRAINING_FPS[0]:
            text = f"The file claims {info.duration_sec:.2f} s and ends after {self.end_sec:.2f} s: it is probably cut off."
            yield VideoWarning("video_truncated", text)

    def _gaps(self) -> str:
        gaps = ", ".join(f"{begin:.2f} and {end:.2f} s" for begin, end in self.gaps)
        why = "the picture stood still, or nothing was recorded"
        if self.num_lost_packets or self.num_missing:
            why = "frames are missing there"
        elif not self.tells_losses:
            why += ". If packets were lost there, the frames up to the next key frame are wrong"
        return f"No frame starts between {gaps}: {why}."

    def _damage(self) -> str:
        lost = [f"{count(self.num_lost_packets, 'packet')} could not be decoded"] if self.num_lost_packets else []
        missing = [f"packets are missing from the file in {count(self.num_missing, 'place')}"] if self.num_missing else []
        damaged = [f"{count(self.num_damaged_frames, 'frame')} came out damaged"] if self.num_damaged_frames else []
        return ", ".join([*lost, *missing, *damaged]) + "."


def _named(clips: Sequence[int], where: str) -> str:
    if not clips:
        return "No clip is affected."
    names = ", ".join(map(str, clips[:MAX_CLIPS_NAMED])) + (", ..." if len(clips) > MAX_CLIPS_NAMED else "")
    return f"{where} the {'clip' if len(clips) == 1 else 'clips'} {names}."


# What `frames.read_video` gives: one Demand, one VideoInfo, FrameBlocks, one VideoEnd; Working anywhere before the end.
Message = Demand | Working | VideoInfo | FrameBlock | VideoEnd
