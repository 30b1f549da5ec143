"""The store's tensors as other engines hold them, so that every one runs the same network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.inputs import Clips
from model_store import c3d
from model_store.store import Model

Float32 = NDArray[np.float32]
Run = Callable[[Clips], tuple[Float32, Float32]]  # clips (b, 16, 112, 112, 3) to fc6 (b, 4096) and probabilities (b, n)


def mean_of(model: Model) -> Float32:
    """The mean cube as it meets a clip: (16, 112, 112, 3)."""
    return model.cropped_mean()


def channels_first(model: Model) -> dict[str, Float32]:
    """The tensors as PyTorch and ONNX hold them: convolutions (O, I, T, H, W), dense (N, K), fc6 over (C, T, H, W)."""
    tensors = {}
    for name, tensor in model.tensors():
        if tensor.ndim == 5:
            tensor = tensor.transpose(4, 3, 0, 1, 2)  # noqa: PLW2901 (the same tensor in another order)
        elif name == "fc6/kernel":
            rows, columns, channels = c3d.layers(model.card.pool5)[-5].output[1:]  # of pool5
            tensor = tensor.reshape(rows, columns, channels, -1).transpose(3, 2, 0, 1).reshape(c3d.DESCRIPTOR_SIZE, -1)  # noqa: PLW2901
        elif tensor.ndim == 2:
            tensor = tensor.T  # noqa: PLW2901
        tensors[name] = np.ascontiguousarray(tensor)
    return tensors
