"""H.264 whose frames are coded as two fields (PAFF), which no encoder that PyAV brings can make. Uncompressed macroblocks."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

ROWS, COLUMNS = 4, 8  # macroblocks of a frame: 64x128 pixels
KEY_EVERY = 12  # frames
INTRA, PREDICTED, BETWEEN = 7, 5, 6  # slice_type, H.264 7.4.3; all slices of the picture are of it
PCM = {INTRA: 25, PREDICTED: 30, BETWEEN: 48}  # mb_type of an uncompressed macroblock, by slice type


class Writer:
    """Bits, one after the other."""

    def __init__(self) -> None:
        self.bits = ""

    def put(self, value: int, count: int) -> None:
        """A number of ``count`` bits."""
        self.bits += f"{value:0{count}b}"

    def ue(self, *values: int) -> None:
        """Exp-Golomb codes; se(0) is ue(0)."""
        for value in values:
            self.bits += "0" * ((value + 1).bit_length() - 1) + f"{value + 1:b}"

    def align(self) -> None:
        """Zeros up to a whole byte."""
        self.bits += "0" * (-len(self.bits) % 8)

    def unit(self, header: int) -> bytes:
        """A NAL unit behind its start code, with its trailing bits and its emulation prevention."""
        self.put(1, 1)
        self.align()
        data, zeros = bytearray(), 0
        for byte in int(self.bits, 2).to_bytes(len(self.bits) // 8):
            if zeros == 2 and byte <= 3:
                data.append(3)
                zeros = 0
            data.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return b"\0\0\0\1" + bytes([header]) + data


def parameter_sets() -> bytes:
    """SPS and PPS: main profile, frames may be fields, 8 bits of frame_num and pic_order_cnt_lsb."""
    sps = Writer()
    sps.put(77 << 16 | 30, 24)
    sps.ue(0, 4, 0, 4, 2)
    sps.put(0, 1)
    sps.ue(COLUMNS - 1, ROWS // 2 - 1)
    sps.put(0b00100, 5)  # not only frames, no MBAFF, direct_8x8_inference, no cropping, no VUI
    pps = Writer()
    pps.ue(0, 0)
    pps.put(0, 2)
    pps.ue(0, 0, 0)
    pps.put(0, 3)
    pps.ue(0, 0, 0)
    pps.put(0b100, 3)
    return sps.unit(0x67) + pps.unit(0x68)


def field(kind: int, index: int, frame_num: int, order: int, *, bottom: bool, idr: bool) -> bytes:
    """One field. Its first row of macroblocks (all of them in an I field) show ``index``; the others are predicted."""
    bits = Writer()
    bits.ue(0, kind, 0)
    bits.put(frame_num, 8)
    bits.put(2 + bottom, 2)
    if idr:
        bits.ue(0)
    bits.put(order, 8)
    if kind == BETWEEN:
        bits.put(1, 1)  # direct_spatial_mv_pred
    if kind != INTRA:
        bits.put(0, 2 if kind == PREDICTED else 3)  # lists of references as they are
    if kind != BETWEEN:
        bits.put(0, 2 if idr else 1)  # marking of references as usual
    bits.ue(0, 1)  # qp, no deblocking
    for place in range(ROWS // 2 * COLUMNS if kind == INTRA else COLUMNS):
        if kind != INTRA:
            bits.ue(0)  # none skipped before it
        bits.ue(PCM[kind])
        bits.align()
        values = (np.arange(384) * 3 + 11 * index + 29 * place + 64 * bottom) % 200 + 20
        bits.bits += "".join(f"{value:08b}" for value in values)
    if kind != INTRA:
        bits.ue((ROWS // 2 - 1) * COLUMNS)
    return bits.unit((0 if kind == BETWEEN else 0x60) | (5 if idr else 1))


def pictures(num_frames: int) -> list[tuple[int, tuple[bytes, bytes]]]:
    """Frames in order of decoding: when each is shown, counted from 0, and its two fields. I P B P B ..., keys every 12."""
    found = []
    for key in range(0, num_frames, KEY_EVERY):
        frame_num = 0
        for place in (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 11):
            kind = INTRA if place == 0 else BETWEEN if place % 2 and place != KEY_EVERY - 1 else PREDICTED
            first = field(kind, key + place, frame_num, 2 * place, bottom=False, idr=place == 0)
            second = field(kind, key + place, frame_num, 2 * place + 1, bottom=True, idr=False)
            found.append((key + place, ((parameter_sets() if place == 0 else b"") + first, second)))
            frame_num += kind != BETWEEN
    return found


def write_field_coded(path: Path, num_frames: int, *, packet_a_field: bool) -> Path:
    """25 frames/s, a multiple of 12 frames. Returns ``path``.

    ``packet_a_field``: each field in a packet of its own, as transport streams have it; else both in one.
    """
    coded = pictures(num_frames)
    raw = b"".join(first + second for _, (first, second) in coded)
    with av.open(io.BytesIO(raw), format="h264") as source, av.open(str(path), "w") as container:
        stream: Any = container.add_stream_from_template(source.streams.video[0])
        for decoded, (shown, fields) in enumerate(coded):
            for number, data in enumerate(fields if packet_a_field else [b"".join(fields)]):
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, Fraction(1, 50)
                packet.pts, packet.dts = 2 * shown + 4 + number, 2 * decoded + number
                packet.duration = 1 if packet_a_field else 2
                packet.is_keyframe = shown % KEY_EVERY == 0 and number == 0
                container.mux(packet)
    return path
