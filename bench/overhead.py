"""What the service itself costs a request, with a network that takes no time: python -m bench.overhead.

One client, a video of one clip (16 frames, 320x240, H.264), as a file to /features and /classify, and decoded to /v2; in the
same rounds the bare decoding of the file in this process, which is subtracted. Metrics: what their calls take a request, and as
a check requests with metrics against requests without, in pairs, one right after the other, within one process.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import claims, inputs, load, processes, rounds, stats, usage
from bench.claims import Claim, Options, Table, at_most
from service.http.metrics import Metrics
from service.video.frames import read_video

REQUESTS = 50  # of a kind in a round
PAIRS = 600  # of requests with metrics and without
FILES, DECODED, DECODING = ("/features, a file", "/classify, a file"), "/v2, decoded clips", "decoding alone, in process"


def decoding(video: Path) -> list[float]:
    """Seconds of readings of the video in this process."""
    times = []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        for _ in read_video(video):
            pass
        times.append(time.perf_counter() - started)
    return times


def metrics_calls_ms(count: int = 2000) -> float:
    """What the service's calls of its metrics take for a request of one clip."""
    metrics = Metrics()
    stages = {"fetch": 0.001, "decode": 0.005, "queue": 0.001, "model": 0.15}
    started = time.perf_counter()
    for _ in range(count):
        metrics.request_began("/features")
        metrics.batch_ran(1, 0.15)
        metrics.request_ended("/features", "ok", 0.2, stages)
    return 1000 * (time.perf_counter() - started) / count


def metrics_on_off(port: int, pid: int, request: load.Request) -> stats.Interval:
    """Latency of requests with metrics over that of requests without."""
    latency: dict[bool, list[float]] = {True: [], False: []}
    on = True
    for number in range(PAIRS):
        for wanted in (True, False) if number % 2 else (False, True):
            if on != wanted:
                os.kill(pid, signal.SIGUSR1)
                on = wanted
                processes.ready(port, "/livez")  # answered: the signal has been seen
            latency[wanted] += load.drive(port, [request], 1, 1).latencies_s
    return stats.paired_ratio(latency[True], latency[False])


def measure(options: Options, directory: Path) -> Claim:
    """The cost of a request, and the part of it that is metrics."""
    [video, *_] = inputs.make_videos(directory, 1)
    path = directory / "0.mp4"
    requests = [load.video_upload(video, 1), load.video_upload(video, 1, "/classify"), load.decoded_clips(inputs.clips_of(path))]
    with processes.server("bench.servers.instant") as service:

        def asked(request: load.Request) -> list[float]:
            return load.drive(service.port, [request], REQUESTS, 1).latencies_s

        things: dict[str, Callable[[], list[float]]] = {DECODING: partial(decoding, path)}
        things |= {name: partial(asked, each) for name, each in zip((*FILES, DECODED), requests, strict=True)}
        found = rounds.interleaved(things, options.rounds + 1)
        on_off = metrics_on_off(service.port, service.pid, requests[0])
        peak = usage.peak_mib(service.pid)
    times = {name: [1000 * seconds for each in several[1:] for seconds in each] for name, several in found.items()}  # warm ones
    medians = {name: statistics.median(each) for name, each in times.items()}
    own = {name: medians[name] - medians[DECODING] for name in FILES} | {DECODED: medians[DECODED]}
    calls = metrics_calls_ms()
    table = Table("A request of one clip, the network taking no time", ("request", "p50 ms", "p99 ms", "p50 less decoding"))
    for name, each in times.items():
        rest = f"{own[name]:.1f}" if name in own else ""
        table.rows.append([name, f"{medians[name]:.1f}", f"{stats.percentile(each, 0.99):.1f}", rest])
    table.note = (
        f"Metrics take {1000 * calls:.0f} µs of it; requests with metrics against requests without: {on_off} times as long."
    )
    figures = {"p50_ms": medians, "own_ms": own, "metrics_ms": calls, "metrics_on_off": on_off, "peak_mib": peak}
    aims = [
        at_most("the service's own time for a clip, behind its decoding", 10, max(own.values()), "ms"),
        at_most("such a request with metrics, against without", 1.01, on_off.value, "times as long"),
    ]
    return Claim("overhead", [table], figures, aims)


if __name__ == "__main__":
    claims.run(measure, __doc__)
