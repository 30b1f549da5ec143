"""What people would use instead, with the same weights and the same videos in the same run: python -m bench.peers.

Video files over HTTP, 4 clients, float32, in interleaved rounds, one server at a time. The others are stopped meanwhile
(SIGSTOP), since some poll when idle. Each is set up as its own documentation advises. The peers' libraries are in a virtual
environment of their own (`make .venv-bench`); one that is not there is listed as not installed.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench import claims, inputs, load, processes, rounds, usage
from bench.claims import Claim, Options, Table
from bench.installed import interpreter, missing
from bench.processes import Server
from bench.rounds import Sample
from model_store import c3d

CLIENTS, REQUESTS, CLIPS = 4, 4, 6  # of a server in a round
IDLE_S = 4.0
OURS = "this service"


class Peer(NamedTuple):
    """A server to compare with: the module that runs it, where it says that it is ready, what it needs, how it is set up."""

    module: str
    ready: str
    needs: tuple[str, ...]
    setup: str


SERVERS = {
    OURS: Peer("service", "/readyz", (), "as it comes"),
    "Keras predict in FastAPI": Peer("bench.servers.naive", "/health", (), "a clip at a time, in FastAPI's thread pool"),
    "LitServe": Peer("bench.servers.litserve_server", "/health", ("litserve",), "up to 4 requests a batch, waiting 10 ms"),
    "Ray Serve": Peer("bench.servers.ray_server", "/health", ("ray",), "@serve.batch of up to 4 clips, waiting 10 ms"),
}


def turn(server: Server, requests: list[load.Request], awake: load.Request) -> Sample:
    """One server's part of a round; it is stopped before and after, and ``awake`` again when it has answered that."""
    processes.resume(server.pid)
    load.drive(server.port, [awake], 1, 1)
    before = usage.family_cpu_s(server.pid)
    found = load.drive(server.port, requests, REQUESTS, CLIENTS)
    cpu_s = usage.family_cpu_s(server.pid) - before
    processes.pause(server.pid)
    return Sample(REQUESTS * CLIPS, found.seconds, cpu_s, found.latencies_s)


def measure(options: Options, directory: Path) -> Claim:
    """Every server that is installed."""
    requests = [load.video_form(video, CLIPS, "/features", "file") for video in inputs.make_videos(directory, CLIPS)]
    awake = load.video_form(inputs.make_video(directory / "short.mp4", c3d.CLIP_LENGTH).read_bytes(), 1, "/features", "file")
    absent = {name: why for name, peer in SERVERS.items() if (why := missing(interpreter(options, peer.needs), peer.needs))}
    running: dict[str, Server] = {}
    idle: dict[str, float] = {}
    with ExitStack() as stack:
        for name, peer in SERVERS.items():
            if name in absent:
                continue
            python = str(interpreter(options, peer.needs))
            running[name] = stack.enter_context(processes.server(peer.module, path=peer.ready, python=python))
            load.drive(running[name].port, requests, CLIENTS, CLIENTS)
            idle[name] = usage.idle_share(running[name].pid, IDLE_S)
            processes.pause(running[name].pid)
        found = rounds.interleaved({name: partial(turn, each, requests, awake) for name, each in running.items()}, options.rounds)
        peaks = {name: usage.family_peak_mib(each.pid) for name, each in running.items()}
    table = Table(
        f"Servers: videos of {CLIPS} clips (320x240 H.264) over HTTP, {CLIENTS} clients, float32",
        ("server", "set up", "clips/s", "of this service [95 %]", "CPU s/clip", "p50 s", "idle, of a core", "peak MiB"),
    )
    figures: dict[str, Any] = {}
    for name, peer in SERVERS.items():
        if name in absent:
            table.rows.append([name, peer.setup, absent[name], *[""] * 5])
            figures[name] = absent[name]
            continue
        result = rounds.summary(found[name], found[OURS])
        figures[name] = {**result.figures(), "idle_share_of_a_core": idle[name], "peak_mib": peaks[name]}
        cells = [name, peer.setup, f"{result.clips_per_s:.2f}", str(result.ratio), f"{result.cpu_s_per_clip:.3f}"]
        table.rows.append([*cells, result.latency(0.5), f"{idle[name]:.1%}", f"{peaks[name]:.0f}"])
    return Claim("peers", [table], figures)


if __name__ == "__main__":
    claims.run(measure, __doc__)
