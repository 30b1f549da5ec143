"""What might make the network faster on a CPU, each against the network as it is: python -m bench.variants. See bench/tried.md.

Float32 throughout. CPU seconds a clip are compared beside clips/s: they depend less on what else the machine does.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench import claims, inputs, processes, rounds, stats, usage
from bench.claims import Claim, Options, Table
from bench.inputs import Clips
from bench.rounds import Sample
from bench.weights import Float32, Run
from model_store.store import Model

LOOP = 16
BASE = "as it is, batches of 4"


def as_it_is(model: Model) -> Run:
    """The service's network."""
    from service.inference.keras_network import KerasNetwork

    network = KerasNetwork(model)

    def run(clips: Clips) -> tuple[Float32, Float32]:
        outputs = network.run(clips)
        return outputs.fc6, outputs.probabilities

    return run


def _recompiled(model: Model, compile_: Callable[[Any], Callable[[Any], Any]]) -> Run:
    """The network with another way to compile its Keras model."""
    from unittest import mock

    from service.inference.engines import TensorFlow
    from service.inference.keras_network import KerasNetwork

    with mock.patch.object(TensorFlow, "compile", staticmethod(compile_)):
        network = KerasNetwork(model)

    def run(clips: Clips) -> tuple[Float32, Float32]:
        outputs = network.run(clips)
        return outputs.fc6, outputs.probabilities

    return run


def with_xla(model: Model) -> Run:
    """Compiled by XLA."""
    import tensorflow as tf

    return _recompiled(model, lambda keras_model: tf.function(partial(keras_model, training=False), jit_compile=True))


def frozen(model: Model) -> Run:
    """Variables made constants, so that oneDNN may keep the weights in its own order."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def compile_(keras_model: Any) -> Callable[[Any], Any]:
        signature = tf.TensorSpec([None, *keras_model.inputs[0].shape[1:]], tf.uint8)
        traced = tf.function(partial(keras_model, training=False)).get_concrete_function(signature)
        constant = convert_variables_to_constants_v2(traced)
        return lambda clips: constant(tf.constant(clips))

    return _recompiled(model, compile_)


def two_streams(model: Model) -> Run:
    """Two halves of a batch at once, a core for each, instead of one batch on both."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    run = as_it_is(model)
    pool = ThreadPoolExecutor(2)

    def halves(clips: Clips) -> tuple[Float32, Float32]:
        parts = list(pool.map(run, np.array_split(clips, min(2, len(clips)))))
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    return halves


class Variant(NamedTuple):
    """How to make it, the batch it runs, and its environment."""

    make: Callable[[Model], Run]
    batch: int = 4
    environment: dict[str, str] = {}  # noqa: RUF012 (nobody changes it)


VARIANTS = {
    BASE: Variant(as_it_is),
    "batches of 1": Variant(as_it_is, 1),
    "batches of 2": Variant(as_it_is, 2),
    "batches of 8": Variant(as_it_is, 8),
    "batches of 16": Variant(as_it_is, 16),
    "XLA": Variant(with_xla),
    "weights frozen into the graph": Variant(frozen),
    "two batches at once, a core each": Variant(two_streams),
    "without oneDNN": Variant(as_it_is, 4, {"TF_ENABLE_ONEDNN_OPTS": "0"}),
    "huge pages for malloc": Variant(as_it_is, 4, {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}),
}


def turn(child: processes.Worker, batch: int) -> Sample:
    """One variant's part of a round."""
    before = usage.cpu_s(child.pid)
    seconds = child.ask(loop=LOOP, batch=batch)["seconds"]
    return Sample(LOOP, seconds, usage.cpu_s(child.pid) - before)


def measure(options: Options, directory: Path) -> Claim:
    """Every variant in every round."""
    inputs.make_videos(directory, LOOP)
    np.save(directory / "clips.npy", inputs.clips_of(directory / "0.mp4"))
    turns: dict[str, Callable[[], Sample]] = {}
    with ExitStack() as stack:
        children: dict[str, processes.Worker] = {}
        for name, variant in VARIANTS.items():
            own = name if variant.make is not as_it_is or variant.environment else BASE
            if own not in children:
                arguments = ("bench.engine_worker", own, str(directory / "clips.npy"))
                children[own] = stack.enter_context(processes.worker(*arguments, **variant.environment))
            children[own].ask(loop=variant.batch, batch=variant.batch)
            turns[name] = partial(turn, children[own], variant.batch)
        found = rounds.interleaved(turns, options.rounds)
    table = Table("Ways to run the network", ("what", "clips/s", "of the first [95 %]", "CPU s/clip", "of the first [95 %]"))
    figures: dict[str, Any] = {}
    for name, samples in found.items():
        result = rounds.summary(samples, found[BASE])
        work = stats.paired_ratio([each.cpu_s for each in samples], [each.cpu_s for each in found[BASE]])
        table.rows.append([name, f"{result.clips_per_s:.2f}", str(result.ratio), f"{result.cpu_s_per_clip:.3f}", str(work)])
        figures[name] = {**result.figures(), "cpu_ratio": work}
    return Claim("variants", [table], figures)


if __name__ == "__main__":
    claims.run(measure, __doc__)
