"""The network: C3D built from the layer table, on one device, at one precision. The only file that imports Keras."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

# In place before an engine is imported. float32 means float32: else oneDNN may be told from outside to multiply in
# bfloat16. And a process that holds one small network does not take the whole GPU from its neighbours.
os.environ["ONEDNN_DEFAULT_FPMATH_MODE"] = "STRICT"
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # `build.build` has set it to the engine that was chosen

import keras
import numpy as np
from numpy.typing import NDArray

from model_store import c3d
from service.inference.engines import ENGINES

if TYPE_CHECKING:
    from model_store.card import Card
    from model_store.store import Model

# On a CPU a batch of 8 gains little over 4 and holds the device for more than a second, and 3 clips in one batch take less
# than in two; a GPU wants more.
BATCH_SIZES = {"cpu": (1, 2, 3, 4), "gpu": (1, 2, 4, 8, 16, 32)}


class Network:
    """One C3D, ready to run. Not to be used by two threads at once.

    Attributes: ``card`` and ``labels`` of its weights; ``precision``; ``backend``, the engine, its version and the device;
    ``batch_sizes``, rising: those that `warm_up` traces; ``traces``, how often the engine has traced or compiled the forward
    pass so far (PyTorch never does).
    """

    def __init__(self, model: Model, precision: str = "float32") -> None:
        """Build the layers and load the model's weights.

        Raises PrecisionUnavailable where the device cannot compute in ``precision``, StoreError where the weights on
        disk are damaged.
        """
        engine = keras.backend.backend()
        self.card, self.labels = model.card, model.labels
        self.precision = precision
        device = ENGINES[engine].configure(precision)
        self.backend = f"{engine} {ENGINES[engine].version()} on {device}"
        self.batch_sizes = BATCH_SIZES[device]
        self.traces = 0
        self.calibration_sha256: str | None = None
        self._behind_mean = _layers(model.card, "float32" if precision == "tf32" else precision)
        for name, tensor in model.tensors():
            layer, variable = name.split("/")
            getattr(self._behind_mean.get_layer(layer), variable).assign(tensor)
        clips = keras.Input(c3d.CLIP_SHAPE, dtype="uint8", name="clips")
        centred = keras.ops.subtract(keras.ops.cast(clips, "float32"), model.cropped_mean())
        whole = keras.Model(clips, self._behind_mean(centred), name="c3d")
        self._forward = ENGINES[engine].compile(whole, self._count_trace)

    def __repr__(self) -> str:
        return f"Network({self.card.name!r}, {self.precision}, {self.backend})"

    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs:
        """One forward pass: clips uint8 (b, 16, 112, 112, 3) BGR to float32 fc6 and fc7 (b, 4096), probabilities (b, n)."""
        return _outputs(self._forward(clips), self.card.num_classes)

    def warm_up(self, progress: Callable[[float], None] = lambda share: None) -> None:
        """Run every batch size once, so that serving traces nothing. ``progress`` hears the share done, 0..1."""
        for done, size in enumerate(self.batch_sizes, start=1):
            self.run(np.zeros((size, *c3d.CLIP_SHAPE), np.uint8))
            progress(done / len(self.batch_sizes))

    def known_answer(self) -> tuple[int, float] | None:
        """Class and probability of 16 frames of zeros BEHIND the mean subtraction; None without a class layer.

        They need no video, no mean and no resize: the cheapest proof that a weights file was read in the right layout.
        """
        if not self.card.num_classes:
            return None
        zeros = keras.ops.zeros((1, *c3d.CLIP_SHAPE), "float32")
        probabilities = _outputs(self._behind_mean(zeros, training=False), self.card.num_classes).probabilities[0]
        return int(probabilities.argmax()), float(probabilities.max())

    def _count_trace(self) -> None:
        self.traces += 1


def _layers(card: Card, dtype: str) -> Any:
    """The layer table as a Keras model: mean-subtracted float32 clips in, float32 fc6, fc7 and probabilities out.

    Variables begin as zeros: random initial values would cost seconds and be overwritten. fc8 and its softmax stay
    float32 at every precision. Without classes the third output is missing.
    """
    outputs = {}
    x = clips = keras.Input(c3d.CLIP_SHAPE, dtype="float32", name="clips_minus_mean")
    for layer in c3d.layers(card.pool5):
        common = {"name": layer.name, "dtype": "float32" if layer.kind == "softmax" else dtype}
        dense = {"kernel_initializer": "zeros", "bias_initializer": "zeros", **common}
        match layer.kind:
            case "conv":
                x = keras.layers.Conv3D(layer.argument, 3, padding="same", activation="relu", **dense)(x)
            case "pool":
                x = keras.layers.MaxPooling3D(layer.argument, padding="valid", **common)(x)
            case "pad":
                x = keras.layers.ZeroPadding3D(layer.argument, **common)(x)
            case "flatten":
                x = keras.layers.Flatten(**common)(x)
            case "dense":
                x = keras.layers.Dense(layer.argument, activation="relu", **dense)(x)
            case "softmax" if card.num_classes:
                x = keras.layers.Dense(card.num_classes, activation="softmax", **dense)(x)
        outputs[layer.name] = x
    names = ("fc6", "fc7", "fc8") if card.num_classes else ("fc6", "fc7")
    return keras.Model(clips, [keras.ops.cast(outputs[name], "float32") for name in names], name="c3d_behind_mean")


def _outputs(tensors: list[Any], num_classes: int) -> c3d.ClipOutputs:
    fc6, fc7, *rest = (keras.ops.convert_to_numpy(tensor) for tensor in tensors)
    return c3d.ClipOutputs(fc6, fc7, rest[0] if num_classes else np.zeros((len(fc6), 0), np.float32))
