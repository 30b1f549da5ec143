"""The same videos through every engine that is installed: python -m bench.engines VIDEO... [--store DIRECTORY] [--rounds 5]

Speed and drift side by side in one run. Every engine and precision runs in a process of its own, one at a time, in turns, so that
what else the machine does falls on all alike. Beside the clock stands the processor time of a clip, all threads together: on
a machine with other work it is the one to compare by. Drift is that of the first line, which is the service's default.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from model_store import calibration
from model_store.fingerprint import clips_of
from model_store.store import StoreError, open_model
from service import c3d
from service.errors import PrecisionUnavailable
from service.loading import build

NETWORKS = (
    ("tensorflow", "float32"),
    ("tensorflow", "bfloat16"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
    ("jax", "float32"),
    ("torch", "float32"),
)
BATCH = 4
CLIPS_PER_VIDEO = 4


class Child:
    """One network, in a process of its own, that does a round when it is told to."""

    def __init__(self, engine: str, precision: str, directory: Path, store: Path) -> None:
        command = [sys.executable, "-m", "bench.engines", "--child", engine, precision, str(directory), "--store", str(store)]
        self.name, self.outputs = f"{engine} {precision}", directory / f"{engine}-{precision}.npz"
        self.rounds: list[dict[str, float]] = []
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.start = self._ask("")

    def round(self) -> None:
        """All clips once."""
        self.rounds.append(self._ask("round\n"))

    def end(self) -> None:
        """End the process."""
        self._process.communicate()

    def median(self, key: str) -> float:
        """Over the rounds."""
        return statistics.median(each[key] for each in self.rounds)

    def _ask(self, line: str) -> dict[str, Any]:
        if self._process.stdin:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        for answer in self._process.stdout or ():
            if answer.startswith("{"):
                return dict(json.loads(answer))
        return {"refused": "the process died"}


def child(engine: str, precision: str, directory: Path, store: Path) -> None:
    """What runs in it: load, write down the outputs, then a round for each line on stdin."""
    clips = np.load(directory / "clips.npy")
    started = time.perf_counter()
    try:
        network = build(open_model(store), engine, precision, max_drift=1)
    except (ImportError, PrecisionUnavailable, StoreError) as error:
        print(json.dumps({"refused": str(error)}))
        return
    network.warm_up(lambda share: None)
    seconds = time.perf_counter() - started
    parts = [network.run(clips[i : i + BATCH]) for i in range(0, len(clips), BATCH)]
    np.savez(directory / f"{engine}-{precision}.npz", *map(np.concatenate, zip(*parts, strict=True)))
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak_mib, "backend": network.backend}), flush=True)
    for _ in sys.stdin:
        clock, processor = time.perf_counter(), time.process_time()
        for i in range(0, len(clips), BATCH):
            network.run(clips[i : i + BATCH])
        spent = {"clock": time.perf_counter() - clock, "processor": time.process_time() - processor}
        print(json.dumps({key: seconds / len(clips) for key, seconds in spent.items()}), flush=True)


def drift(one: Child, other: Child) -> str:
    """Of one's outputs from the other's."""
    found, expected = (c3d.ClipOutputs(*np.load(each.outputs).values()) for each in (one, other))
    return str(calibration.drift(found, expected))


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("videos", type=Path, nargs="*")
    parser.add_argument("--store", type=Path, default=Path("model_store/files"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="tensorflow,openvino,jax,torch", help="engines, with commas")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        engine, precision, directory = options.child
        child(engine, precision, Path(directory), options.store)
        return
    with tempfile.TemporaryDirectory() as name:
        crop_left = open_model(options.store).card.crop_left
        clips = [clip.copy() for video in options.videos for clip in islice(clips_of(video, crop_left, 16), CLIPS_PER_VIDEO)]
        np.save(Path(name) / "clips.npy", np.stack(clips))
        started = [Child(*network, Path(name), options.store) for network in NETWORKS if network[0] in options.only]
        children = [each for each in started if "refused" not in each.start]
        for _ in range(options.rounds):
            for each in children:
                each.round()
        report(children, len(clips))
        for each in started:
            if each not in children:
                print(f"{each.name}: {each.start['refused']}")
            each.end()


def report(children: list[Child], num_clips: int) -> None:
    """The table, then the drifts."""
    first = children[0]
    print(f"{num_clips} clips in batches of {BATCH}; medians of {len(first.rounds)} rounds")
    print("                      clips/s  times the first  processor s a clip  times less  start s  peak MiB")
    for each in children:
        clock, processor = each.median("clock"), each.median("processor")
        faster = statistics.median(a["clock"] / b["clock"] for a, b in zip(first.rounds, each.rounds, strict=True))
        less = statistics.median(a["processor"] / b["processor"] for a, b in zip(first.rounds, each.rounds, strict=True))
        print(
            f"{each.name:20s} {1 / clock:8.2f} {faster:16.2f} {processor:19.3f} {less:11.2f} {each.start['seconds']:8.1f} "
            f"{each.start['peak_mib']:9.0f}"
        )
    for each in children[1:]:
        print(f"{each.name}, drift from {first.name}: {drift(each, first)}")


if __name__ == "__main__":
    main()
