"""What the service itself costs a request, with a network that takes no time: python -m bench.overhead.

One client, a video of one clip (16 frames, 320x240, H.264), as a file to /features and /classify and as a decoded clip to /v2;
beside it the bare decoding of the same file in this process. Metrics on against off: rounds in turn, in one process.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from pathlib import Path

from bench import claims, inputs, load, processes, stats
from bench.claims import Claim, Options, Table, at_most
from service.frames import read_video

REQUESTS = 50  # of a kind in a round
METRICS_ROUNDS = 20


def decoding_ms(video: Path) -> float:
    """The median time of reading the video in this process."""
    times = []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        for _ in read_video(video):
            pass
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def metrics_cost(port: int, pid: int, requests: list[load.Request]) -> tuple[stats.Interval, stats.Interval]:
    """Latency and processor of requests with metrics over those without, in pairs of rounds."""
    latency: dict[bool, list[float]] = {True: [], False: []}
    cpu: dict[bool, list[float]] = {True: [], False: []}
    on = True
    for number in range(METRICS_ROUNDS):
        for wanted in (True, False) if number % 2 else (False, True):
            if on != wanted:
                os.kill(pid, signal.SIGUSR1)
                on = wanted
            load.drive(port, requests, 2, 1)  # the signal has been seen when a request has been answered
            before = processes.fine_cpu_s(pid)
            latency[wanted].append(statistics.median(load.drive(port, requests, REQUESTS, 1).latencies_s))
            cpu[wanted].append(processes.fine_cpu_s(pid) - before)
    return stats.paired_ratio(latency[True], latency[False]), stats.paired_ratio(cpu[True], cpu[False])


def measure(options: Options, directory: Path) -> Claim:
    """The cost of a request, and the part of it that is metrics."""
    [video, *_] = inputs.make_videos(directory, 1)
    clip = inputs.clips_of(directory / "0.mp4")
    kinds = {
        "/features, a file": load.video_upload(video, 1),
        "/classify, a file": load.video_upload(video, 1, "/classify"),
        "/v2, a decoded clip": load.decoded_clips(clip),
    }
    latencies: dict[str, list[float]] = {name: [] for name in kinds}
    with processes.server("bench.servers.instant") as service:
        for number in range(options.rounds + 1):
            for name in claims.rotated(list(kinds), number):
                found = load.drive(service.port, [kinds[name]], REQUESTS, 1).latencies_s
                latencies[name] += found if number else []  # the first round warms up
        latency, cpu = metrics_cost(service.port, service.pid, [kinds["/features, a file"]])
    decode = decoding_ms(directory / "0.mp4")
    table = Table("What the service adds to a request of one clip, its network taking no time", ("request", "p50 ms", "p99 ms"))
    figures: dict[str, object] = {"decoding_in_process_ms": decode, "metrics_latency": latency, "metrics_cpu": cpu}
    for name, found in latencies.items():
        ends = [1000 * stats.percentile(found, share) for share in (0.5, 0.99)]
        table.rows.append([name, *(f"{value:.1f}" for value in ends)])
        figures[name] = {"p50_ms": ends[0], "p99_ms": ends[1]}
    table.rows.append(["of that, decoding (measured alone)", f"{decode:.1f}", ""])
    table.note = f"With metrics over without: latency {latency}, CPU {cpu}."
    worst = 1000 * max(statistics.median(found) for found in latencies.values())
    aims = [
        at_most("the service's own time for a clip, decoding included", 10, worst, "ms"),
        at_most("metrics", 1, 100 * (latency.value - 1), "% of the latency"),
    ]
    return Claim("overhead", [table], figures, aims)


if __name__ == "__main__":
    claims.run(measure, __doc__)
