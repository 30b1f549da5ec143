"""The network in each engine and precision, with the same weights: python -m bench.engine_speed. Clips/s, and drift.

Batches of 4 clips in interleaved rounds, one engine at a time, all warm. Drift is how far each one's numbers on real videos are
from those of TensorFlow in float32. An engine whose library is not there (`make .venv-bench`) is listed as not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench import claims, inputs, processes, rounds, usage
from bench.claims import Claim, Options, Table
from bench.engines import ENGINES, store
from bench.inputs import REAL_VIDEOS, Clips
from bench.installed import interpreter, missing
from bench.rounds import Sample
from model_store.store import open_model
from service import c3d

LOOP = 16  # clips of an engine in a round
DRIFT_STRIDE = 16  # frames between the clips of the real videos that drift is measured on
REFERENCE = "tensorflow"


class Drift(NamedTuple):
    """How far one engine's numbers are from the reference's: of the worst clip and video, and the share of equal top labels."""

    clip_cosine: float
    clip_relative_l2: float
    video_cosine: float
    video_relative_l2: float
    same_top_1: float


def drift(found: dict[str, Any], reference: dict[str, Any], lengths: list[int]) -> Drift:
    """``lengths``: how many clips each video has; fc6 (n, 4096) and probabilities (n, 487) of all of them in a row."""

    def compare(mine: Any, base: Any) -> tuple[float, float]:
        norms = np.linalg.norm(mine, axis=1), np.linalg.norm(base, axis=1)
        cosine = (mine.astype(np.float64) * base).sum(axis=1) / norms[0] / norms[1]
        return float(cosine.min()), float((np.linalg.norm(mine - base, axis=1) / norms[1]).max())

    ends = np.cumsum(lengths)[:-1]
    videos = [np.stack([rows.mean(axis=0) for rows in np.split(each["fc6"], ends)]) for each in (found, reference)]
    videos = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in videos]
    same = (found["probabilities"].argmax(axis=1) == reference["probabilities"].argmax(axis=1)).mean()
    return Drift(*compare(found["fc6"], reference["fc6"]), *compare(*videos), float(same))


def drift_clips(directory: Path, crop_left: int) -> list[Clips]:
    """The clips of the real videos, as they are; of one made here where there are none."""
    paths = REAL_VIDEOS or [inputs.make_video(directory / "pattern.mp4", 10 * c3d.CLIP_LENGTH)]
    return [inputs.clips_of(path, crop_left, DRIFT_STRIDE) for path in paths]


def loop(child: processes.Worker) -> Sample:
    """One engine's part of a round."""
    before = usage.cpu_s(child.pid)
    seconds = child.ask(loop=LOOP)["seconds"]
    return Sample(LOOP, seconds, usage.cpu_s(child.pid) - before)


def measure(options: Options, directory: Path) -> Claim:
    """Speed and drift of every engine."""
    model = open_model(store())
    videos = drift_clips(directory, model.card.crop_left)
    np.save(directory / "clips.npy", np.concatenate(videos))
    absent = {name: why for name, engine in ENGINES.items() if (why := missing(interpreter(options, engine.needs), engine.needs))}
    turns: dict[str, Callable[[], Sample]] = {}
    outputs: dict[str, Any] = {}
    with ExitStack() as stack:
        for name in ENGINES.keys() - absent.keys():
            python = str(interpreter(options, ENGINES[name].needs))
            child = stack.enter_context(
                processes.worker("bench.engine_worker", name, str(directory / "clips.npy"), python=python)
            )
            child.ask(outputs=str(directory / f"{name}.npz"))
            outputs[name] = dict(np.load(directory / f"{name}.npz"))
            turns[name] = partial(loop, child)
        found = rounds.interleaved({name: turns[name] for name in ENGINES if name in turns}, options.rounds)
    table = Table(
        f"The network in each engine, {claims.plural(claims.cores(), 'core')}, batches of 4",
        ("engine", "set up", "clips/s", "of the first [95 %]", "CPU s/clip", "cosine", "relative L2", "same top-1"),
        note=f"Cosine and relative L2 of fc6 against the first one's: the worst of {sum(map(len, videos))} clips of "
        f"{len(videos)} videos, with {model.card.weights} weights.",
    )
    figures: dict[str, Any] = {}
    for name, engine in ENGINES.items():
        if name in absent:
            table.rows.append([name, engine.setup, absent[name], *[""] * 5])
            figures[name] = absent[name]
            continue
        result = rounds.summary(found[name], found[REFERENCE])
        away = drift(outputs[name], outputs[REFERENCE], [len(video) for video in videos])
        figures[name] = {**result.figures(), "drift": away._asdict()}
        cells = [name, engine.setup, f"{result.clips_per_s:.2f}", str(result.ratio), f"{result.cpu_s_per_clip:.3f}"]
        table.rows.append([*cells, f"{away.clip_cosine:.6f}", f"{away.clip_relative_l2:.1e}", f"{away.same_top_1:.0%}"])
    return Claim("engines", [table], figures)


if __name__ == "__main__":
    claims.run(measure, __doc__)
