"""Where the time goes, as text in bench/profiles/: python -m bench.profiling. Run it again when something was made faster.

network.txt: what oneDNN did in one batch of 4, by its own account. service.txt: what held Python's lock in the service under
video load, sampled by py-spy (in .venv-bench). decoding.txt: the functions of reading one video, by cProfile.
"""

from __future__ import annotations

import cProfile
import io
import pstats
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bench import claims, inputs, load, processes, usage
from bench.claims import Claim, Options
from bench.processes import ROOT
from service.video.frames import read_video

PROFILES = Path("bench/profiles")
CLIPS, CLIENTS = 6, 4
RATE, SAMPLED_S = 100, 30
ONE_BATCH = """
import sys, numpy, os
from bench.contenders import configured, store
from model_store.store import open_model
run = configured(open_model(store()))
clips = numpy.load(sys.argv[1])[:4]
run(clips), run(clips)
print("the pass", flush=True)
run(clips)
"""


def network(clips: Path) -> str:
    """The primitives of one pass, slowest first."""
    environment = {**processes.environment_of({}), "ONEDNN_VERBOSE": "1"}
    command = [sys.executable, "-c", ONE_BATCH, str(clips)]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, list[float]] = defaultdict(list)
    for line in run.stdout.rpartition("the pass")[2].splitlines():
        fields = line.split(",")
        if "exec" in fields[:5]:
            at = fields.index("exec")
            kind, implementation, shape = fields[at + 2], fields[at + 3], fields[-2]
            found[f"{kind:15} {implementation:28} {shape}"].append(float(fields[-1]))
    total = sum(map(sum, found.values()))
    lines = [f"{total:8.1f} ms in oneDNN for a batch of 4 clips, float32"]
    for name, times in sorted(found.items(), key=lambda each: -sum(each[1])):
        lines.append(f"{sum(times):8.1f} ms {sum(times) / total:6.1%} {len(times):2}x {name}")
    return "\n".join(lines) + "\n"


def functions(collapsed: Iterable[str], num_samples: int, top: int = 25) -> str:
    """What held Python's lock, by the functions at the ends of py-spy's stacks, as shares of all the time."""
    found: Counter[str] = Counter()
    for line in collapsed:
        stack, _, count = line.rpartition(" ")
        found[re.sub(r":\d+\)$", ")", stack.rpartition(";")[2])] += int(count)
    lines = [f"Python's lock was held {found.total() / num_samples:.1%} of the time; the network and the decoders run without it"]
    lines += [f"{count / num_samples:8.2%} {name}" for name, count in found.most_common(top)]
    return "\n".join(lines) + "\n"


def service(videos: list[bytes], spy: Path) -> str:
    """The service under video load."""
    requests = [load.video_upload(video, CLIPS) for video in videos]
    with processes.server("service") as running, tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "stacks.txt"
        load.drive(running.port, requests, CLIENTS, CLIENTS)
        flags = ("--gil", "--format", "raw", "--rate", str(RATE), "--duration", str(SAMPLED_S))
        before = {pid: usage.cpu_s(pid) for pid in usage.family(running.pid)}
        with subprocess.Popen([str(spy), "record", "--pid", str(running.pid), "--output", str(out), *flags]) as sampling:
            ended = threading.Event()

            def ask() -> None:
                while not ended.is_set():
                    load.drive(running.port, requests, CLIENTS, CLIENTS)

            asking = threading.Thread(target=ask)
            asking.start()
            sampling.wait()
            ended.set()
            asking.join()
        used = {pid: usage.cpu_s(pid) - earlier for pid, earlier in before.items()}
        share = used[running.pid] / sum(used.values())
        head = f"Processor: {share:.1%} the service's process (the network in it), the rest its decoders\n"
        return head + functions(out.read_text().splitlines(), RATE * SAMPLED_S)


def decoding(video: Path, times: int = 20) -> str:
    """The functions that reading a video spends its time in."""
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(times):
        for _ in read_video(video):
            pass
    profile.disable()
    out = io.StringIO()
    pstats.Stats(profile, stream=out).strip_dirs().sort_stats("tottime").print_stats(15)
    return f"{times} readings of a video of {CLIPS} clips\n{out.getvalue().strip()}\n"


def measure(options: Options, directory: Path) -> Claim:
    """Write the three files."""
    videos = inputs.make_videos(directory, CLIPS)
    np.save(directory / "clips.npy", inputs.clips_of(directory / "0.mp4"))
    PROFILES.mkdir(exist_ok=True)
    (PROFILES / "network.txt").write_text(network(directory / "clips.npy"))
    (PROFILES / "decoding.txt").write_text(decoding(directory / "0.mp4"))
    (PROFILES / "service.txt").write_text(service(videos, options.peers_python.with_name("py-spy")))
    return Claim("profiling", [], {})


if __name__ == "__main__":
    claims.run(measure, __doc__)
