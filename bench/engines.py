"""The network in every engine and precision, with the same weights: python -m bench.engines. Clips/s, processor, memory, drift.

The service's own engines, and what people would use instead. Batches of 4 clips of real videos in interleaved rounds, one engine
at a time, all warm; the float32 engines of the service in batches of 1 to 3 too. Drift is how far each one's fc6 is from
TensorFlow's in float32, on clips that int8 was not calibrated on. An engine whose library is not there (`make
.venv-bench/installed`), or that cannot run on this machine, is listed with the reason. --long adds Keras on PyTorch and JAX.
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
from bench.claims import Aim, Claim, Options, Table, at_least
from bench.contenders import BATCH, ENGINES, LONG, REFERENCE, WINOGRAD, Engine, store
from bench.inputs import REAL_VIDEOS, Clips
from bench.installed import interpreter, missing
from bench.rounds import Sample
from model_store import c3d, calibration
from model_store.store import open_model

LOOP = 12  # clips of an engine in a round: whole batches of every size
BY_BATCH = (REFERENCE, WINOGRAD, "openvino float32")
SMALLER = (1, 2, 3)  # than BATCH
AIMS = {1: 3.6, 4: 4.0}  # times TensorFlow, by batch
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


def turn(child: processes.Worker, batch: int = BATCH) -> Sample:
    """One engine's part of a round."""
    before = usage.cpu_s(child.pid)
    seconds = child.ask(loop=LOOP, batch=batch)["seconds"]
    return Sample(LOOP, seconds, usage.cpu_s(child.pid) - before)


def measure(options: Options, directory: Path) -> Claim:
    """Speed, memory and drift of every engine that is installed and that this machine can run."""
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
            if "unavailable" in child.first_answer:
                absent[name] = f"skipped: {child.first_answer['unavailable']}"
                continue
            extra[name] = {"start_s": time.perf_counter() - started, "peak_mib": usage.peak_mib(child.pid)}
            child.ask(outputs=str(directory / f"{name}.npz"))
            drifts[name] = calibration.drift(outputs(directory / f"{name}.npz"), outputs(directory / f"{REFERENCE}.npz"))
            turns[name] = partial(turn, child)
            if name in BY_BATCH:
                turns |= {of_batch(name, batch): partial(turn, child, batch) for batch in SMALLER}
        found = rounds.interleaved(turns, options.rounds)
    table, figures = _by_engine(found, engines, absent, extra, drifts)
    table.note = (
        f"Relative L2 and cosine of fc6 and the first class against the first engine's, on {drifts[REFERENCE].num_clips} clips "
        f"of real videos, with {model.card.weights} weights. Starting includes compiling and, for int8, calibrating."
    )
    by_batch, aims = _by_batch(found)
    figures["batches"] = {name: rounds.summary(found[name], found[name]).figures() for name in found if name not in engines}
    return Claim("engines", [table, by_batch], figures, aims)


def of_batch(name: str, batch: int) -> str:
    """What an engine's turns with this batch are called."""
    return name if batch == BATCH else f"{name}, batch {batch}"


def _by_engine(
    found: dict[str, list[Sample]],
    engines: dict[str, Engine],
    absent: dict[str, str],
    extra: dict[str, dict[str, float]],
    drifts: dict[str, calibration.Drift],
) -> tuple[Table, dict[str, Any]]:
    table = Table(
        f"The network in each engine, {claims.plural(claims.cores(), 'core')}, batches of {BATCH}",
        ("engine", "set up", "clips/s", "of the first [95 %]", "CPU s/clip", "relative L2, median and worst", "least cosine",
         "same top-1", "start s", "peak MiB"),
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
    return table, figures


def _by_batch(found: dict[str, list[Sample]]) -> tuple[Table, list[Aim]]:
    """The float32 engines at each batch size, held against TensorFlow at the same size."""
    table = Table("By the size of the batch", ("batch", "engine", "clips/s", f"of {REFERENCE} [95 %]", "ms a clip", "CPU s/clip"))
    aims: list[Aim] = []
    for batch in (*SMALLER, BATCH):
        base = found[of_batch(REFERENCE, batch)]
        for name in (each for each in BY_BATCH if each in found):
            result = rounds.summary(found[of_batch(name, batch)], base)
            speed = [f"{result.clips_per_s:.2f}", str(result.ratio), f"{1000 / result.clips_per_s:.0f}"]
            table.rows.append([str(batch), name, *speed, f"{result.cpu_s_per_clip:.3f}"])
            if name == WINOGRAD and batch in AIMS:
                aims.append(at_least(f"winograd, times TensorFlow at batch {batch}", AIMS[batch], result.ratio))
    return table, aims


if __name__ == "__main__":
    claims.run(measure, __doc__)
