"""Packets become frames, from any key frame on. What does not decode is counted, and the next packets are tried."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from service.video.container import packets, require_room
from service.video.timeline import Timeline


class CannotSeek(Exception):
    """Decoding from a key frame did not begin with its picture, or something did not decode that may have from the beginning."""


MAX_REORDER_DEPTH = 16  # pictures, of H.264 and HEVC


class Decoder:
    """One pass over a stream's packets."""

    def __init__(self, container: InputContainer, stream: VideoStream, timeline: Timeline) -> None:
        self._container, self.stream, self._timeline = container, stream, timeline
        self.num_lost = 0  # packets that did not decode
        self.spoilt: list[tuple[int, int]] = []  # positions of packets that are predicted from what is lost, half-open
        for position in timeline.losses:
            self._spoil(position)
        self.target = 0  # the position of the packet from which on frames are wanted
        self._from_pts: int | None = None  # of the key frame that decoding was moved to
        self._has_begun = True  # whether that frame has come out

    def frames(self) -> Iterator[VideoFrame]:
        """Each frame that decodes, from `target` on. Raises CannotSeek."""
        position = -1
        is_moved = True
        for packet in packets(self._container, self.stream):
            if packet is None:
                self.num_lost += 1
                break
            position += 1
            if position < self.target:
                is_moved = False
                continue
            if not is_moved:
                self.stream.codec_context.flush_buffers()
                self._from_pts, self._has_begun, is_moved = packet.pts, False, True
            yield from self._from_key(self._decoded(packet, position))
        yield from self._from_key(self._decoded(None, position + 1))
        if not self._has_begun:  # a recovery that takes longer than the file does (intra refresh)
            raise CannotSeek

    def _decoded(self, packet: Packet[VideoStream] | None, position: int) -> list[VideoFrame]:
        """What comes out when this packet goes in; None: the last ones."""
        self._hold_back()
        try:
            frames = self.stream.codec_context.decode(packet)
            is_lost = False
        except MemoryError:
            raise
        except av.FFmpegError:
            require_room(self.stream)
            frames, is_lost = [], True
        if is_lost and not (packet and self._leads(packet.pts)):
            if self._from_pts is not None:
                raise CannotSeek
            self.num_lost += 1
            self._spoil(position)
        return frames

    def _hold_back(self) -> None:
        """A decoder that finds out by itself how far frames are reordered loses some until it knows."""
        context = self.stream.codec_context
        if context.name == "h264":
            context.reorder_depth = max(context.reorder_depth, min(self._timeline.reorder_depth, MAX_REORDER_DEPTH))

    def _spoil(self, position: int) -> None:
        end = self._timeline.key_after(position)
        if not self.spoilt or self.spoilt[-1][1] != end:
            self.spoilt.append((position, end))

    def _leads(self, pts: int | None) -> bool:
        """Whether this comes before the key frame that decoding was moved to. It need not decode."""
        return self._from_pts is not None and pts is not None and pts < self._from_pts

    def _from_key(self, frames: list[VideoFrame]) -> Iterator[VideoFrame]:
        """Without those that lead the key frame that decoding was moved to, which has to come first."""
        for frame in frames:
            if self._leads(frame.pts):
                continue
            is_key = frame.pts == self._from_pts and frame.pict_type in {PictureType.NONE, PictureType.I}
            if not self._has_begun and not is_key:
                raise CannotSeek
            self._has_begun = True
            yield frame
