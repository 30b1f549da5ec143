"""What a packet's first bytes say before anything is decoded: whether it becomes a picture of its own, and what went before it.

Containers count packets. Not every packet is shown: VP8 and VP9 hide pictures that others are predicted from, H.264 may
code the two fields of a picture in packets of their own, HEVC leaves out pictures that lead a clean random access at the
stream's beginning. H.264 also numbers its reference pictures, so that a lost one shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

MAX_HEADER_BYTES = 4096  # of a packet that are looked at: parameter sets and messages stand before the first slice
HIGH_PROFILES = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}  # H.264 7.3.2.1.1: these tell their chroma format
SLICE, IDR, SPS = 1, 5, 7  # types of NAL units in H.264
B_SLICES = {1, 6}  # slice_type, H.264 7.4.3
RASL = {8, 9}  # types in HEVC of pictures that are not shown where decoding begins with the key picture before them


class PacketHeader(NamedTuple):
    """``shown``: it becomes a picture of its own. ``lost_before``: a picture that others are predicted from is missing before it.

    ``leading``: if decoding begins with the key picture before it, it is not shown. ``between``: it is predicted from two others
    (a B-frame), so that it is shown before a packet that came earlier; known of H.264 and MPEG-4 alone.
    """

    shown: bool = True
    lost_before: bool = False
    leading: bool = False
    between: bool = False


def reader(codec: str, extradata: bytes | None) -> Callable[[memoryview], PacketHeader]:
    """Reads the headers of a stream's packets, which are given in the order of decoding. ``extradata``: as FFmpeg has it."""
    if codec == "h264":
        return H264(extradata or b"").read
    if codec == "hevc":
        return Hevc(extradata or b"").read
    return {"vp8": _vp8, "vp9": _vp9, "mpeg4": _mpeg4}.get(codec, lambda data: PacketHeader())


def _vp8(data: memoryview) -> PacketHeader:
    return PacketHeader(shown=bool(data[0] & 0x10))  # RFC 6386, 9.1: show_frame


def _vp9(data: memoryview) -> PacketHeader:
    """A superframe holds one picture that is shown beside hidden ones; alone, a hidden picture says so in its header."""
    if data[-1] & 0xE0 == 0xC0:
        return PacketHeader()
    bits = Bits(bytes(data[:8]))
    bits.take(2)
    if bits.take(1) + 2 * bits.take(1) == 3:  # profile
        bits.take(1)
    show_existing_frame = bits.take(1)
    bits.take(1)  # frame_type
    return PacketHeader(shown=bool(show_existing_frame or bits.take(1)))


def _mpeg4(data: memoryview) -> PacketHeader:
    """ISO 14496-2, 6.2.5: vop_start_code, vop_coding_type."""
    _, found, plane = bytes(data[:MAX_HEADER_BYTES]).partition(b"\0\0\1\xb6")
    return PacketHeader(between=bool(found and plane and plane[0] >> 6 == 2))


class Hevc:
    """HEVC: leading pictures that need what was decoded before their key picture."""

    def __init__(self, extradata: bytes) -> None:
        self._length_size = (extradata[21] & 3) + 1 if extradata[:1] == b"\1" and len(extradata) > 21 else 0

    def read(self, data: memoryview) -> PacketHeader:
        """Of one packet."""
        kinds = (unit[0] >> 1 & 0x3F for unit in units(bytes(data[:MAX_HEADER_BYTES]), self._length_size) if unit)
        return PacketHeader(leading=next((kind in RASL for kind in kinds if kind < 32), False))


class Sps(NamedTuple):
    """What slice headers need of a sequence parameter set."""

    frame_num_bits: int
    separate_planes: bool
    may_have_gaps: bool
    frames_only: bool


class Picture(NamedTuple):
    """A coded picture. ``field``: 0 or 1 for a top or bottom field whose other field has not come yet; else None."""

    frame_num: int
    is_reference: bool
    field: int | None


class H264:
    """H.264: second fields, and gaps in the numbers of reference pictures."""

    def __init__(self, extradata: bytes) -> None:
        is_avcc = extradata[:1] == b"\1" and len(extradata) > 6
        self._length_size = (extradata[4] & 3) + 1 if is_avcc else 0
        self._sps: Sps | None = None
        self._last: Picture | None = None
        if is_avcc:
            self._sps = _sps(extradata[8 : 8 + int.from_bytes(extradata[6:8])])
        else:
            for unit in units(extradata, 0):
                self._sps = _sps(unit) if unit and unit[0] & 31 == SPS else self._sps

    def read(self, data: memoryview) -> PacketHeader:
        """Of one packet."""
        for unit in units(bytes(data[:MAX_HEADER_BYTES]), self._length_size):
            kind = unit[0] & 31 if unit else 0
            if kind == SPS and not self._length_size:
                self._sps = _sps(unit) or self._sps
            elif kind in {SLICE, IDR} and self._sps:
                return self._slice(unit, self._sps, is_idr=kind == IDR)
        return PacketHeader()

    def _slice(self, unit: bytes, sps: Sps, *, is_idr: bool) -> PacketHeader:
        bits = Bits(unescaped(unit[1:40]))
        bits.take_ue()  # first_mb_in_slice
        is_b = bits.take_ue() in B_SLICES
        bits.take_ue()  # pic_parameter_set_id
        if sps.separate_planes:
            bits.take(2)
        frame_num = bits.take(sps.frame_num_bits)
        field = bits.take(1) if not sps.frames_only and bits.take(1) else None
        is_reference = bool(unit[0] & 0x60)
        last, self._last = self._last, Picture(frame_num, is_reference, field)
        # The other field of the same picture. Where both are in one packet, the first one of the next has the same parity.
        if last and field is not None and last.field == 1 - field and last.frame_num == frame_num:
            self._last = Picture(frame_num, is_reference or last.is_reference, None)
            return PacketHeader(shown=False)
        if last is None or is_idr or sps.may_have_gaps:
            return PacketHeader(between=is_b)
        step = (frame_num - last.frame_num) % (1 << sps.frame_num_bits)
        return PacketHeader(
            lost_before=step > last.is_reference, between=is_b
        )  # it rises by one behind a picture that others are predicted from


def _sps(unit: bytes) -> Sps | None:
    """H.264 7.3.2.1.1, as far as slice headers need it."""
    bits = Bits(unescaped(unit[1:]))
    profile = bits.take(8)
    bits.take(16)
    bits.take_ue()  # seq_parameter_set_id
    separate_planes = False
    if profile in HIGH_PROFILES:
        chroma = bits.take_ue()
        separate_planes = chroma == 3 and bool(bits.take(1))
        bits.take_ue(), bits.take_ue(), bits.take(1)  # bit depths, lossless
        if bits.take(1):
            _skip_scaling_lists(bits, 8 if chroma != 3 else 12)
    frame_num_bits = bits.take_ue() + 4
    order_type = bits.take_ue()
    if order_type == 0:
        bits.take_ue()
    elif order_type == 1:
        bits.take(1), bits.take_ue(), bits.take_ue()
        for _ in range(min(bits.take_ue(), 255)):
            bits.take_ue()
    bits.take_ue()  # max_num_ref_frames
    may_have_gaps = bool(bits.take(1))
    bits.take_ue(), bits.take_ue()  # size
    frames_only = bool(bits.take(1))
    return Sps(frame_num_bits, separate_planes, may_have_gaps, frames_only) if frame_num_bits <= 16 else None


def _skip_scaling_lists(bits: Bits, count: int) -> None:
    for number in range(count):
        last = following = 8
        for _ in range((16 if number < 6 else 64) if bits.take(1) else 0):
            if following:
                code = bits.take_ue()
                following = (last + (code + 1 >> 1) * (1 if code & 1 else -1)) % 256
            last = following or last


class Bits:
    """Bits of a header, one after the other. Behind the end they are 0."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data), 8 * len(data)

    def take(self, count: int) -> int:
        """The next ``count`` as a number."""
        self._left -= count
        shifted = self._value >> self._left if self._left >= 0 else self._value << -self._left
        return shifted & ((1 << count) - 1)

    def take_ue(self) -> int:
        """The next Exp-Golomb code (H.264 9.1)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:  # in no header that is whole
                return 0
        return (1 << zeros) - 1 + self.take(zeros)


def units(data: bytes, length_size: int) -> Iterator[bytes]:
    """The NAL units in these bytes. ``length_size``: bytes of the length before each; 0 where start codes stand there."""
    if length_size:
        start = 0
        while start + length_size <= len(data):
            end = start + length_size + int.from_bytes(data[start : start + length_size])
            yield data[start + length_size : end]
            start = end
        return
    yield from (unit for unit in data.split(b"\0\0\1")[1:])


def unescaped(unit: bytes) -> bytes:
    """Without the bytes that keep start codes from appearing inside."""
    return unit.replace(b"\0\0\3", b"\0\0")
