"""A file becomes finished frames: only those that clips hold are decoded as far as possible, converted and handed on.

Decoding with PyAV tells what cv2.VideoCapture hides: errors, true times, damaged frames.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from model_store import c3d
from service.errors import UndecodableVideo
from service.video.clips import ClipPlan
from service.video.clock import PAUSE, Clock
from service.video.container import duration_sec, memory_of, moving_streams, name_of, opened, video_stream
from service.video.decoder import CannotSeek, Decoder
from service.video.messages import Demand, FrameBlock, Message, ReadOptions, VideoEnd, VideoInfo
from service.video.picture import COLOR_MATRICES, PRIMARIES, TRANSFERS, Orientation, PictureMaker, orientation_of
from service.video.ring import BLOCK_LENGTH
from service.video.thumbnails import with_thumbnails
from service.video.timeline import Numbering, PartLimit, Timeline, is_without_times, read_timeline, tick_of

SIGN_OF_LIFE = 64  # frames left out, after which an empty block says that the work goes on
MAX_REPEATED = c3d.CLIP_LENGTH  # frames that did not decode, in whose place their neighbour is repeated


def read_video(video: Path | int, options: ReadOptions | None = None) -> Generator[Message]:
    """Decode a file: first a Demand, then its VideoInfo, FrameBlocks as they are asked for, last its VideoEnd.

    ``video``: a path, or a descriptor that is open.
    It decodes from the key frame before each clip, no further than the clips asked for need, and holds one block at a time.
    Raises NoVideoStream where the file holds no video, UndecodableVideo where it is no video file or not one frame decodes,
    VideoTooLarge and VideoTooLong where it passes a limit of ``options``.
    """
    options = options or ReadOptions()
    messages = _read(video, options)
    yield from with_thumbnails(messages, options) if options.thumbnails else messages


def _read(video: Path | int, options: ReadOptions) -> Generator[Message]:
    with opened(video, options) as container:
        stream = video_stream(container, options)
        yield Demand(memory_of(stream))
        timeline = yield from read_timeline(container, stream, options)
    if timeline.is_exact:
        try:
            yield from _ByTimeline(video, timeline, options).messages()
        except NotAsPromised:
            pass
        else:
            return
    yield from _ByDecoding(video, timeline, options).messages()


class NotAsPromised(Exception):
    """The packets promised other frames than the decoder gives, and nothing was handed on yet."""


class _Frame(NamedTuple):
    """One frame that a clip holds. See FrameBlock."""

    number: int
    start_sec: float
    end_sec: float
    damaged: bool
    before_gap: bool
    picture: NDArray[np.uint8]


class _Reader:
    """What both ways of reading share: the blocks, the first and the last message."""

    def __init__(self, video: Path | int, timeline: Timeline, options: ReadOptions) -> None:
        self._video, self._timeline, self._options = video, timeline, options
        self._maker: PictureMaker | None = None
        self._block: list[_Frame] = []
        self._num_decoded = 0
        self._num_damaged = 0
        self._sizes: dict[tuple[int, int], None] = {}  # in order

    def _count(self, decoder: Decoder, container: InputContainer, frame: VideoFrame, num_in_part: int) -> Iterator[VideoInfo]:
        """One more frame that decodes. The first one says what the video is like."""
        self._num_decoded += 1
        self._sizes[frame.width, frame.height] = None
        if self._maker is None:
            orientation = orientation_of(frame)
            self._maker = PictureMaker(self._options, orientation)
            yield self._info(container, decoder.stream, frame, orientation, num_in_part)

    def _picture(self, frame: VideoFrame) -> NDArray[np.uint8]:
        assert self._maker is not None  # noqa: S101 (made at the first frame)
        return self._maker.make(frame)

    def _put(self, frames: list[_Frame], first_in_part: int) -> Iterator[FrameBlock]:
        """Blocks, as they become full; an empty one as a sign of life."""
        for frame in frames:
            self._block.append(frame)
            if len(self._block) == BLOCK_LENGTH:
                yield _block(self._block, first_in_part)
                self._block = []
        if not frames and self._num_decoded % SIGN_OF_LIFE == 0:
            yield _block([], first_in_part)

    def _rest(self, first_in_part: int) -> Iterator[FrameBlock]:
        if self._block:
            yield _block(self._block, first_in_part)
            self._block = []
        if not self._num_decoded:
            raise UndecodableVideo("No frame of this video can be decoded: it is damaged, encrypted or cut off.")

    def _oddities(self) -> dict[str, Any]:
        """The part of VideoEnd that both ways find in the same way."""
        return {
            "matrix_ignored": self._maker is not None and self._maker.has_unknown_matrix,
            "sizes": [list(size) for size in self._sizes],
            "has_late_streams": self._timeline.has_late_streams,
            "tells_losses": self._timeline.tells_losses,
        }

    def _info(
        self, container: InputContainer, stream: VideoStream, first: VideoFrame, orientation: Orientation, num_in_part: int
    ) -> VideoInfo:
        sideways, moving = orientation.rotation in {90, 270}, moving_streams(container)
        matrix = COLOR_MATRICES.get(int(first.colorspace), "unspecified")
        return VideoInfo(
            container=name_of(container),
            codec=stream.codec_context.codec.canonical_name,
            width=first.height if sideways else first.width,
            height=first.width if sideways else first.height,
            rotation=orientation.rotation,
            mirrored=orientation.mirrored,
            fps=self._timeline.rhythm.fps or (float(stream.average_rate) if stream.average_rate else None),
            color_matrix=matrix if self._options.honour_color_tags else "bt601 (tags ignored)",
            transfer=TRANSFERS.get(int(first.color_trc), "unspecified"),
            primaries=PRIMARIES.get(int(first.color_primaries), "unspecified"),
            ten_bit=any(component.bits > 8 for component in first.format.components),
            duration_sec=self._timeline.from_first_frame(duration_sec(container, stream), stream.start_time or 0),
            num_frames_header=stream.frames if stream.frames > 0 else None,
            num_frames_in_range=num_in_part,
            resampled_fps=self._options.fps,
            num_streams=len(moving),
            stream=moving.index(stream),
        )


class _ByTimeline(_Reader):
    """Reading by an exact timeline: frames are numbered and timed by it, and what no clip holds need not be decoded."""

    def messages(self) -> Iterator[Message]:
        """What `read_video` gives. Raises NotAsPromised."""
        self._numbers = Numbering(self._timeline, self._options)
        plan = ClipPlan.of(self._numbers.num_in_part, self._options)
        first, count = self._numbers.first_in_part, self._numbers.num_in_part
        ranges = (range(first + a, first + min(int(b), count)) for a, b in plan.wanted(is_exact=True))
        self._wanted = (number for each in ranges for number in each)
        self._next = next(self._wanted, None)
        self._last: _Frame | None = None
        asked = self._options
        # Where all is asked for, damage in the last frames, which fill no clip, shall be found as well.
        self._reads_on = asked.max_clips is None and asked.end_sec is None and asked.clip_stride <= c3d.CLIP_LENGTH
        try:
            decoder = yield from self._pass(may_seek=True)
        except CannotSeek:
            self._num_decoded = self._num_damaged = 0
            decoder = yield from self._pass(may_seek=False)
        yield from self._rest(first)
        yield self._end(decoder)

    def _pass(self, *, may_seek: bool) -> Generator[Message, None, Decoder]:
        """Decode until no frame is wanted any more."""
        first = self._numbers.first_in_part
        with opened(self._video, self._options) as container:
            decoder = Decoder(container, video_stream(container, self._options), self._timeline)
            self._aim(decoder, may_seek=may_seek)
            for decoded in decoder.frames():
                yield from self._count(decoder, container, decoded, self._numbers.num_in_part)
                if self._next is not None:
                    frames = self._frames(decoded, decoder)
                    yield from self._put(frames, first)
                if self._next is None and not self._reads_on:
                    break
                self._aim(decoder, may_seek=may_seek)
            return decoder

    def _aim(self, decoder: Decoder, *, may_seek: bool) -> None:
        """Leave out what need not be decoded for the next frame that is wanted."""
        if may_seek and self._next is not None:
            decoder.target = max(decoder.target, self._timeline.key_for(self._numbers.frame_at(self._next)).position)

    def _frames(self, decoded: VideoFrame, decoder: Decoder) -> list[_Frame]:
        """The wanted frames that are this picture, after those before it that did not come."""
        frame = self._timeline.frame_of(decoded.pts)
        if frame is None:
            self._check_promise(decoder)
            return []
        numbers = self._numbers.numbers_of(frame)
        position = int(self._timeline.positions[frame])
        damaged = bool(decoded.is_corrupt) or any(begin <= position < end for begin, end in decoder.spoilt)
        self._num_damaged += damaged
        missing = self._take_before(numbers.start)
        if missing:
            self._check_promise(decoder)
        taken = self._take_before(numbers.stop)
        frames = self._repeated(missing)
        if taken:
            picture = self._picture(decoded)
            if len(missing) > len(frames) and len(missing) <= MAX_REPEATED:  # the first ones of a clip
                frames = [self._frame(number, picture, damaged=True) for number in missing]
            frames += [self._frame(number, picture, damaged=damaged) for number in taken]
        if frames:
            self._last = frames[-1]
        return frames

    def _take_before(self, number: int) -> list[int]:
        """The next numbers that are wanted, below this one."""
        taken = []
        while self._next is not None and self._next < number:
            taken.append(self._next)
            self._next = next(self._wanted, None)
        return taken

    def _repeated(self, missing: list[int]) -> list[_Frame]:
        """In place of frames that did not come, the one before them, if there are few of them."""
        last = self._last
        if not missing or len(missing) > MAX_REPEATED or last is None or last.number + 1 != missing[0]:
            return []
        return [self._frame(number, last.picture, damaged=True) for number in missing]

    def _check_promise(self, decoder: Decoder) -> None:
        """Raises NotAsPromised where nothing is damaged and frames are others than the packets promised."""
        if self._last is None and not decoder.num_lost and not decoder.spoilt:
            raise NotAsPromised

    def _frame(self, number: int, picture: NDArray[np.uint8], *, damaged: bool) -> _Frame:
        start, end = self._numbers.start_sec(number), self._numbers.end_sec(number)
        rhythm = self._timeline.rhythm
        gap = bool(rhythm.fps and not rhythm.is_variable and end - start > PAUSE / rhythm.fps)
        return _Frame(number, start, end, damaged, gap, picture)

    def _end(self, decoder: Decoder) -> VideoEnd:
        timeline = self._timeline
        return VideoEnd(
            num_frames=self._num_decoded,
            num_in_part=self._numbers.num_in_part,
            end_sec=timeline.end_sec(len(timeline.pts) - 1),
            whole=timeline.is_whole,
            variable_frame_rate=timeline.rhythm.is_variable and not (decoder.num_lost or timeline.losses),
            times_estimated=False,
            num_lost_packets=decoder.num_lost,
            num_damaged_frames=self._num_damaged,
            num_missing=len(timeline.losses),
            **self._oddities(),
            num_in_file=timeline.num_pictures if timeline.is_whole else None,
            gaps=timeline.rhythm.gaps,
        )


class _ByDecoding(_Reader):
    """Reading from the beginning: frames are numbered as they come out, and timed by a clock."""

    def messages(self) -> Iterator[Message]:
        """What `read_video` gives."""
        options = self._options
        self._rate = Fraction(str(options.fps)) if options.fps else None
        self._first_in_part: int | None = None
        self._num_in_part = 0
        with opened(self._video, options) as container:
            stream = video_stream(container, options)
            rate = stream.average_rate or stream.guessed_rate or Fraction(c3d.TRAINING_FPS[0])
            starts = self._timeline.stamp_starts_sec()
            by_index = is_without_times(container, stream) or bool(starts)
            self._clock = Clock(rate, by_index=by_index, tick_sec=float(stream.time_base or 0), starts_sec=starts)
            count = self._timeline.num_in_part
            plan = ClipPlan.of(round(count * self._rate / rate) if self._rate else count, options)
            self._wanted = plan.wanted(is_exact=False)
            self._range: tuple[int, float] | None = next(self._wanted)
            decoder = Decoder(container, stream, self._timeline)
            whole = yield from self._decode(container, decoder, plan.num_frames)
        yield from self._rest(self._first_in_part or 0)
        yield self._end(decoder, plan, whole=whole)

    def _decode(self, container: InputContainer, decoder: Decoder, num_in_part: int) -> Generator[Message, None, bool]:
        """Returns whether the file's end was reached."""
        limit = PartLimit(self._options)
        first_pts: int | None = None
        last: tuple[int, VideoFrame, float, bool] | None = None
        num_lost, is_spoilt = 0, False
        for decoded in decoder.frames():
            yield from self._count(decoder, container, decoded, num_in_part)
            pts = decoded.pts
            if container.format.name == "avi" and pts is not None:  # an encoder's delay, of which its header knows nothing
                first_pts = pts if first_pts is None else first_pts
                pts -= first_pts - (decoder.stream.start_time or 0)
            start = self._clock.start_of(_seconds(decoder.stream, pts), _lasts(decoded))
            if last:
                yield from self._emit(*last, end=start)
            if self._range is None or (self._options.end_sec is not None and start >= self._options.end_sec):
                return False
            if start >= self._options.start_sec:
                limit.add(start, self._clock.end_sec - start)
            is_spoilt = decoder.num_lost > num_lost or (is_spoilt and not decoded.key_frame)  # others are predicted from it
            num_lost = decoder.num_lost
            damaged = bool(decoded.is_corrupt) or is_spoilt
            self._num_damaged += damaged
            last = (self._num_decoded - 1, decoded, start, damaged)
        if last:
            yield from self._emit(*last, end=self._clock.end_sec)
        return True

    def _emit(self, number: int, decoded: VideoFrame, start: float, damaged: bool, end: float) -> Iterator[FrameBlock]:  # noqa: FBT001
        """One frame whose end is known, under its number, or at another rate under those of the ticks that it is shown at."""
        rate = self._rate
        numbers = range(tick_of(Fraction(start), rate), tick_of(Fraction(end), rate)) if rate else range(number, number + 1)
        frames: list[_Frame] = []
        picture = None
        for each in numbers:
            begin, until = (float(each / rate), float((each + 1) / rate)) if rate else (start, end)
            if begin < self._options.start_sec or (self._options.end_sec is not None and begin >= self._options.end_sec):
                continue
            self._first_in_part = each if self._first_in_part is None else self._first_in_part
            self._num_in_part += 1
            if self._is_wanted(each - self._first_in_part):
                picture = self._picture(decoded) if picture is None else picture
                gap = not rate and self._clock.is_gap(start, end)
                frames.append(_Frame(each, begin, until, damaged, gap, picture))
        yield from self._put(frames, self._first_in_part or 0)

    def _is_wanted(self, index: int) -> bool:
        """Whether a clip holds the frame at this place in the part. Asked in order."""
        while self._range is not None and index >= self._range[1]:
            self._range = next(self._wanted, None)
        return self._range is not None and index >= self._range[0]

    def _end(self, decoder: Decoder, plan: ClipPlan, *, whole: bool) -> VideoEnd:
        clock, timeline = self._clock, self._timeline
        rhythm = clock.rhythm()
        is_lossy = bool(decoder.num_lost or timeline.losses)  # what is lost leaves gaps, large and small
        return VideoEnd(
            num_frames=self._num_decoded,
            num_in_part=self._num_in_part if whole or plan.max_clips is None else max(self._num_in_part, plan.num_frames),
            end_sec=clock.end_sec if whole else clock.last_sec,
            whole=whole,
            variable_frame_rate=rhythm.is_variable and not is_lossy,
            times_estimated=clock.estimated,
            num_lost_packets=decoder.num_lost,
            num_damaged_frames=self._num_damaged,
            num_missing=len(timeline.losses),
            **self._oddities(),
            num_in_file=timeline.num_pictures if timeline.is_whole else None,
            gaps=rhythm.gaps,
        )


def _block(frames: list[_Frame], first_in_part: int) -> FrameBlock:
    pictures = [frame.picture for frame in frames]
    return FrameBlock(
        first_in_part=first_in_part,
        numbers=np.array([frame.number for frame in frames], np.int64),
        frames=np.stack(pictures) if pictures else np.empty((0, *c3d.CLIP_SHAPE[1:]), np.uint8),
        start_sec=np.array([frame.start_sec for frame in frames], np.float64),
        end_sec=np.array([frame.end_sec for frame in frames], np.float64),
        damaged=np.array([frame.damaged for frame in frames], np.bool_),
        before_gap=np.array([frame.before_gap for frame in frames], np.bool_),
    )


def _seconds(stream: VideoStream, pts: int | None) -> float | None:
    """A timestamp in seconds from the stream's start; None where there is none."""
    return None if pts is None or stream.time_base is None else float((pts - (stream.start_time or 0)) * stream.time_base)


def _lasts(frame: VideoFrame) -> float | None:
    return float(frame.duration * frame.time_base) if frame.duration and frame.time_base else None
