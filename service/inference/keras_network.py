"""C3D built from the layer table by Keras, on one device, at one precision. The only file that imports Keras."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# In place before an engine is imported. float32 means float32: else the environment could have oneDNN multiply in
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
from service.inference.network import CPU_BATCH_SIZES, GPU_BATCH_SIZES, Network, outputs_of

if TYPE_CHECKING:
    from model_store.card import Card
    from model_store.store import Model


class KerasNetwork(Network):
    """C3D on Keras: TensorFlow, JAX or PyTorch, on a GPU or a CPU."""

    def __init__(self, model: Model, precision: str = "float32", device: str = "auto") -> None:
        """Build the layers and load the model's weights. ``device`` "gpu" demands one; else the engine takes one it finds.

        Raises DeviceUnavailable where there is no GPU, PrecisionUnavailable where the device cannot compute in
        ``precision``, StoreError where the weights on disk are damaged.
        """
        name = keras.backend.backend()
        engine = ENGINES[name]
        found = engine.configure(precision, device)
        sizes = GPU_BATCH_SIZES if found == "gpu" else CPU_BATCH_SIZES
        super().__init__(model, precision, f"{name} {engine.version()} on {found}", sizes)
        self.behind_mean = _layers(model.card, "float32" if precision == "tf32" else precision)
        for tensor_name, tensor in model.tensors():
            layer, variable = tensor_name.split("/")
            getattr(self.behind_mean.get_layer(layer), variable).assign(tensor)
        clips = keras.Input(c3d.CLIP_SHAPE, dtype="uint8", name="clips")
        centred = keras.ops.subtract(keras.ops.cast(clips, "float32"), model.cropped_mean())
        self._forward = engine.compile(keras.Model(clips, self.behind_mean(centred), name="c3d"))

    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs:
        """One forward pass over clips uint8 (b, 16, 112, 112, 3) BGR."""
        return _outputs(self._forward(clips))

    def run_zeros_behind_mean(self) -> c3d.ClipOutputs:
        """The outputs, one row each, for a clip that is zeros BEHIND the mean subtraction."""
        zeros = keras.ops.zeros((1, *c3d.CLIP_SHAPE), "float32")
        return _outputs(self.behind_mean(zeros, training=False))


def _layers(card: Card, dtype: str) -> Any:
    """The layer table as a Keras model: mean-subtracted float32 clips in, float32 pool5, fc6, fc7 and probabilities out.

    Variables begin as zeros: random initial values would cost seconds and be overwritten. fc8 and its softmax stay
    float32 at every precision. Without classes the last output is missing.
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
    names = (*c3d.FEATURE_SIZES, "fc8") if card.num_classes else tuple(c3d.FEATURE_SIZES)
    return keras.Model(clips, [keras.ops.cast(outputs[name], "float32") for name in names], name="c3d_behind_mean")


def _outputs(tensors: list[Any]) -> c3d.ClipOutputs:
    pool5, fc6, fc7, *rest = (keras.ops.convert_to_numpy(tensor) for tensor in tensors)
    return outputs_of(pool5[:, 0].transpose(0, 3, 1, 2), fc6, fc7, rest[0] if rest else None)  # (b, 1, 4, 4, 512) until here
