"""Memory and time against the length of a video: python -m bench.scale [--long].

Memory: videos from 10 s to 2 h through a network that takes no time, so that what is seen is what the service holds. Time: videos
up to 60 s through the real network, a clip every 16 frames, and a line through them. --long adds 2 h and 60 s for four clients.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from bench import claims, inputs, load, processes, stats, usage
from bench.claims import Claim, Options, Table, at_most
from model_store import c3d

PIECE_S = 10
MEMORY_S = (10, 60, 600, 7200)
TIME_S = (10, 30, 60)
CLIENTS = 4
FLAT_MIB = 100 * 1e6 / 2**20  # 100 MB


def clips_in(seconds: int, stride: int) -> int:
    """How many a video of this length has."""
    return (seconds * inputs.RATE - c3d.CLIP_LENGTH) // stride + 1


def request_of(piece: Path, seconds: int, stride: int = c3d.CLIP_STRIDE) -> load.Request:
    """A video of this length as an upload, to be cut into clips this many frames apart."""
    video = inputs.repeat_video(piece, piece.with_name(f"{seconds}.mp4"), seconds // PIECE_S).read_bytes()
    return load.video_upload(video, clips_in(seconds, stride), f"/features?clip_stride={stride}")


def checked(found: load.Load, seconds: int) -> float:
    """The time it took; raises RuntimeError where an answer is not that of the whole video."""
    for body in found.answers:
        used = json.loads(body)["video"]["num_frames"]["decoded"]
        if used != seconds * inputs.RATE:
            raise RuntimeError(f"{used} frames of {seconds} s were decoded")
    return found.seconds


def memory(piece: Path, *, long: bool) -> Table:
    """Peak memory of the service alone and with its decoders, by length and clients."""
    table = Table(
        "Memory against the length of a video, the network taking no time",
        ("clients", "video s", "clips each", "took s", "service MiB", "with decoders MiB"),
    )
    with processes.server("bench.servers.instant", C3D_REQUEST_TIMEOUT_S="7200") as service:
        warm = request_of(piece, MEMORY_S[0])
        load.drive(service.port, [warm], 2 * CLIENTS, CLIENTS)
        for clients in (1, CLIENTS):
            for seconds in MEMORY_S:
                if clients > 1 and seconds == MEMORY_S[-1] and not long:
                    continue  # a quarter of an hour of decoding
                request = request_of(piece, seconds)
                usage.forget_peak(service.pid)
                took = checked(load.drive(service.port, [request], clients, clients), seconds)
                peaks = (usage.peak_mib(service.pid), usage.family_peak_mib(service.pid))
                row = (clients, seconds, request.num_clips, f"{took:.1f}", *(f"{peak:.0f}" for peak in peaks))
                table.rows.append([str(cell) for cell in row])
    return table


def duration(piece: Path, *, long: bool) -> Table:
    """Seconds for videos through the real network, by length and clients."""
    table = Table(
        "Time against the length of a video, the real network", ("clients", "video s", "clips each", "took s", "clips/s")
    )
    with processes.server("service", C3D_REQUEST_TIMEOUT_S="7200") as service:
        load.drive(service.port, [request_of(piece, PIECE_S)], 1, 1)
        for clients in (1, CLIENTS):
            for seconds in TIME_S if clients == 1 or long else TIME_S[:1]:
                request = request_of(piece, seconds, c3d.CLIP_LENGTH)
                took, clips = checked(load.drive(service.port, [request], clients, clients), seconds), request.num_clips
                row = (clients, seconds, clips, f"{took:.2f}", f"{clients * clips / took:.2f}")
                table.rows.append([str(cell) for cell in row])
    return table


def measure(options: Options, directory: Path) -> Claim:
    """Both tables."""
    started = time.perf_counter()
    piece = inputs.make_video(directory / "piece.mp4", PIECE_S * inputs.RATE)
    memory_table, time_table = memory(piece, long=options.long), duration(piece, long=options.long)
    aims = []
    for clients in (1, CLIENTS):
        peaks = [float(row[5]) for row in memory_table.rows if row[0] == str(clients)]
        what = f"memory from {MEMORY_S[0]} s on, {claims.plural(clients, 'client')}: growth"
        aims.append(at_most(what, FLAT_MIB, max(peaks) - peaks[0], "MiB"))
    alone = [row for row in time_table.rows if row[0] == "1"]
    slope, offset, worst = stats.fit_line([float(row[1]) for row in alone], [float(row[3]) for row in alone])
    time_table.note = (
        f"One client: {slope:.3f} s a second of video and {offset:+.2f} s; no point is farther off the line than "
        f"{worst:.1%} of the longest."
    )
    tables = [memory_table, time_table]
    figures = {
        "took_s": time.perf_counter() - started, "slope": slope, "offset_s": offset, "off_the_line": worst,
        "tables": {table.title: [list(table.columns), *table.rows] for table in tables},
    }  # fmt: skip
    return Claim("scale", tables, figures, aims)


if __name__ == "__main__":
    claims.run(measure, __doc__)
