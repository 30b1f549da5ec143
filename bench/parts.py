"""What a part of a long video costs: python -m bench.parts. Two seconds at its end and at its beginning, and ten clips of it all.

An hour of video is read in this process, without a network: by `video.inline`, as the decoder processes read it.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from bench import claims, inputs, stats
from bench.claims import Claim, Options, Table
from service.video import inline
from service.video.messages import ReadOptions

PIECE_S, TIMES = 10, 360  # an hour: a piece, copied without encoding it again
PART_S = 2.0
CLIPS = 10


def read_s(path: Path, options: ReadOptions) -> float:
    """Seconds until all clips that are asked for are cut."""
    started = time.perf_counter()
    for _ in inline.clips_of(path, options):
        pass
    return time.perf_counter() - started


def measure(options: Options, directory: Path, times: int = TIMES) -> Claim:
    """Parts by turns, the whole once: it takes half a minute."""
    piece = inputs.make_video(directory / "piece.mp4", PIECE_S * inputs.RATE)
    path = inputs.repeat_video(piece, directory / "long.mp4", times)
    length = PIECE_S * times
    first = ReadOptions(start_sec=0.0, end_sec=PART_S)
    last = ReadOptions(start_sec=length - 1.5 * PART_S, end_sec=length - 0.5 * PART_S)
    spread = ReadOptions(max_clips=CLIPS)
    read_s(path, first)
    rounds = [(read_s(path, first), read_s(path, last), read_s(path, spread)) for _ in range(options.rounds)]
    begin, end, some = map(list, zip(*rounds, strict=True))
    whole = read_s(path, ReadOptions())
    ratio = stats.paired_ratio(end, begin)
    table = Table(f"Parts of {length} s of 320x240 H.264", ("", "s"))
    table.rows = [
        [f"{PART_S:g} s at the beginning", f"{statistics.median(begin):.3f}"],
        [f"{PART_S:g} s at the end ({ratio} times that)", f"{statistics.median(end):.3f}"],
        [f"max_clips={CLIPS}", f"{statistics.median(some):.3f}"],
        ["all of it", f"{whole:.1f}"],
    ]
    figures = {
        "begin_s": statistics.median(begin),
        "end_s": statistics.median(end),
        "max_clips_s": statistics.median(some),
        "whole_s": whole,
    }
    return Claim("parts", [table], figures)


if __name__ == "__main__":
    claims.run(measure, __doc__)
