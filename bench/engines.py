"""The network in every engine and precision, with the same weights: python -m bench.engines. Clips/s, processor, memory, drift.

The service's own engines, and what people would use instead. Batches of 4 clips of real videos in interleaved rounds, one engine
at a time, all warm. Drift is how far each one's fc6 is from TensorFlow's in float32, on clips that int8 was not calibrated on. An
engine whose library is not there (`make .venv-bench/installed`) is listed as not installed. --long adds Keras on PyTorch and JAX.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench import claims, inputs, processes, rounds, usage
from bench.claims import Claim, Options, Table
from bench.contenders import ENGINES, LONG, REFERENCE, store
from bench.inputs import REAL_VIDEOS, Clips
from bench.installed import interpreter, missing
from bench.rounds import Sample
from model_store import c3d, calibration
from model_store.store import open_model

LOOP = 8  # clips of an engine in a round
STRIDE = 16  # frames between the clips that drift is measured on


def clips_of_real_videos(directory: Path, crop_left: int) -> Clips:
    """Clips of the real videos, as they are; of one made here where there are none."""
    paths = REAL_VIDEOS or [inputs.make_video(directory / "pattern.mp4", 20 * c3d.CLIP_LENGTH)]
    return np.concatenate([inputs.clips_of(path, crop_left, STRIDE) for path in paths])


def outputs(path: Path) -> c3d.ClipOutputs:
    """What an engine has written, of every other clip: those that int8 was not calibrated on."""
    found = np.load(path)
    fc6 = found["fc6"][1::2]  # all that drift is measured on, beside the probabilities
    return c3d.ClipOutputs(fc6, fc6, fc6, found["probabilities"][1::2])


def turn(child: processes.Worker) -> Sample:
    """One engine's part of a round."""
    before = usage.cpu_s(child.pid)
    seconds = child.ask(loop=LOOP)["seconds"]
    return Sample(LOOP, seconds, usage.cpu_s(child.pid) - before)


def measure(options: Options, directory: Path) -> Claim:
    """Speed, memory and drift of every engine that is installed."""
    model = open_model(store())
    np.save(directory / "clips.npy", clips_of_real_videos(directory, model.card.crop_left))
    engines = ENGINES | (LONG if options.long else {})
    absent = {name: why for name, engine in engines.items() if (why := missing(interpreter(options, engine.needs), engine.needs))}
    turns: dict[str, Callable[[], Sample]] = {}
    extra: dict[str, dict[str, float]] = {}
    drifts: dict[str, calibration.Drift] = {}
    with ExitStack() as stack:
        for name, engine in engines.items():
            if name in absent:
                continue
            started = time.perf_counter()
            arguments = ("bench.engine_worker", name, str(directory / "clips.npy"))
            child = stack.enter_context(processes.worker(*arguments, python=str(interpreter(options, engine.needs))))
            extra[name] = {"start_s": time.perf_counter() - started, "peak_mib": usage.peak_mib(child.pid)}
            child.ask(outputs=str(directory / f"{name}.npz"))
            drifts[name] = calibration.drift(outputs(directory / f"{name}.npz"), outputs(directory / f"{REFERENCE}.npz"))
            turns[name] = partial(turn, child)
        found = rounds.interleaved(turns, options.rounds)
    table = Table(
        f"The network in each engine, {claims.plural(claims.cores(), 'core')}, batches of 4",
        ("engine", "set up", "clips/s", "of the first [95 %]", "CPU s/clip", "relative L2, median and worst", "least cosine",
         "same top-1", "start s", "peak MiB"),
        note=f"Relative L2 and cosine of fc6 and the first class against the first engine's, on {drifts[REFERENCE].num_clips} "
        f"clips of real videos, with {model.card.weights} weights. Starting includes compiling and, for int8, calibrating.",
    )  # fmt: skip
    figures: dict[str, Any] = {}
    for name, engine in engines.items():
        if name in absent:
            table.rows.append([name, engine.setup, absent[name], *[""] * 7])
            figures[name] = absent[name]
            continue
        result, drift = rounds.summary(found[name], found[REFERENCE]), drifts[name]
        figures[name] = {**result.figures(), **extra[name], "drift": drift.model_dump()}
        cells = [name, engine.setup, f"{result.clips_per_s:.2f}", str(result.ratio), f"{result.cpu_s_per_clip:.3f}"]
        cells += [f"{drift.relative_l2_median:.1e}, {drift.relative_l2_max:.1e}", f"{drift.cosine_min:.6f}"]
        same = "" if drift.top1_agreement is None else f"{drift.top1_agreement:.0%}"
        table.rows.append([*cells, same, f"{extra[name]['start_s']:.1f}", f"{extra[name]['peak_mib']:.0f}"])
    return Claim("engines", [table], figures)


if __name__ == "__main__":
    claims.run(measure, __doc__)
