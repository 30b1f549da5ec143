"""Which frames will be shown, and when: found out from the packets, before anything is decoded.

The plan of clips is made from it, the numbers and times of frames come from it, and it says from which key frame a part can be
decoded. Where a file has no timestamps to trust, it only estimates how many frames there are.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Generator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from model_store import c3d
from service.errors import VideoTooLong
from service.video import headers
from service.video.clock import Rhythm, rhythm_of
from service.video.container import complained_of, has_late_streams, packets
from service.video.messages import ReadOptions, Working

SIGN_OF_LIFE_S = 1.0  # of a long file on a slow disk
Integers = NDArray[np.int64]
MAX_REORDERED = 32  # packets by which a frame may come later in the file than in time: twice what H.264 and HEVC allow
REORDERED_SEC = 2.0  # and seconds
MAX_FPS = 240.0  # the fastest of usual cameras; a file that claims more makes work out of nothing
FPS_GRACE = 1000  # frames before the limit on frames per second acts, so that a short burst is no offence
FPS_TOLERANCE = 1.05  # cameras of 240 frames/s write files of 240.1 and more
GAP = 1.5  # frames' time from one frame to the next, from which on one is missing where the demuxer met with nonsense
MAX_STEP_SEC = 10.0  # of the time between two frames that counts as length: a longer one is a pause, or a clock that jumps


JOINT = 2  # packets: the last one of a recording, or the one before it, which FFmpeg's parser hands on later than it came


class Key(NamedTuple):
    """A packet with which decoding can begin."""

    position: int
    pts: int | None


@dataclass(frozen=True)
class Timeline:
    """The frames that are shown, in order of time. Positions count the stream's packets from 0, in order of decoding.

    ``pts`` int64 (n,), rising, in units of ``time_base`` seconds. ``positions`` int64 (n,): of the packets that the frames come
    from. ``stamps`` int64 (n,): the frames' timestamps, rising, also where it is not known which frame each belongs to; empty
    where they do not serve. ``last_duration``: of the last frame, as its packet claims; 0 where it does not. ``losses``:
    positions before which a picture is missing that others are predicted from. ``is_exact``: it is known which frame each
    timestamp belongs to; else pts and positions are empty, there may be more or fewer frames, and decoding begins at the file's
    beginning.
    """

    pts: Integers
    positions: Integers
    stamps: Integers
    last_duration: int
    keys: list[Key]
    losses: list[int]
    time_base: Fraction
    is_exact: bool
    is_whole: bool  # the packets were read to the file's end
    num_packets: int
    num_pictures: int  # as headers count them
    num_hidden: int  # packets that are decoded and not shown
    has_late_streams: bool
    tells_losses: bool  # a lost packet would show
    num_in_part: int  # frames of the part asked for, estimated
    rhythm: Rhythm

    def start_sec(self, frame: int) -> float:
        """When a frame is shown, in seconds from the first one."""
        return float(int(self.pts[frame] - self.pts[0]) * self.time_base)

    def end_sec(self, frame: int) -> float:
        """When the next frame is shown, or the last one ends."""
        if frame + 1 < len(self.pts):
            return self.start_sec(frame + 1)
        frame_sec = 1 / (self.rhythm.fps or c3d.TRAINING_FPS[0])
        return self.start_sec(frame) + (float(self.last_duration * self.time_base) or frame_sec)

    def stamp_starts_sec(self) -> list[float]:
        """When frames are shown, in seconds from the first one, where that is known and not which frame it is."""
        ticks = [] if self.is_exact else (self.stamps - self.stamps[:1]).tolist()
        return [float(each * self.time_base) for each in ticks]

    def from_first_frame(self, claimed_sec: float | None, start_pts: int) -> float | None:
        """A duration that counts from ``start_pts``, from where the first frame is shown: packets before it may not decode."""
        if claimed_sec is None or not len(self.stamps):
            return claimed_sec
        return claimed_sec - max(0.0, float(int(self.stamps[0] - start_pts) * self.time_base))

    def frame_of(self, pts: int | None) -> int | None:
        """The frame with this timestamp; None where no frame has it."""
        frame = len(self.pts) if pts is None else int(np.searchsorted(self.pts, pts))
        return frame if frame < len(self.pts) and self.pts[frame] == pts else None

    def key_for(self, frame: int) -> Key:
        """The last packet from which decoding gives this frame and all later ones."""
        pts = int(self.pts[frame])
        for place in range(bisect_right(self._key_positions, self._needed_from[frame]) - 1, -1, -1):
            key = self.keys[place]
            if key.pts is not None and key.pts <= pts:
                return key
        return Key(0, None)

    def key_after(self, position: int) -> int:
        """The position of the next key packet, or of the end."""
        place = bisect_right(self._key_positions, position)
        return self.keys[place].position if place < len(self.keys) else self.num_packets

    @cached_property
    def reorder_depth(self) -> int:
        """How many frames the decoder has to hold back, so that all come out in order."""
        if not self.is_exact:
            return 0
        decoding_order = np.argsort(np.argsort(self.positions))
        return int((decoding_order - np.arange(len(decoding_order))).max())

    @cached_property
    def _key_positions(self) -> list[int]:
        return [key.position for key in self.keys]

    @cached_property
    def _needed_from(self) -> Integers:
        """For each frame the first packet that it or a later frame comes from, int64 (n,)."""
        return np.minimum.accumulate(self.positions[::-1])[::-1]


class Numbering:
    """The numbers under which an exact timeline's frames are handed on, and their times.

    A frame's number is its place in the order of time. With ``options.fps``, numbers count ticks of 1 / fps seconds: a frame
    takes over at the tick nearest to its start, and stays until the next one does.
    """

    def __init__(self, timeline: Timeline, options: ReadOptions) -> None:
        self._timeline = timeline
        self.rate = Fraction(str(options.fps)) if options.fps else None
        count = len(timeline.pts)
        if self.rate:
            ticks = [tick_of(each * timeline.time_base, self.rate) for each in (timeline.pts - timeline.pts[0]).tolist()]
            end = Fraction(timeline.end_sec(count - 1)).limit_denominator(1_000_000)
            self._begins = np.array([*ticks, max(tick_of(end, self.rate), 1)])
        else:
            self._begins = np.arange(count + 1)
        self.first_in_part = self._number_from(options.start_sec)
        end_number = int(self._begins[-1]) if options.end_sec is None else self._number_from(options.end_sec)
        self.num_in_part = max(0, end_number - self.first_in_part)

    def numbers_of(self, frame: int) -> range:
        """Under which a frame is handed on: one, but for another rate."""
        return range(int(self._begins[frame]), int(self._begins[frame + 1]))

    def frame_at(self, number: int) -> int:
        """The frame that is shown then."""
        return int(np.searchsorted(self._begins, number, side="right")) - 1

    def start_sec(self, number: int) -> float:
        """When the frame with this number starts."""
        return float(number / self.rate) if self.rate else self._timeline.start_sec(number)

    def end_sec(self, number: int) -> float:
        """When the one after it starts."""
        return float((number + 1) / self.rate) if self.rate else self._timeline.end_sec(number)

    def _number_from(self, start_sec: float) -> int:
        """The first number that does not start before this."""
        if self.rate:
            return min(int(self._begins[-1]), math.ceil(Fraction(str(start_sec)) * self.rate))
        starts = self._timeline.pts - self._timeline.pts[0]
        place = int(np.searchsorted(starts * float(self._timeline.time_base), start_sec)) - 1
        place = max(0, place)
        while place < len(starts) and self._timeline.start_sec(place) < start_sec:  # exactly, where floats were rounded
            place += 1
        return place


def tick_of(start_sec: Fraction, rate: Fraction) -> int:
    """The tick of 1 / rate seconds that is nearest."""
    return math.floor(start_sec * rate + Fraction(1, 2))


def read_timeline(container: InputContainer, stream: VideoStream, options: ReadOptions) -> Generator[Working, None, Timeline]:
    """Read the packets as far as the part asked for needs it, with a sign of life each second.

    Raises VideoTooLong, before the network has run a clip.
    """
    pass_ = _Pass(container, stream, options)
    is_whole = yield from pass_.run()
    return pass_.timeline(is_whole=is_whole)


class PartLimit:
    """How long the part asked for is, frame by frame."""

    def __init__(self, options: ReadOptions) -> None:
        self._options = options
        self._length_sec, self._latest, self._count = 0.0, -math.inf, 0

    def add(self, start_sec: float, frame_sec: float) -> None:
        """One more frame. Raises VideoTooLong."""
        step = start_sec - self._latest
        self._length_sec += min(max(step, 0.0), MAX_STEP_SEC) if self._count else 0.0
        self._latest, self._count = max(self._latest, start_sec), self._count + 1
        most_s = self._options.max_video_s
        if self._length_sec > most_s:
            raise VideoTooLong(f"The part asked for is longer than {most_s:g} s. Ask for a shorter part of the video.")
        if self._count > FPS_GRACE and self._count > FPS_TOLERANCE * MAX_FPS * (self._length_sec + frame_sec):
            text = f"The video has more than {MAX_FPS:g} frames/s over {self._count} frames."
            raise VideoTooLong(f"{text} Convert it to fewer frames per second.")


@dataclass
class _Pass:
    """One pass over the packets."""

    container: InputContainer
    stream: VideoStream
    options: ReadOptions
    pts: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    stamps: list[int | None] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    losses: list[int] = field(default_factory=list)
    incomplete: list[int] = field(default_factory=list)
    num_packets: int = 0
    num_hidden: int = 0
    num_between: int = 0
    num_in_part: int = 0
    last: tuple[int, int] = (0, 0)  # the latest pts, and that frame's duration
    is_exact: bool = True

    def run(self) -> Generator[Working, None, bool]:
        """Read the packets. Returns whether the file ended."""
        said = time.monotonic()
        context = self.stream.codec_context
        read_header = headers.reader(context.codec.canonical_name, context.extradata)
        limit = PartLimit(self.options)
        self.is_exact = not is_without_times(self.container, self.stream)
        frame_sec = 1 / float(self.stream.average_rate or c3d.TRAINING_FPS[0])
        past_the_part = 0
        for packet, complaints in complained_of(packets(self.container, self.stream)):
            if packet is None:
                break
            if time.monotonic() > said + SIGN_OF_LIFE_S:
                said = time.monotonic()
                yield Working()
            header = read_header(memoryview(packet))
            is_shown = self._is_shown(packet, header)
            if packet.is_corrupt:  # a transport stream counts its packets, and some are missing inside of this one
                self.incomplete.append(self.num_packets)
            if header.lost_before or (complaints and self._leaves_gap(packet, frame_sec)):
                self.losses.append(self.num_packets)
            self.num_packets += 1
            if not is_shown:
                continue
            self.num_between += header.between
            start = self._add(packet, frame_sec)
            if self.options.end_sec is not None and start >= self.options.end_sec:
                past_the_part += 1
                if past_the_part > MAX_REORDERED and start >= self.options.end_sec + REORDERED_SEC:
                    return False
            elif start >= self.options.start_sec:
                past_the_part = 0
                limit.add(start, frame_sec)
                self.num_in_part += 1
        return True

    def _is_shown(self, packet: Packet[VideoStream], header: headers.PacketHeader) -> bool:
        if packet.is_keyframe:
            self.keys.append(Key(self.num_packets, packet.pts))
        if packet.is_discard or not header.shown:  # an edit list hides it, or its codec does
            self.num_hidden += 1
            return False
        if not self.keys:  # before the first picture that is whole
            return False
        first = self.keys[0].pts
        is_before = packet.pts is not None and first is not None and packet.pts < first
        return not (is_before and header.leading and len(self.keys) == 1)

    def _leaves_gap(self, packet: Packet[VideoStream], frame_sec: float) -> bool:
        if packet.pts is None or not self.pts or self.stream.time_base is None:
            return False
        return float((packet.pts - self.last[0]) * self.stream.time_base) > GAP * frame_sec

    def _add(self, packet: Packet[VideoStream], frame_sec: float) -> float:
        """Returns when the frame seems to start, in seconds."""
        pts, time_base = packet.pts, self.stream.time_base
        self.positions.append(self.num_packets - 1)
        # An AVI's is the number of its chunk; what FFmpeg makes of it with B-frames is a guess.
        self.stamps.append(packet.dts if pts is None or self.container.format.name == "avi" else pts)
        if not self.is_exact or pts is None or time_base is None:
            self.is_exact = False
            return (len(self.positions) - 1) * frame_sec
        if self.pts and (self.last[0] - pts) * time_base > REORDERED_SEC and len(self.pts) > MAX_REORDERED:
            late = sorted(self.pts[-MAX_REORDERED:])
            self.is_exact = self.is_exact and pts >= late[0]  # else the clock was set back
        self.pts.append(pts)
        self.last = max(self.last, (pts, packet.duration or 0)) if len(self.pts) > 1 else (pts, packet.duration or 0)
        return float((pts - (self.stream.start_time or 0)) * time_base)

    def _tells_losses(self) -> bool:
        """H.264 numbers its reference pictures, HEVC names them, and an mp4 says how long each frame lasts."""
        return self.stream.codec_context.codec.canonical_name in {"h264", "hevc"} or self.container.format.name.startswith("mov")

    def _is_without_order(self, pts: Integers) -> bool:
        """Whether B-frames have timestamps that do not say so: those of an AVI that was copied into another container."""
        return bool(self.num_between and (np.diff(pts) > 0).all())

    def _incomplete(self) -> list[int]:
        """The packets that lack something. Before a key frame it may just be the joint of two recordings, and nothing is lost."""
        ends = [*(key.position for key in self.keys), self.num_packets]
        joints = {end - distance for end in ends for distance in range(1, JOINT + 1)}
        return [position for position in self.incomplete if position not in joints]

    def _rising(self) -> Integers:
        """The timestamps, where they are those of an order: each frame has one, whichever it is."""
        if None in self.stamps:
            return np.empty(0, np.int64)
        stamps = np.array(self.stamps, np.int64)
        return stamps if (np.diff(stamps) > 0).all() else np.empty(0, np.int64)

    def _num_pictures(self) -> int:
        """An AVI counts empty chunks as well, for frames that are shown longer. Packets do not show them, but count them in their
        numbers.
        """
        last = self.stamps[-1] if self.stamps and self.container.format.name == "avi" else None
        claimed = self.stream.frames
        return claimed if last is not None and self.num_packets < claimed <= last + 1 else self.num_packets

    def timeline(self, *, is_whole: bool) -> Timeline:
        """What was found."""
        pts, positions = np.array(self.pts, np.int64), np.array(self.positions, np.int64)
        is_exact = self.is_exact and len(pts) > 0 and len(np.unique(pts)) == len(pts) and not self._is_without_order(pts)
        order = np.argsort(pts) if is_exact else np.empty(0, np.int64)
        pts, positions = pts[order], positions[order]
        time_base = self.stream.time_base or Fraction(1, 1000)
        starts = ((pts - pts[:1]) * float(time_base)).astype(np.float64)
        rates = [rate for rate in (self.stream.average_rate, self.stream.guessed_rate) if rate]
        return Timeline(
            pts=pts,
            positions=positions,
            stamps=pts if is_exact else self._rising(),
            last_duration=self.last[1],
            keys=self.keys,
            losses=sorted({*self.losses, *self._incomplete()}),
            time_base=time_base,
            is_exact=is_exact,
            is_whole=is_whole,
            num_packets=self.num_packets,
            num_pictures=self._num_pictures(),
            num_hidden=self.num_hidden,
            has_late_streams=has_late_streams(self.container),
            tells_losses=self._tells_losses(),
            num_in_part=self.num_in_part,
            rhythm=rhythm_of(starts, float(time_base), rates),
        )


def is_without_times(container: InputContainer, stream: VideoStream) -> bool:
    """Whether timestamps mean nothing: an AVI counts packets, which B-frames put out of order."""
    return container.format.name == "avi" and bool(stream.codec_context.has_b_frames)
