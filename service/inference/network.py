"""What every engine's network is to the service: what it runs, how it is warmed up, and how it proves its weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model_store import c3d

if TYPE_CHECKING:
    from model_store.store import Model  # bench.gpu runs networks where pydantic is not installed

Floats = NDArray[np.float32]
Progress = Callable[[float], None]  # hears the share that is done, 0..1

# On a CPU a batch of 8 gains little over 4 and holds the device for more than a second, and 3 clips take less time in one batch
# than in two. A GPU gains from every doubling up to 32.
CPU_BATCH_SIZES = (1, 2, 3, 4)
GPU_BATCH_SIZES = (1, 2, 4, 8, 16, 32)


class Network(ABC):
    """One C3D, ready to run. Not to be used by two threads at once.

    Attributes: ``card`` and ``labels`` of its weights; ``precision``; ``backend``, the engine, its version and the device;
    ``batch_sizes``, rising: those that `warm_up` runs; ``calibration_sha256``, which calibration an int8 network has.
    """

    def __init__(self, model: Model, precision: str, backend: str, batch_sizes: tuple[int, ...] = CPU_BATCH_SIZES) -> None:
        self.card, self.labels = model.card, model.labels
        self.precision, self.backend, self.batch_sizes = precision, backend, batch_sizes
        self.calibration_sha256: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.card.name!r}, {self.precision}, {self.backend})"

    @abstractmethod
    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs:
        """One forward pass over clips uint8 (b, 16, 112, 112, 3) BGR. `outputs_of` makes the result of an engine's arrays."""

    @abstractmethod
    def run_zeros_behind_mean(self) -> c3d.ClipOutputs:
        """The outputs, one row each, for a clip that is zeros BEHIND the mean subtraction."""

    def warm_up(self, progress: Progress = lambda share: None) -> None:
        """Run every batch size once, so that serving compiles nothing."""
        for done, size in enumerate(self.batch_sizes, start=1):
            self.run(np.zeros((size, *c3d.CLIP_SHAPE), np.uint8))
            progress(done / len(self.batch_sizes))

    def known_answer(self) -> tuple[int, float] | None:
        """Class and probability of zeros behind the mean subtraction; None without a class layer.

        They need no video, no mean and no resize: the cheapest proof that a weights file was read in the right layout.
        """
        if not self.card.num_classes:
            return None
        probabilities = self.run_zeros_behind_mean().probabilities[0]
        return int(probabilities.argmax()), float(probabilities.max())


def outputs_of(pool5: Floats, fc6: Floats, fc7: Floats, probabilities: Floats | None) -> c3d.ClipOutputs:
    """What an engine computed for b clips, as the service has it.

    pool5: float32 (b, 512, 4, 4), channels first; any view of it will do. fc6, fc7: float32 (b, 4096) after their ReLU.
    probabilities: float32 (b, n); None without a class layer.
    """
    num_clips = len(fc6)
    rows = pool5.reshape(num_clips, -1)
    return c3d.ClipOutputs(rows, fc6, fc7, np.zeros((num_clips, 0), np.float32) if probabilities is None else probabilities)
