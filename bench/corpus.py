"""More networks, more clips a second? python -m bench.corpus, where requirements-corpus.txt and the client are installed.

1, 2 and 4 networks that sleep in place of computing take the same number of videos each: over HTTP, so many services and
`c3d-video extract` with all of their addresses; on Ray, `python -m corpus --ray local` with so many workers. What is left is what
stands between the networks. The rate is that of the time in which all of them worked; what was before it is the start.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bench import claims, inputs, processes
from bench.claims import Aim, Claim, Options, Table
from bench.servers.sleeping import CLIP_S, RUNS
from model_store import c3d

NETWORKS = (1, 2, 4)
VIDEOS = 12  # a network
BATCH = 2  # of them that a worker takes at once
CLIPS = 10  # of a video
JOBS = 4  # videos in flight a network, over HTTP
LINEAR = 0.95
SERVER = "bench.servers.sleeping"


class Rate(NamedTuple):
    """Clips a second while all networks worked, and the seconds from the command to that time."""

    clips_per_s: float
    start_s: float


def over_http(count: int, videos: Path, directory: Path, runs: Path) -> float:
    """So many services, and one client of all of them. When its command began."""
    with ExitStack() as stack:
        ports = [stack.enter_context(processes.server(SERVER, **{RUNS: str(runs)})).port for _ in range(count)]
        urls = [word for port in ports for word in ("--server", f"http://127.0.0.1:{port}")]
        began = time.time()
        run(
            "c3d_video",
            "extract",
            str(videos),
            "-o",
            str(directory / "out"),
            "-q",
            "--allow-stand-in",
            "-j",
            str(JOBS * count),
            *urls,
            runs=runs,
        )
    return began


def on_ray(count: int, videos: Path, directory: Path, runs: Path) -> float:
    """So many workers of a cluster on this machine. When the command began."""
    began = time.time()
    how = ("--ray", "local", "--workers", str(count), "--batch", str(BATCH), "--cpus", "0.1", "-q", "--allow-stand-in")
    run(SERVER, str(videos), str(directory / "out"), *how, runs=runs)
    return began


def run(module: str, *arguments: str, runs: Path) -> None:
    """A command of ours. Raises CalledProcessError where it fails."""
    paths = os.pathsep.join([str(processes.ROOT), str(processes.ROOT / "client")])
    # Ray gives its workers the lowest priority, where whatever else runs starves them.
    environment = os.environ | {"PYTHONPATH": paths, RUNS: str(runs), "RAY_worker_niceness": "0"}
    subprocess.run([sys.executable, "-m", module, *arguments], cwd=processes.ROOT, env=environment, check=True)


def rate(runs: Path, count: int, began: float) -> Rate:
    """Of what the networks wrote down. A run that lies partly in the time in which all worked counts by that part."""
    networks = [[tuple(map(float, line.split())) for line in file.read_text().splitlines()] for file in runs.iterdir()]
    if len(networks) != count:
        raise RuntimeError(f"{len(networks)} networks worked, not {count}")
    start = max(each[0][0] for each in networks)
    end = min(each[-1][1] for each in networks)
    clips = sum(clips * max(0.0, min(stop, end) - max(at, start)) / (stop - at) for each in networks for at, stop, clips in each)
    return Rate(clips / (end - start), start - began)


def measure(_options: Options, directory: Path) -> Claim:
    """Both ways."""
    video = inputs.make_video(directory / "video.mp4", c3d.CLIP_LENGTH + (CLIPS - 1) * c3d.CLIP_STRIDE)
    table = Table(
        f"Networks that sleep {CLIP_S} s a clip, {VIDEOS} videos of {CLIPS} clips for each of them",
        ("way", "networks", "clips/s", "of linear", "start s"),
    )
    ways: dict[str, Callable[[int, Path, Path, Path], float]] = {"HTTP": over_http, "Ray": on_ray}
    aims: list[Aim] = []
    figures: dict[str, list[Rate]] = {}
    for way, work in ways.items():
        figures[way] = []
        for count in NETWORKS:
            here = directory / f"{way}-{count}"
            (here / "runs").mkdir(parents=True)
            (here / "videos").mkdir()
            for number in range(count * VIDEOS):
                shutil.copy(video, here / "videos" / f"{number:04d}.mp4")
            found = rate(here / "runs", count, work(count, here / "videos", here, here / "runs"))
            figures[way].append(found)
            share = found.clips_per_s / count / figures[way][0].clips_per_s
            table.rows.append([way, str(count), f"{found.clips_per_s:.2f}", f"{share:.3f}", f"{found.start_s:.1f}"])
            aims.append(Aim(f"{way}, {claims.plural(count, 'network')}", f"{LINEAR}", f"{share:.3f}", share >= LINEAR))
    return Claim("corpus", [table], {"rates": figures}, aims)


if __name__ == "__main__":
    claims.run(measure, __doc__)
