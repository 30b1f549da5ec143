"""One engine at one precision, measured: the child process of bench/gpu.py. Writes JSON, one finding a line, to stdout.

Needs NumPy, Keras and the engine, and nothing else. The network is `KerasNetwork` itself.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store import c3d

FLOPS = 2 * 38.55e9  # of one clip's forward pass: multiplications and additions of the convolutions and dense layers
GROUPS = ("pool1", "pool2", "pool3", "pool4", "pool5", "fc8")  # the last layer of each
CALLS_TOGETHER_S = 0.2  # calls that are handed to the device before one waits for it
DTYPES = {"tf32": "float32"}


class Bare:
    """What `Network` needs of a model, from the files that bench/gpu.py wrote."""

    def __init__(self, directory: Path) -> None:
        self.card = SimpleNamespace(name="stand-in", num_classes=c3d.NUM_CLASSES, crop_left=c3d.CROP_LEFT, pool5="caffe")
        self.labels: tuple[str, ...] = ()
        self._directory = directory

    def cropped_mean(self) -> NDArray[np.float32]:
        """Behind the crop, as clips are: float32 (16, 112, 112, 3)."""
        return np.load(self._directory / "mean.npy")  # type: ignore[no-any-return]

    def tensors(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """The canonical tensors."""
        with np.load(self._directory / "weights.npz") as file:
            yield from ((name, file[name]) for name in c3d.weight_shapes())


def say(kind: str, **finding: Any) -> None:
    """One line for the parent."""
    print(json.dumps({"kind": kind, **finding}), flush=True)


def clips(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Clips uint8 (count, 16, 112, 112, 3): moving waves under noise, no two alike. Never zeros, which can run faster."""
    random = np.random.default_rng(seed)
    t, y, x = np.ogrid[:16, :112, :112]
    made = np.empty((count, *c3d.CLIP_SHAPE), np.uint8)
    for clip in made:
        for channel in range(3):
            speed, rows, columns = random.uniform(0.1, 0.4, 3)
            wave = np.sin(speed * t + rows * y) + np.cos(columns * x - speed * t)
            clip[..., channel] = 127 + 45 * wave + random.integers(-15, 16, clip.shape[:3])
    return made


def finished(tensor: Any) -> None:
    """Wait until the device has computed the tensor; almost none of it is copied."""
    import keras

    keras.ops.convert_to_numpy(tensor[(slice(0, 1),) * len(tensor.shape)])


def rate(call: Callable[[], Any], seconds: float) -> float:
    """Calls a second: the median over rounds. ``call`` gives a tensor that is not waited for within a round."""
    finished(call())  # traces, compiles
    started = time.perf_counter()
    finished(call())
    together = int(min(max(CALLS_TOGETHER_S / (time.perf_counter() - started), 1), 256))
    rounds: list[float] = []
    until = time.perf_counter() + seconds
    while len(rounds) < 3 or time.perf_counter() < until:
        started = time.perf_counter()
        for _ in range(together):
            last = call()
        finished(last)
        rounds.append((time.perf_counter() - started) / together)
    return 1 / statistics.median(rounds)


def matrix_peak(dtype: str, size: int, seconds: float) -> float:
    """Floating-point operations a second of a square matrix product, of random numbers."""
    import keras

    one, other = (
        keras.ops.convert_to_tensor(np.random.default_rng(i).standard_normal((size, size)), dtype=dtype) for i in (0, 1)
    )
    return rate(lambda: keras.ops.matmul(one, other), seconds) * 2 * size**3


def memory_mib(engine: str, *, on_gpu: bool) -> float | None:
    """Most memory so far: of the device's, where there is a GPU; else the process's."""
    if not on_gpu:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if engine == "torch":
        import torch

        return float(torch.cuda.max_memory_allocated() / 2**20)
    if engine == "jax":
        import jax

        statistics_of_device = jax.local_devices()[0].memory_stats() or {}
        return statistics_of_device["peak_bytes_in_use"] / 2**20 if "peak_bytes_in_use" in statistics_of_device else None
    import tensorflow as tf

    return float(tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20)


def error(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """The largest relative L2 error of a row."""
    return float((np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)).max())


class Measurement:
    """The network at one precision, and everything that is asked of it until the time is up."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Raises PrecisionUnavailable where the device cannot."""
        from service.inference.keras_network import KerasNetwork

        self.options = options
        self.network = KerasNetwork(Bare(options.directory), options.precision)  # type: ignore[arg-type]
        self.on_gpu = self.network.backend.endswith(" gpu")
        self.dtype = DTYPES.get(options.precision, options.precision)

    def error(self) -> None:
        """Against float32 on the CPU, which bench/gpu.py had computed before."""
        expected = np.load(self.options.directory / "reference.npz")
        found = self.network.run(clips(len(expected["fc6"])))
        errors = {name: error(getattr(found, name), expected[name]) for name in expected.files}
        say("error", backend=self.network.backend, **errors)

    def peak(self) -> float:
        """Of the matrix product. On a CPU a smaller one will do."""
        peak = matrix_peak(self.dtype, 8192 if self.on_gpu else 1024, self.options.seconds)
        say("peak", tflops=peak / 1e12)
        return peak

    def batch(self, size: int, peak: float) -> None:
        """One batch size: from data on the device, and from host frames in three ways."""
        import keras

        seconds, forward = self.options.seconds, self.network._forward  # noqa: SLF001 (what `run` does without copying back)
        batches = [clips(size, seed) for seed in (1, 2)]
        resident = [keras.ops.convert_to_tensor(batch) for batch in batches]
        frames = [clips((size + 1) // 2 + 1, seed).reshape(-1, *c3d.CLIP_SHAPE[1:])[: 8 * (size + 1)] for seed in (1, 2)]
        places = keras.ops.convert_to_tensor(np.arange(16) + 8 * np.arange(size)[:, None])
        turns = 0

        def turn() -> int:
            nonlocal turns
            turns += 1
            return turns % 2

        def overlapped(make: Callable[[], Any]) -> float:
            """The next batch is sent and started before the outputs of the one before are fetched."""
            running = [forward(make())]

            def call() -> Any:
                running.append(forward(make()))
                for output in running.pop(0):
                    keras.ops.convert_to_numpy(output)
                return running[0][-1]

            return size * rate(call, seconds)

        def gathered() -> Any:
            return keras.ops.take(keras.ops.convert_to_tensor(frames[turn()]), places, axis=0)

        found = size * rate(lambda: forward(resident[turn()])[-1], seconds)
        say("batch", size=size, resident=found, share=found * FLOPS / peak)
        say(
            "host",
            size=size,
            run=size * rate(lambda: self.network.run(batches[turn()]).probabilities, seconds),
            overlapped=overlapped(lambda: keras.ops.convert_to_tensor(batches[turn()])),
            unique_frames=overlapped(gathered),
        )
        mib = memory_mib(self.options.engine, on_gpu=self.on_gpu)
        if mib is not None:
            say("memory", size=size, mib=mib)

    def groups(self, size: int) -> None:
        """Milliseconds of a clip that each group of layers takes: the network up to its end, less that up to its beginning."""
        import keras

        from service.inference.engines import ENGINES

        inner = self.network.behind_mean
        centred = keras.ops.convert_to_tensor(clips(size).astype(np.float32) - 100)
        before = 0.0
        for last in GROUPS:
            part = keras.Model(inner.input, inner.get_layer(last).output)
            forward = ENGINES[self.options.engine].compile(part)
            until = 1000 / size / rate(partial(forward, centred), self.options.seconds)
            say("group", size=size, last=last, ms=until - before)
            before = until

    def candidates(self, size: int) -> None:
        """Each other form of the network beside the network's own: clips a second, and the error."""
        import keras

        from bench.candidates import FORMS, build

        model = Bare(self.options.directory)
        tensors = dict(model.tensors())
        mean = model.cropped_mean()
        batch = keras.ops.convert_to_tensor(clips(size))
        own = keras.ops.convert_to_numpy(self.network._forward(batch)[1])  # noqa: SLF001 (fc6)
        for name, form in FORMS.items():
            make = partial(build, form, tensors, mean, self.dtype)
            self.tried(name, partial(self._candidate, name, make, batch, own))

    def _candidate(self, name: str, make: Callable[[], Any], batch: Any, own: NDArray[np.float32]) -> None:
        import keras

        forward = make()
        found = error(keras.ops.convert_to_numpy(forward(batch)[0]), own)
        say(
            "candidate",
            name=name,
            size=len(own),
            rate=len(own) * rate(lambda: forward(batch)[-1], self.options.seconds),
            error=found,
        )

    def tried(self, what: str, work: Callable[[], None]) -> None:
        """Do it if there is time; what fails is told and costs nothing else."""
        if time.time() > self.options.until:
            say("left", what=what)
            return
        try:
            work()
        except Exception as error:  # noqa: BLE001 (to be out of memory has another class in each engine)
            say("failed", what=what, why=f"{type(error).__name__}: {error}"[:300])

    def all(self) -> None:
        """In the order of what is wanted most."""
        self.tried("error", self.error)
        peak = self.peak()
        middle = max((size for size in self.options.sizes if size <= 32), default=self.options.sizes[0])
        for size in sorted(self.options.sizes, key=lambda size: (size != middle, size)):
            self.tried(f"batch {size}", partial(self.batch, size, peak))
        self.tried("layer groups", partial(self.groups, middle))
        if self.options.candidates:
            self.candidates(middle)


def main() -> None:
    """Measure, or with --reference only compute what the others are compared with."""
    parser = argparse.ArgumentParser()
    parser.add_argument("engine")
    parser.add_argument("precision")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")])
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--until", type=float)
    parser.add_argument("--candidates", action="store_true")
    parser.add_argument("--reference", type=int, help="of so many clips")
    options = parser.parse_args()
    os.environ["KERAS_BACKEND"] = options.engine
    from service.errors import PrecisionUnavailable

    try:
        measurement = Measurement(options)
    except PrecisionUnavailable as error:
        say("refused", why=str(error))
        return
    if options.reference:
        outputs = measurement.network.run(clips(options.reference))
        np.savez(options.directory / "reference.npz", fc6=outputs.fc6, probabilities=outputs.probabilities)
    else:
        measurement.all()


if __name__ == "__main__":
    main()
