"""What each layer costs: the bare network (E), the batcher (B), decoded clips over HTTP (H), video files over HTTP (V).

python -m bench.ladder. At 1, 4 and 16 clients, in interleaved rounds, the order rotating; one runs at a time, all stay warm. A
request is a video of 56 frames at 320x240 in H.264: 6 clips. B, H and V are held against the E of the same round and as many
clients, so that a slow minute of the machine is in both. The client shares the machine's cores, as the decoders do.
"""

from __future__ import annotations

import json
import statistics
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench import claims, inputs, load, processes, stats
from bench.claims import Aim, Claim, Options, Table, at_least
from bench.processes import Server, Worker

CLIPS = 6  # of a request
REQUESTS = {1: 6, 4: 8, 16: 16}  # in a round, by the number of clients
LOOP = 36  # clips of a round of E
AIMS = {"B": 0.99, "H": 0.97, "V": 0.95}
IDLE_S = 20.0
NAMES = {
    "E": "the network, in a bare loop",
    "B": "the service's batcher, in process",
    "H": "decoded clips over HTTP (/v2)",
    "V": "video files over HTTP (/features)",
}


class Sample(NamedTuple):
    """One thing in one round."""

    clips: int
    seconds: float
    cpu_s: float  # of what is measured and of the clients
    latencies_s: list[float]
    batches: int
    stages_ms: list[dict[str, float]]  # as the answers have them


Rung = Callable[[int], Sample]  # given the number of clients


def bare(child: Worker) -> Rung:
    """E."""

    def run(clients: int) -> Sample:
        before = processes.cpu_s(child.pid)
        seconds = child.ask(loop=LOOP)["seconds"]
        return Sample(LOOP, seconds, processes.cpu_s(child.pid) - before, [], 0, [])

    return run


def batched(child: Worker) -> Rung:
    """B."""

    def run(clients: int) -> Sample:
        before = processes.cpu_s(child.pid)
        found = child.ask(batcher=clients, requests=REQUESTS[clients], clips=CLIPS)
        cpu_s = processes.cpu_s(child.pid) - before
        return Sample(found["clips"], found["seconds"], cpu_s, found["latencies_s"], found["batches"], [])

    return run


def counted(port: int) -> tuple[int, int]:
    """Clips and batches that the service has run, as its own metrics say."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#"))
    return int(float(lines["c3d_clips_total"])), int(float(lines["c3d_batches_total"]))


def served(service: Server, requests: list[load.Request]) -> Rung:
    """H or V."""

    def run(clients: int) -> Sample:
        own, before, counts = processes.cpu_s(processes.SELF), processes.family_cpu_s(service.pid), counted(service.port)
        found = load.drive(service.port, requests, REQUESTS[clients], clients)
        cpu_s = processes.family_cpu_s(service.pid) - before + processes.cpu_s(processes.SELF) - own
        clips, batches = (now - then for now, then in zip(counted(service.port), counts, strict=True))
        stages = [json.loads(body)["timings_ms"] for body in found.answers if body.startswith(b'{"descriptor"')]
        return Sample(clips, found.seconds, cpu_s, found.latencies_s, batches, stages)

    return run


def measure(options: Options, directory: Path) -> Claim:
    """The whole ladder; on the way, what the service takes when nobody asks."""
    videos = inputs.make_videos(directory, CLIPS)
    clips = [inputs.clips_of(directory / f"{which}.mp4") for which in range(len(videos))]
    np.save(directory / "clips.npy", np.concatenate(clips))
    samples: dict[tuple[str, int], list[Sample]] = defaultdict(list)
    with (
        processes.worker("bench.engine_worker", "tensorflow", str(directory / "clips.npy")) as child,
        processes.server("service", C3D_REQUEST_TIMEOUT_S="3600") as service,
    ):
        idle = processes.idle_share(service.pid, IDLE_S)
        uploads = [load.video_upload(video, CLIPS) for video in videos]
        rungs = {
            "E": bare(child),
            "B": batched(child),
            "H": served(service, [load.decoded_clips(each) for each in clips]),
            "V": served(service, uploads),
        }
        load.drive(service.port, uploads, 4, 4)  # each decoder has read a video before it counts
        for number in range(options.rounds):
            for clients in REQUESTS:
                for name in claims.rotated(list(rungs), number):
                    samples[name, clients].append(rungs[name](clients))
        peaks = {"service": processes.peak_mib(service.pid), "with decoders": processes.family_peak_mib(service.pid)}
    return report(samples, idle, peaks)


def report(samples: dict[tuple[str, int], list[Sample]], idle: float, peaks: dict[str, float]) -> Claim:
    """Samples to tables."""
    columns = ("clients", "what", "clips/s", "of E [95 %]", "CPU s/clip", "p50 s", "p99 s", "clips/batch")
    table = Table("What each layer costs", columns, note=f"Peak memory: {peaks['service']:.0f} MiB, {peaks['with decoders']:.0f} "
                  f"with its decoders. Idle: {idle:.2%} of a core.")  # fmt: skip
    stages = Table("Where a request's time goes, in ms (stages overlap)", ("clients", "fetch", "decode", "queue", "model", "total"))
    aims: list[Aim] = [claims.at_most("idle", 1, 100 * idle, "% of a core")]
    figures: dict[str, Any] = {"idle_share_of_a_core": idle, "peak_mib": peaks, "clips_a_request": CLIPS, "rungs": []}
    for (name, clients), found in sorted(samples.items(), key=lambda each: (each[0][1], "EBHV".index(each[0][0]))):
        rates = [sample.clips / sample.seconds for sample in found]
        base = [sample.clips / sample.seconds for sample in samples["E", clients]]
        ratio = stats.paired_ratio(rates, base)
        num_clips = sum(sample.clips for sample in found)
        cpu = sum(sample.cpu_s for sample in found) / num_clips
        latencies = [each for sample in found for each in sample.latencies_s]
        batches = sum(sample.batches for sample in found)
        row = {
            "what": name, "clients": clients, "clips_per_s": statistics.median(rates), "of_e": ratio, "cpu_s_per_clip": cpu,
            "clips_per_s_by_round": rates, "latencies_s": latencies, "clips_per_batch": num_clips / batches if batches else None,
        }  # fmt: skip
        figures["rungs"].append(row)
        ends = [f"{stats.percentile(latencies, share):.2f}" if latencies else "" for share in (0.5, 0.99)]
        fill = f"{num_clips / batches:.2f}" if batches else ""
        cells = [str(clients), f"{name}: {NAMES[name]}", f"{row['clips_per_s']:.2f}", "1" if name == "E" else str(ratio)]
        table.rows.append([*cells, f"{cpu:.3f}", *ends, fill])
        if name in AIMS:
            aims.append(at_least(f"{name}/E at {clients}", AIMS[name], ratio))
        if timings := [each for sample in found for each in sample.stages_ms]:
            medians = {stage: statistics.median(each[stage] for each in timings) for stage in stages.columns[1:]}
            stages.rows.append([str(clients), *(f"{value:.1f}" for value in medians.values())])
            row["stages_ms"] = medians
    return Claim("ladder", [table, stages], figures, aims)


if __name__ == "__main__":
    claims.run(measure, __doc__)
