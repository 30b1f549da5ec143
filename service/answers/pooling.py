"""Many clip outputs become one answer: the mean over clips, then the L2 norm; the mean of their probabilities; segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


class Prediction(NamedTuple):
    """A class and its probability, 0..1."""

    class_id: int
    score: float


class MeanPool:
    """A running mean over clips, float64 inside, so that neither the number of clips nor their order shows in float32.

    "These clip fc6 activations are averaged to form a 4096-dim video descriptor which is then followed by an L2-normalization"
    (paper, section 3.3): the mean comes first. Scores of a video are the mean of its clips' softmax outputs.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum: NDArray[np.float64] | None = None

    def add(self, row: Float32) -> None:
        """Take one clip's output, float32 (n,)."""
        self._sum = row.astype(np.float64) if self._sum is None else self._sum + row
        self.count += 1

    def mean(self) -> Float32:
        """Float32 (n,). Raises ValueError before the first row."""
        if self._sum is None:
            raise ValueError("there is no mean of no clips")
        return (self._sum / self.count).astype(np.float32)


def l2_normalize(vector: Float32) -> Float32:
    """``vector`` (n,) divided by its L2 norm, computed in float64. Zeros, which have no direction, stay zeros."""
    wide = vector.astype(np.float64)
    norm = float(np.sqrt(wide @ wide))
    return (wide / norm).astype(np.float32) if norm else vector


def top_predictions(probabilities: Float32, top_k: int) -> list[Prediction]:
    """The ``top_k`` classes of probabilities (n,), most probable first, the lower class first where they tie."""
    order = np.argsort(-probabilities, kind="stable")[:top_k]
    return [Prediction(int(i), float(probabilities[i])) for i in order]


@dataclass
class Segment:
    """Neighbouring clips whose most probable class is the same, and the time that they stand for."""

    class_id: int
    start_sec: float
    end_sec: float
    scores: list[float]


class Segments:
    """Merges clips as they come. One whose best score is below ``score_threshold`` has no class, and parts its neighbours.

    Segments tile the time: the border between two clips, which may overlap, lies in the middle between them.
    """

    def __init__(self, score_threshold: float) -> None:
        self._threshold = score_threshold
        self._open = False
        self._last_end_sec: float | None = None
        self.found: list[Segment] = []

    def add(self, probabilities: Float32, start_sec: float, end_sec: float) -> None:
        """Take the next clip."""
        [best] = top_predictions(probabilities, 1)
        border_sec = start_sec if self._last_end_sec is None else (self._last_end_sec + start_sec) / 2
        self._last_end_sec = end_sec
        has_class = best.score >= self._threshold
        is_same = self._open and has_class and self.found[-1].class_id == best.class_id
        if self._open and not is_same:
            self.found[-1].end_sec = border_sec
        self._open = has_class
        if not has_class:
            return
        if not is_same:
            self.found.append(Segment(best.class_id, border_sec, end_sec, []))
        self.found[-1].end_sec = end_sec
        self.found[-1].scores.append(best.score)
