"""One engine in a process of its own, warm, asked to run clips: python -m bench.engine_worker NAME CLIPS.npy.

Answers JSON lines. {"loop": n} runs n clips in batches one after the other: the bare network. {"batcher": concurrency,
"requests": n, "clips": k} passes n requests of k clips through the service's batcher, so many at a time. {"outputs": FILE.npz}
runs every clip once and writes fc6 and probabilities. All but the last answer with seconds. {} is answered with the process's id,
or with {"unavailable": why} where the engine cannot run on this machine.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from bench.contenders import BATCH, ENGINES, LONG, store
from bench.inputs import Clips
from bench.variants import VARIANTS
from bench.weights import Run
from model_store.store import open_model
from service.errors import DeviceUnavailable, PrecisionUnavailable
from service.inference.batcher import Batcher, BatchRun


class Work:
    """What can be asked of an engine."""

    def __init__(self, run: Run, clips: Clips) -> None:
        self._run, self._clips = run, clips
        self._batches: list[BatchRun] = []
        self._batcher = Batcher(self._outputs, range(1, BATCH + 1), self._batches.append)
        for size in self._batcher.batch_sizes:
            run(clips[:size])

    def _outputs(self, clips: Clips) -> Sequence[Any]:
        return self._run(clips)

    def _some(self, first: int, count: int) -> Clips:
        return self._clips[np.arange(first, first + count) % len(self._clips)]

    def loop(self, count: int, batch: int = BATCH) -> dict[str, Any]:
        """The bare network over so many clips."""
        batches = [self._some(first, min(batch, count - first)) for first in range(0, count, batch)]
        started = time.perf_counter()
        for each in batches:
            self._run(each)
        return {"seconds": time.perf_counter() - started}

    def batched(self, concurrency: int, requests: int, clips: int) -> dict[str, Any]:
        """The same through the batcher, from so many threads; each request owns its clips, as in the pipeline."""
        self._batches.clear()
        latencies: list[float] = []

        def request(number: int) -> None:
            started = time.perf_counter()
            owner = object()
            for done in [self._batcher.submit(owner, clip) for clip in self._some(number * clips, clips)]:
                done.result()
            latencies.append(time.perf_counter() - started)

        with ThreadPoolExecutor(concurrency) as pool:
            started = time.perf_counter()
            list(pool.map(request, range(requests)))
            seconds = time.perf_counter() - started
        num_clips, busy_s = sum(run.size for run in self._batches), sum(run.seconds for run in self._batches)
        return {"seconds": seconds, "latencies_s": latencies, "batches": len(self._batches), "clips": num_clips, "busy_s": busy_s}

    def outputs(self, path: str) -> dict[str, Any]:
        """Every clip's outputs, into a file."""
        parts = [self._run(self._clips[first : first + BATCH]) for first in range(0, len(self._clips), BATCH)]
        fc6, probabilities = (np.concatenate(each) for each in zip(*parts, strict=True))
        np.savez(path, fc6=fc6, probabilities=probabilities)
        return {}


def answer(work: Work, command: dict[str, Any]) -> dict[str, Any]:
    """What a command asks for; {} for none."""
    if "loop" in command:
        return work.loop(command["loop"], command.get("batch", BATCH))
    if "batcher" in command:
        return work.batched(command["batcher"], command["requests"], command["clips"])
    if "outputs" in command:
        return work.outputs(command["outputs"])
    return {"pid": os.getpid(), "threads": threading.active_count()}


def answers() -> TextIO:
    """Where they go: stdout, which is stderr from now on, since whatever a library prints must not get among them."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return out


def answer_lines(work: Work, out: TextIO) -> None:
    """One command a line, until stdin ends."""
    for line in sys.stdin:
        out.write(json.dumps(answer(work, json.loads(line))) + "\n")
        out.flush()


def main() -> None:
    """The process's life."""
    out = answers()
    name = sys.argv[1]
    makers = {each: maker.make for each, maker in (VARIANTS | ENGINES | LONG).items()}
    try:
        run = makers[name](open_model(store()))
    except (ImportError, PrecisionUnavailable, DeviceUnavailable) as error:
        sys.stdin.readline()
        print(json.dumps({"unavailable": str(error)}), file=out, flush=True)
        return
    answer_lines(Work(run, np.load(Path(sys.argv[2]))), out)


if __name__ == "__main__":
    main()
