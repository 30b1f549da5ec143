"""One video's answer in a few lines, for comparing two installations: by eye, or with diff."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.tensors import StoreError
from service.answers.pooling import MeanPool, l2_normalize, top_predictions
from service.errors import ServiceError
from service.inference.network import Network
from service.video.inline import clips_of
from service.video.messages import ReadOptions

TOP_K = 5
PROJECTIONS = 8  # a wrong mean, crop or layer order changes several of them in the third digit
TOLERANCE = 1e-4  # what the service promises for one model on any two machines, as a relative L2 error of the descriptor


def report(network: Network, labels: Sequence[str], video: Path, say: Callable[[str], None]) -> None:
    """Run the video through the service's own stages and say its top classes and its descriptor's projections.

    Raises StoreError where the file gives no answer.
    """
    fc6, probabilities = MeanPool(), MeanPool()
    try:
        for clip in clips_of(video, ReadOptions.of(network.card)):
            outputs = network.run(clip[np.newaxis])
            fc6.add(outputs.fc6[0])
            probabilities.add(outputs.probabilities[0])
    except (ServiceError, OSError) as error:
        raise StoreError(f"{video} cannot be classified: {error}") from error
    if not fc6.count:
        raise StoreError(f"{video} gives no clip.")
    descriptor = l2_normalize(fc6.mean())
    say(f"{video.name}: {fc6.count} clips")
    if network.card.num_classes:
        for class_id, score in top_predictions(probabilities.mean(), TOP_K):
            say(f"  {score:.4f}  {class_id:3d}  {labels[class_id]}")
    say("Descriptor: " + " ".join(f"{number:+.5f}" for number in projections(descriptor)))
    say(f"  Two installations agree where no number differs by more than {TOLERANCE:.4f}.")
    say(f"  Bit for bit, on one machine: sha256 {hashlib.sha256(descriptor.tobytes()).hexdigest()[:16]}")


def projections(descriptor: NDArray[np.float32]) -> NDArray[np.float64]:
    """The descriptor (4096,) along eight fixed directions of length 1: float64 (8,).

    Two descriptors of length 1 that are 1e-4 apart differ by at most 1e-4 in each, which no rounded hash could promise. The
    directions are random signs over the square root of 4096, from RandomState, whose stream NumPy has frozen.
    """
    signs = np.random.RandomState(0).randint(0, 2, (PROJECTIONS, descriptor.size)) * 2 - 1
    along: NDArray[np.float64] = signs @ descriptor.astype(np.float64) / np.sqrt(descriptor.size)
    return along
