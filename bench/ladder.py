"""What each layer costs: the bare network (E), the batcher (B), decoded clips over HTTP (H), video files over HTTP (V).

python -m bench.ladder. At 1, 4 and 16 clients, in interleaved rounds, the order rotating; one runs at a time, all stay warm. A
request is a video of 12 clips (4 s of 320x240 in H.264), of 4 for 16 clients, whose rounds would take minutes otherwise. B, H and
V are timed from the first byte sent to the last answer, and held against the E of their round, which runs in four parts before,
between and behind them. All four use one network in one process; the client shares the machine's cores, as the decoders do.
"""

from __future__ import annotations

import itertools
import json
import statistics
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench import claims, inputs, load, processes, rounds, usage
from bench.claims import Aim, Claim, Options, Table, at_least, at_most
from bench.processes import Server, Worker
from bench.rounds import Sample

# By the number of clients: the clips of a request, and in a round the requests; the more it takes, the fewer rounds.
CLIPS = {1: 12, 4: 12, 16: 4}
REQUESTS = {1: 2, 4: 4, 16: 16}
MORE_ROUNDS = {1: 2, 4: 1, 16: 0}
LOOP = 12  # clips of E, each time
AIMS = {"B": 0.99, "H": 0.97, "V": 0.95}
IDLE_S = 10.0
COUNTERS = ("clips_total", "batches_total", "batch_duration_seconds_sum")
STAGES = ("fetch", "decode", "queue", "model", "total")
NAMES = {
    "E": "the network, in a bare loop",
    "B": "the service's batcher, in process",
    "H": "decoded clips over HTTP (/v2)",
    "V": "video files over HTTP (/features)",
}


Rung = Callable[[int], Sample]  # given the number of clients


def bare(child: Worker) -> Rung:
    """E."""

    def run(clients: int) -> Sample:
        before = usage.cpu_s(child.pid)
        seconds = child.ask(loop=LOOP)["seconds"]
        return Sample(LOOP, seconds, usage.cpu_s(child.pid) - before)

    return run


def batched(child: Worker) -> Rung:
    """B."""

    def run(clients: int) -> Sample:
        before = usage.cpu_s(child.pid)
        found = child.ask(batcher=clients, requests=REQUESTS[clients], clips=CLIPS[clients])
        cpu_s = usage.cpu_s(child.pid) - before
        return Sample(found["clips"], found["seconds"], cpu_s, found["latencies_s"], found["batches"], found["busy_s"])

    return run


def counted(port: int) -> tuple[float, float, float]:
    """Clips and batches that the service has run, and the seconds they ran, as its own metrics say."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#"))
    clips, batches, busy_s = (float(lines[f"c3d_{name}"]) for name in COUNTERS)
    return clips, batches, busy_s


def served(service: Server, requests: Mapping[int, Sequence[load.Request]], *, timed: bool) -> Rung:
    """H or V, by the clips of a request; the answers of the latter say where the time went."""
    turns = {num_clips: itertools.cycle(some) for num_clips, some in requests.items()}  # each video has its turn

    def run(clients: int) -> Sample:
        requests = list(itertools.islice(turns[CLIPS[clients]], REQUESTS[clients]))
        own, before, counts = usage.cpu_s(usage.SELF), usage.family_cpu_s(service.pid), counted(service.port)
        found = load.drive(service.port, requests, len(requests), clients)
        cpu_s = usage.family_cpu_s(service.pid) - before + usage.cpu_s(usage.SELF) - own
        clips, batches, busy_s = (now - then for now, then in zip(counted(service.port), counts, strict=True))
        stages = [json.loads(body)["timings_ms"] for body in found.answers if timed]
        return Sample(int(clips), found.seconds, cpu_s, found.latencies_s, int(batches), busy_s, stages)

    return run


def measure(options: Options, directory: Path) -> Claim:
    """The whole ladder; on the way, what the service takes when nobody asks."""
    files: dict[int, list[load.Request]] = {}
    decoded: dict[int, list[load.Request]] = {}
    for num_clips in set(CLIPS.values()):
        videos = inputs.make_videos(directory, num_clips)
        clips = [inputs.clips_of(directory / f"{which}.mp4") for which in range(len(videos))]
        files[num_clips] = [load.video_upload(video, num_clips) for video in videos]
        decoded[num_clips] = [load.decoded_clips(each) for each in clips]
    np.save(directory / "clips.npy", np.concatenate(clips))
    looped = ("bench.servers.looped", str(directory / "clips.npy"))
    with processes.serving_worker(*looped, C3D_REQUEST_TIMEOUT_S="3600") as (child, service):
        rungs = {
            "E": bare(child),
            "B": batched(child),
            "H": served(service, decoded, timed=False),
            "V": served(service, files, timed=True),
        }
        load.drive(service.port, files[CLIPS[4]], 4, 4)  # each decoder has read a video before it counts
        idle = usage.idle_share(service.pid, IDLE_S)
        found = {clients: rounds.between("E", at(rungs, clients), options.rounds + more) for clients, more in MORE_ROUNDS.items()}
    return report(found, idle)


def at(rungs: dict[str, Rung], clients: int) -> dict[str, Callable[[], Sample]]:
    """Each rung with so many clients."""
    return {name: partial(rung, clients) for name, rung in rungs.items()}


def report(found: dict[int, dict[str, list[Sample]]], idle: float) -> Claim:
    """Samples to tables."""
    table = Table(
        "What each layer costs",
        ("clients", "what", "clips/s", "of E [95 %]", "CPU s/clip", "p50 s", "p99 s", "clips/batch", "network busy"),
        note=f"Idle: {idle:.2%} of a core.",
    )
    stages = Table("Where a request's time goes, in ms (stages overlap)", ("clients", *STAGES))
    aims: list[Aim] = [at_most("idle", 1, 100 * idle, "% of a core")]
    figures: dict[str, Any] = {"idle_share_of_a_core": idle, "clips_a_request": CLIPS, "rungs": []}
    for clients, samples in found.items():
        for name, mine in samples.items():
            result = rounds.summary(mine, samples["E"])
            ratio = "1" if name == "E" else str(result.ratio)
            fill = f"{result.clips_per_batch:.2f}" if result.clips_per_batch else ""
            busy = f"{result.busy:.1%}" if result.busy else ""
            row = [str(clients), f"{name}: {NAMES[name]}", f"{result.clips_per_s:.2f}", ratio, f"{result.cpu_s_per_clip:.3f}"]
            table.rows.append([*row, result.latency(0.5), result.latency(0.99), fill, busy])
            figures["rungs"].append({"what": name, "clients": clients, **result.figures()})
            if name in AIMS:
                aims.append(at_least(f"{name}/E, {claims.plural(clients, 'client')}", AIMS[name], result.ratio))
        timings = [each for sample in samples["V"] for each in sample.stages_ms]
        medians = [statistics.median(each[stage] for each in timings) for stage in STAGES]
        stages.rows.append([str(clients), *(f"{value:.1f}" for value in medians)])
    figures["stages_ms"] = [list(stages.columns), *stages.rows]
    return Claim("ladder", [table, stages], figures, aims)


if __name__ == "__main__":
    claims.run(measure, __doc__)
