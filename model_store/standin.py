"""Stand-in weights: seeded random numbers that behave like a trained network, to try the service without the real ones.

Their labels mean nothing. But different videos get different answers, the probabilities are neither flat nor certain, and
every number is the same on every machine and for ever: NumPy freezes RandomState's stream, and what is done with it here
is integer arithmetic, then one IEEE multiplication. Two things make random layers keep videos apart, where plain ones map
all of them to nearly the same vector: each filter's weights add up to exactly zero, so that the level common to all inputs
drops out; and each layer's gain was chosen so that its activations have a root mean square of about 1 on real videos.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model_store import c3d
from model_store.tensors import Float32, StoreError, identity, tensor_sha256

if TYPE_CHECKING:
    from model_store import store

SEED = 20150412
# Standard deviation of a layer's weights times the square root of their number per filter, measured on five real videos.
# conv1 sees grey levels about zero (root mean square 60); fc8 sets how certain the softmax is.
GAINS = {
    "conv1": 0.04, "conv2": 1.4, "conv3a": 1.3, "conv3b": 1.75, "conv4a": 1.3, "conv4b": 1.85,
    "conv5a": 1.25, "conv5b": 2.05, "fc6": 1.3, "fc7": 1.7, "fc8": 9.0,
}  # fmt: skip
BIAS = 0.25  # biases range over -BIAS..BIAS
INT8_DEVIATION = 74.0  # of uniform integers -128..127: sqrt((256**2 - 1) / 12), rounded
KNOWN_ANSWER = 396  # the class of a clip of zeros behind the mean subtraction, favoured by ...
KNOWN_ANSWER_BIAS = 1.5  # ... this much, so that rounding cannot change it
WARNING = """
************************************************************************************
*  STAND-IN WEIGHTS: these are seeded RANDOM NUMBERS, not a trained network.        *
*  The service runs with them, and every label and every descriptor means NOTHING.  *
*  Replace them: download the real weights, or import your own (docs/weights.md).   *
************************************************************************************
"""
# `tensors.identity` of what `tensors` makes; a test holds them together.
IDENTITY = "90411d89809dcfb8d306ef24db73b4fd92e1d5de87a69052dd53c352752edcba"


def present(directory: Path) -> store.Model | None:
    """The stand-in model, where the store has one with these numbers; its weights are not read."""
    # These need pydantic; the numbers below do not, so that bench/gpu.py runs on bare machines.
    from model_store import store
    from model_store.card import STAND_IN

    if STAND_IN not in store.names(directory):
        return None
    try:
        model = store.Model(directory / STAND_IN)
    except StoreError:
        return None  # to be made again
    return model if model.card.weights_sha256 == IDENTITY else None


def tensors() -> dict[str, Float32]:
    """The canonical tensors (`c3d.weight_shapes`), float32, bit for bit the same everywhere."""
    random = np.random.RandomState(SEED)
    made: dict[str, Float32] = {}
    for name, shape in c3d.weight_shapes().items():
        integers = random.randint(-128, 128, size=shape, dtype=np.int8)
        layer, variable = name.split("/")
        if variable == "bias":
            made[name] = integers * np.float32(BIAS / 128)
            continue
        count = int(np.prod(shape[:-1]))
        # count * w - sum(w) has exactly zero sum in each filter, and at most 13824 * 256 < 2**24 fits a float32.
        centred = integers.astype(np.int32) * count - integers.sum(axis=tuple(range(len(shape) - 1)), dtype=np.int32)
        made[name] = centred.astype(np.float32) * np.float32(GAINS[layer] / (INT8_DEVIATION * count**1.5))
    made["fc8/bias"][KNOWN_ANSWER] += np.float32(KNOWN_ANSWER_BIAS)
    return made


def mean() -> Float32:
    """A mean cube float32 (3, 16, 128, 171) at Sports-1M's level that varies over channels, frames, rows and columns.

    Every value is a multiple of 1/16, so it is exact.
    """
    noise = np.random.RandomState(SEED + 1).randint(-64, 65, size=c3d.MEAN_SHAPE)
    level = 16 * np.array([101, 108, 108]).reshape(3, 1, 1, 1)  # B, G, R of the Sports-1M mean, rounded
    rows = np.arange(c3d.FRAME_SIZE[0]).reshape(1, 1, -1, 1) - c3d.FRAME_SIZE[0] // 2
    return ((level - 4 * rows + noise) / 16).astype(np.float32)  # skies are bright, the ground is darker


def write(directory: Path, labels: tuple[str, ...] | None) -> store.Model:
    """Put the stand-in model into the store; ``labels`` None numbers the classes "class 0" ... "class 486"."""
    from model_store import store
    from model_store.card import STAND_IN, Card

    weights, cube = tensors(), mean()
    card = Card(
        name=STAND_IN,
        weights=STAND_IN,
        weights_sha256=identity(weights),
        num_classes=c3d.NUM_CLASSES,
        preprocessing="c3d-sports1m",
        crop_left=c3d.CROP_LEFT,
        mean=STAND_IN,
        mean_sha256=tensor_sha256({store.MEAN: cube}),
        labels="sports1m" if labels else "numbered",
        known_answer=KNOWN_ANSWER,
        source=f"python -m model_store stand-in, seed {SEED}",
        authenticity="seeded",
        form="seeded",
        licence="none needed: random numbers",
        created=dt.datetime.now(dt.UTC).date().isoformat(),
    )
    return store.write(directory, card, weights, cube, labels or tuple(f"class {i}" for i in range(c3d.NUM_CLASSES)))
